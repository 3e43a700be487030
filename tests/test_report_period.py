"""Which days a report speaks of, and when a change against the period before is shown."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

import bookings_analytics as ba
from bookings_analytics.report import Request
from bookings_analytics.report.period import Period, Weeks, choose

MONDAY = date(2026, 3, 2)
DAY = timedelta(days=1)
WEEK = 7 * DAY
TEN = Weeks(MONDAY, MONDAY + 9 * WEEK)
SUNDAY = MONDAY + 10 * WEEK - DAY  # of the last complete week
LAST_LOOK = SUNDAY + 12 * DAY
CLASS_DAYS = [MONDAY - 3 * DAY + n * DAY for n in range(80)]


def chosen(weeks: Weeks = TEN, **options: Any) -> Period:
    request = Request(**options)
    return choose(request, weeks, class_days=CLASS_DAYS, last_look=LAST_LOOK)


def refused(weeks: Weeks = TEN, **options: Any) -> str:
    with pytest.raises(ba.ConfigurationError) as raised:
        chosen(weeks, **options)
    return str(raised.value)


def test_without_a_choice_it_is_the_last_four_complete_weeks_with_their_change() -> None:
    period = chosen()
    assert (period.first, period.last) == (SUNDAY - 4 * WEEK + DAY, SUNDAY)
    assert period.before == (SUNDAY - 8 * WEEK + DAY, SUNDAY - 4 * WEEK)
    assert (period.weeks, period.no_change, period.note) == (4, "", "")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_young_archive_has_as_many_weeks_as_are_complete(n: int) -> None:
    period = chosen(Weeks(MONDAY, MONDAY + (n - 1) * WEEK))
    assert (period.first, period.weeks) == (MONDAY, n)
    assert "do not cover all of the weeks before" in period.no_change


def test_without_a_complete_week_it_is_all_that_there_is() -> None:
    period = chosen(Weeks(None, None))
    assert (period.first, period.last, period.text, period.weeks) == (None, None, "", 0)
    assert period.no_change == "No change is shown: there is no whole week of classes with a known day yet."
    outcomes = pl.DataFrame({"class_day": [MONDAY, None]})
    assert period.rows(outcomes).height == 2, "undated classes too"


@pytest.mark.parametrize("n", [1, 5, 10])
def test_last_takes_so_many_complete_weeks(n: int) -> None:
    period = chosen(last=f"{n}w")
    assert (period.first, period.last) == (SUNDAY - n * WEEK + DAY, SUNDAY)
    assert (period.no_change == "") == (2 * n <= 10), "the weeks before must be there as well"


@pytest.mark.parametrize("text", ["0w", "4", "w", "-1w", "4 w", "4W", "1.5w", "4weeks", "", "01w", "4w\n"])
def test_anything_else_is_refused_and_shows_how_to_write_it(text: str) -> None:
    assert refused(last=text).endswith("write a whole number of weeks, at least 1, as in 4w.")


def test_more_weeks_than_there_are_names_how_many() -> None:
    assert refused(last="11w") == (
        "--last 11w: the archive has 10 complete weeks, 2 Mar to 10 May 2026. Ask for at most 10w."
    )
    assert "the archive has 0 complete weeks" in refused(Weeks(None, None), last="4w")


@pytest.mark.parametrize("other", ["since", "until"])
def test_last_with_another_choice_is_refused(other: str) -> None:
    assert refused(TEN, last="4w", **{other: MONDAY}) == f"--last and --{other} both choose the days. Use one of them."


def test_since_alone_goes_to_the_last_complete_week() -> None:
    period = chosen(since=MONDAY + 3 * DAY)
    assert (period.first, period.last) == (MONDAY + 3 * DAY, SUNDAY)
    assert period.no_change == "No change is shown: that takes whole weeks, Monday to Sunday."


def test_until_alone_goes_four_weeks_back() -> None:
    period = chosen(until=SUNDAY - WEEK)
    assert (period.first, period.last) == (SUNDAY - 5 * WEEK + DAY, SUNDAY - WEEK)
    assert period.no_change == ""


def test_until_after_the_last_look_is_cut_to_it_and_said() -> None:
    period = chosen(since=MONDAY, until=LAST_LOOK + 5 * DAY)
    assert period.last == LAST_LOOK
    assert period.note == "The report ends with the archive's last look, 22 May 2026."


def test_a_change_needs_whole_weeks_that_the_looks_cover() -> None:
    assert "Monday to Sunday" in chosen(since=MONDAY, until=MONDAY + 8 * DAY).no_change
    assert "do not cover all weeks of this period" in chosen(since=MONDAY, until=SUNDAY + WEEK).no_change
    assert "(2 Feb to 1 Mar 2026)" in chosen(since=MONDAY, until=MONDAY + 4 * WEEK - DAY).no_change
    assert chosen(since=MONDAY + WEEK, until=MONDAY + 2 * WEEK - DAY).no_change == ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"since": MONDAY, "until": MONDAY - DAY}, "--until 2026-03-01 is before --since 2026-03-02. Swap them."),
        ({"since": date(2030, 1, 1)}, "--since 2030-01-01: the archive's last look is of 2026-05-22."),
        ({"since": SUNDAY + DAY}, "the last complete week of the archive ends on 2026-05-10"),
        (
            {"since": date(2020, 1, 1), "until": date(2020, 2, 1)},
            "--since 2020-01-01 --until 2020-02-01: no class day of these customers lies there; they go from 2026-02",
        ),
        ({"until": date(2020, 2, 1)}, "--since 2020-01-05 --until 2020-02-01: no class day"),
    ],
)
def test_days_that_hold_nothing_are_refused_with_both_named(options: dict[str, Any], says: str) -> None:
    assert says in refused(TEN, **options)


def test_a_week_is_complete_if_it_is_in_every_studio() -> None:
    rows = [("a", n, n > 1) for n in range(8)] + [("b", n, n < 5) for n in range(8)]
    outcomes = pl.DataFrame(
        [(studio, MONDAY + n * WEEK, complete) for studio, n, complete in rows],
        schema={"studio": pl.String, "week": pl.Date, "week_complete": pl.Boolean},
        orient="row",
    )
    weeks = Weeks.of(outcomes)
    assert (weeks.first, weeks.last, weeks.n) == (MONDAY + 2 * WEEK, MONDAY + 4 * WEEK, 3)
    assert Weeks.of(outcomes.filter(studio="b", week=MONDAY + 6 * WEEK)) == Weeks(None, None)
