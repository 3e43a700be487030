"""What notebooks say in words, and the one call that reads what they look at."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import bookings_analytics as ba
from bookings_analytics import schema
from bookings_analytics.notebook import findings, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTILE = "<img src=x onerror=alert(1)> A*B [x](y)"
OUTCOMES = pl.DataFrame(
    {
        "studio": "mitte",
        "customer_id": [1, 1, 2, 3, 4, 4],
        "class_slot_id": [10, 11, 10, 11, 12, 13],
        "class_id": [7, 8, 7, 8, 8, 8],
        "outcome": ["attended", "no_show", "no_show", "attended", "unrecorded", "attended"],
    }
)
COHORTS = pl.DataFrame(
    {"studio": "mitte", "customer_id": [1, 2, 3, 4, 5], "cohort": ["old", "old", "new", "new", "new"]}
)


@pytest.fixture(autouse=True)
def _frames_as_before() -> Iterator[None]:
    with pl.Config():
        yield


def said(*results: Any, **options: Any) -> str:
    return findings(*results, **options).text


def weeks(last: float) -> pl.DataFrame:
    """Make thirteen weeks of 100 seats, a customer each, with one no-show in ten but in the last week."""
    return pl.DataFrame(
        [
            ("mitte", customer, date(2026, 1, 5) + timedelta(weeks=week), customer < 100 * (last if week > 11 else 0.1))
            for week in range(13)
            for customer in range(100)
        ],
        schema=["studio", "customer_id", "week", "missed"],
        orient="row",
    ).select(
        *("studio", "customer_id", "week"),
        week_complete=True,
        outcome=pl.when("missed").then(pl.lit("no_show")).otherwise(pl.lit("attended")),
    )


class TestFindings:
    def test_a_total_is_a_paragraph_and_groups_are_points(self) -> None:
        overall = ba.booking_vs_participation(OUTCOMES, COHORTS)
        text = said(overall, ba.booking_vs_participation(OUTCOMES, COHORTS, by="cohort"))
        assert text.startswith("Of 5 customers, **80% (")
        assert "- The share who took part is highest in *new*, 67% (" in text
        assert "- The gap is widest in *old*: 100% booked, 50% took part." in text

    def test_a_gap_that_rounds_to_nothing_is_not_the_widest(self) -> None:
        came = OUTCOMES.with_columns(outcome=pl.lit("attended"))
        assert "gap" not in said(ba.booking_vs_participation(came, COHORTS, by="cohort"))

    def test_no_shows_tell_what_nobody_recorded(self) -> None:
        text = said(ba.no_shows(OUTCOMES, COHORTS))
        assert "of the seats were no-shows**: 2, against 3 that were used." in text
        assert "attendance of 1 more seat. Had all been used, the rate would be 33%; had none been used, 50%." in text
        assert "may lie anywhere between" in text

    def test_bounds_are_told_where_less_than_95_percent_is_recorded(self) -> None:
        seats = pl.DataFrame({"studio": "mitte", "customer_id": range(100), "class_id": 7})
        for recorded, told in ((94, True), (95, False)):
            came = pl.when(pl.col("customer_id") < 10).then(pl.lit("no_show")).otherwise(pl.lit("attended"))
            outcome = pl.when(pl.col("customer_id") < recorded).then(came).otherwise(pl.lit("unrecorded"))
            rates = ba.no_shows(seats.with_columns(outcome=outcome))
            low, high = (f"{rates[f'no_show_rate_bounds_{end}'].item():.0%}" for end in ("low", "high"))
            sentence = f"Chance included, the rate of all seats may lie anywhere between {low} and {high}."
            assert (sentence in said(rates)) == told

    def test_classes_outside_the_funnel_are_named_by_their_titles(self) -> None:
        many = pl.DataFrame(
            {
                "studio": "mitte",
                "customer_id": range(200),
                "class_id": [7] * 100 + [8] * 100,
                "outcome": ["attended"] * 95 + ["no_show"] * 35 + ["attended"] * 70,
            }
        )
        text = said(ba.no_show_funnel(many, by="class_id"), names={7: "Yoga"})
        assert text == "- Classes that stand out from the others by more than chance: *Yoga* (5%), *8* (30%)."

    def test_where_nothing_can_be_said_nothing_else_is(self) -> None:
        nobody = COHORTS.with_columns(fetch_outcome=pl.lit("failed"))
        overall = ba.booking_vs_participation(OUTCOMES, nobody)
        text = said(overall, ba.booking_vs_participation(OUTCOMES, nobody, by="cohort"))
        assert text == "**Nothing can be said yet**: no customer of the list could be read. 5 more could not be read."
        unknown = OUTCOMES.with_columns(outcome=pl.lit("unrecorded"))
        assert said(ba.no_shows(unknown)) == "**Nothing can be said yet**: nobody recorded who came to a class."

    def test_waits_are_told_with_their_bounds(self) -> None:
        row = dict.fromkeys(schema.WAITLIST_CONVERSION, 0) | {"n_converted": 6, "n_lapsed": 3, "n_withdrawn": 1}
        rates = {"conversion_rate": 0.6, "conversion_rate_ci_low": 0.3, "conversion_rate_ci_high": 0.8, "reason": None}
        text = said(pl.DataFrame([row | rates]))
        assert "**60% (30% to 80%) of the waits ended with a seat**: 6 of 10; 3 lasted to the end in vain" in text
        assert "at least 60% and at most 70%." in text
        none = pl.DataFrame([row | dict.fromkeys(rates) | {"reason": "no wait was seen in progress"}])
        assert said(none) == "**Nothing can be said yet**: no wait was seen in progress."

    def test_few_groups_of_waits_are_listed_and_of_many_the_extremes(self) -> None:
        row = {"conversion_rate": 0.6, "conversion_rate_ci_low": 0.3, "conversion_rate_ci_high": 0.8}
        groups = [row | {"cohort": f"c{i}", "conversion_rate": 0.5 + i / 100} for i in range(8)]
        assert said(pl.DataFrame(groups[:2])) == "- By cohort: *c0* 50% (30% to 80%); *c1* 51% (30% to 80%)."
        assert "highest in *c7*, 57% (30% to 80%), and lowest in *c0*" in said(pl.DataFrame(groups))

    def test_seats_lost_are_counted(self) -> None:
        lost = pl.DataFrame({"n_seats": [1], "n_slots": [40]})
        assert said(lost).startswith("**1 seat stayed empty while somebody waited** for one to the end, in 40 classes")

    def test_class_days_tell_how_many_are_known(self) -> None:
        none = dict.fromkeys(schema.CLASS_DAYS) | {"starts_after": datetime(2026, 5, 1, 2, tzinfo=UTC)}
        known = none | {"class_day": date(2026, 5, 1), "closed_after_h": 50.0, "punctual": False}
        shown = none | {"starts_after": datetime(2026, 5, 20, 2, tzinfo=UTC)}
        text = said(pl.DataFrame([known, none, shown, shown], schema=schema.CLASS_DAYS))
        assert text.startswith("**1 of 4 classes have a day** (25%). Of the other 3, 2 are still shown by the API")
        assert "of 1 the fetches leave more than one day possible" in text
        assert "marks some classes as completed only days later" in text
        assert said(pl.DataFrame([none], schema=schema.CLASS_DAYS)).startswith("**Nothing can be said yet**")

    def test_a_trend_is_told_in_the_words_of_its_chart(self) -> None:
        weekly = ba.trend(weeks(0.1), "no_show_rate", target=0.5)
        text = said(weekly)
        assert text.startswith("**No-show rate by week**: Nothing but chance since 5 January: 13 weeks, no signal; ")
        assert text.endswith("10%, is below the target of 50%.")
        assert text.removeprefix("**No-show rate by week**: ") in ba.charts.trend(weekly).description

    def test_of_several_trends_each_is_told_and_of_many_those_with_a_signal(self) -> None:
        calm = weeks(0.1).with_columns(by=pl.lit("A*B"))
        wild = weeks(0.6).with_columns(by=pl.lit("7"), customer_id=pl.col("customer_id") + 1000)
        two = ba.trend(pl.concat([calm, wild]), "no_show_rate", by="by")
        assert said(two).splitlines()[0].startswith("- **No-show rate by week**: Signals in 1 of 2 ")
        assert r"- *A\*B*: Nothing but chance since 5 January: 13 weeks" in said(two)
        assert "- *7*: Since 5 January, above the limits in the week of 30 March (60%)." in said(two)
        many = pl.concat([two, *(two.filter(by="A*B").with_columns(by=pl.lit(f"class {i}")) for i in range(20))])
        assert [line[:5] for line in said(many).splitlines()] == ["- **N", "- *7*"]

    def test_no_trend_is_told_of_no_week_or_of_several_rates(self) -> None:
        weekly = ba.trend(weeks(0.1), "no_show_rate")
        assert said(weekly.clear()) == "**Nothing can be said yet**: there is no week."
        both = pl.concat([weekly, ba.trend(weeks(0.1), "attendance_rate")])
        with pytest.raises(
            ValueError, match=r"holds several rates, attendance_rate, no_show_rate\. Pass one frame for"
        ):
            findings(both)

    def test_a_name_from_a_list_is_text_and_nothing_else(self) -> None:
        hostile = COHORTS.with_columns(cohort=pl.col("cohort").replace("old", HOSTILE))
        text = said(ba.no_shows(OUTCOMES, hostile, by="cohort"))
        assert r"*\<img src=x onerror=alert\(1\)\> A\*B \[x\]\(y\)*" in text

    def test_a_frame_without_finding_is_refused(self) -> None:
        with pytest.raises(ValueError, match="a frame with the columns customer_id has no finding"):
            findings(pl.DataFrame({"customer_id": [1]}))


class TestLoad:
    def test_the_demo_is_read_by_default(self) -> None:
        data = load("data/cohorts.csv")
        assert data.result is not None
        assert data.cohorts["fetch_outcome"].null_count() == 0
        assert {"contract", "age_group"} <= set(data.own_columns)
        assert data.titles == {}

    def test_an_archive_is_read_instead(self, tmp_path: Path) -> None:
        with ba.demo.serve(limit=None) as studio:
            archive = ba.Archive(tmp_path / "archive")
            few = studio.cohorts.head(20)
            ba.fetch_bookings(few, studios=studio, archive=archive, progress=False)
            data = load(few, archive_path=tmp_path / "archive", class_file="data/classes.csv")
            assert data.archive is not None
            assert data.result is None
            assert data.outcomes.height > 0
            assert data.fetches.height == 20
            assert data.titles[3101] == "Sunrise Cycling"

    def test_a_studio_of_ones_own_is_asked_with_the_key_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ba.demo.serve(limit=None) as studio:
            monkeypatch.setenv("BOOKINGS_API_KEY", studio.api_key.reveal())
            data = load(studio.cohorts.head(3), base_url=studio.base_url, studio_name="mitte")
        assert data.outcomes["studio"].unique().to_list() == ["mitte"]

    def test_the_period_means_class_days_and_what_has_none_is_left_out_and_counted(self) -> None:
        archive: dict[str, Any] = {
            "archive_path": "data/archive",
            "timezone": "Europe/Berlin",
            "opens": "06:00",
            "closes": "23:00",
        }
        whole = load("data/cohorts.csv", **archive)
        part = load("data/cohorts.csv", **archive, since="2026-03-09", until="2026-03-15")
        assert part.outcomes["class_day"].min() == date(2026, 3, 9)
        assert part.outcomes["class_day"].max() == date(2026, 3, 15)
        assert part.outcomes["week"].unique().to_list() == [date(2026, 3, 9)]
        assert part.outcomes["weekday"].unique().sort().to_list() == ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
        assert part.n_undated == whole.outcomes["class_day"].null_count() > 0
        assert (
            f"9 Mar 2026 to 15 Mar 2026 by class day. {part.n_undated:,} more whose day is not known are left out"
            in (repr(part))
        )
        assert whole.outcomes.height > part.outcomes.height + part.n_undated

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"since": "2026-03-09"}, "set archive_path as well"),
            ({"archive_path": "data/archive", "until": "2026-03-09"}, "set timezone as well"),
            ({"archive_path": "data/archive", "timezone": "Europe/Berlin", "since": "9.3."}, "Write it as 2026-05-01"),
            (
                {"archive_path": "data/archive", "timezone": "Europe/Berlin", "since": "2030-01-01"},
                "no class day of the archive lies in since=2030-01-01",
            ),
        ],
    )
    def test_a_period_that_can_t_be_looked_at_is_refused(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ba.ConfigurationError, match=message):
            load("data/cohorts.csv", **options)
