"""Late cancellations and days of notice, against studios whose every cancellation is known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from engines import ENGINES, Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dated import outcomes_of, service_day
from watched_classes import ZONE, Watched, nightly, watch

import bookings_analytics as ba
from bookings_analytics import demo
from bookings_analytics.schema import CANCELLATION_NOTICE, CANCELLATIONS, OUTCOMES, SEAT_STATUSES

THREE = [timedelta(hours=hour, minutes=15) for hour in (4, 12, 18)]
DAY = date(2026, 5, 4)
HELD = ["attended", "no_show", "unrecorded"]
COHORTS = pl.DataFrame(
    {"customer_id": [1, 2, 3, 4], "studio": "mitte", "cohort": ["new", "new", "old", "none"], "fetch_outcome": "ok"}
)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


def late_by_truth(watched: Watched, outcomes: pl.DataFrame) -> tuple[int, int]:
    """Count the seats canceled on the class day, and those held, of what some look showed with a seat."""
    truth = watched.truth.select("class_slot_id", "day", slot_canceled="canceled")
    place = ["customer_id", "class_slot_id"]
    held = outcomes.filter(pl.col("outcome").is_in(HELD) & pl.col("last_day").is_not_null() & pl.col("watched"))
    known = watched.bookings.join(truth, on="class_slot_id").filter(~pl.col("slot_canceled"))
    looks = watched.fetches.filter(outcome="ok").select("customer_id", "fetched_at")
    at, near = pl.col("fetched_at"), pl.col("starts_at") - timedelta(days=14)
    seen = known.join(looks, on="customer_id").filter(
        at.is_between("booked_at", "canceled_at", closed="left") & (at >= near)
    )
    noticed = seen.select("booking_id").unique()
    reread = known.join(looks, on="customer_id").filter(
        (at >= pl.col("canceled_at")) & (at <= pl.col("starts_at") + timedelta(days=14))
    )
    noticed = noticed.join(reread, on="booking_id", how="semi")
    dated = outcomes.filter(pl.col("last_day").is_not_null()).select(place)
    late = known.join(noticed, on="booking_id", how="semi").join(dated, on=place, how="semi")
    return late.filter(service_day(pl.col("canceled_at")) >= pl.col("day")).height, held.height


@pytest.mark.parametrize("looks", [nightly(), THREE])
def test_the_late_cancel_rate_is_the_truth_to_the_booking(looks: list[timedelta]) -> None:
    watched = watch(looks, spread=timedelta(0), customers=200)
    outcomes = outcomes_of(watched)
    found = ba.cancellations(outcomes).row(0, named=True)
    late, held = late_by_truth(watched, outcomes)
    assert late > 50
    assert (found["n_late"], found["n_ambiguous"]) == (late, 0)
    assert sum(found[f"n_{name}"] for name in HELD) == held
    assert found["late_cancel_rate_min"] == late / (late + held)


def test_looks_at_noon_leave_bounds_that_hold_the_truth_and_no_rate() -> None:
    watched = watch(nightly(12), spread=timedelta(0), customers=200)
    outcomes = outcomes_of(watched)
    found = ba.cancellations(outcomes).row(0, named=True)
    late, held = late_by_truth(watched, outcomes)
    assert found["late_cancel_rate_min"] <= late / (late + held) <= found["late_cancel_rate_max"]
    assert found["n_ambiguous"] > 100
    unknown = ("late_cancel_rate", "late_cancel_rate_ci_low", "late_cancel_rate_ci_high", "unused_rate")
    assert [found[name] for name in unknown] == [None] * len(unknown)


def test_every_cancellation_of_a_seat_has_a_day_of_notice_or_none() -> None:
    outcomes = outcomes_of(watch(nightly(), spread=timedelta(0))).with_columns(half=pl.col("customer_id") % 2)
    notice = ba.cancellation_notice(outcomes, by="half")
    rates = ba.cancellations(outcomes, by="half")
    assert notice.group_by("half", maintain_order=True).agg(pl.sum("n"))["n"].equals(rates["n_canceled"])
    assert notice["days_before"].to_list() == [*range(15), None] * 2
    assert notice.filter(days_before=0)["n"].equals(rates["n_late"])
    assert notice.group_by("half").agg(pl.sum("share"))["share"].to_list() == pytest.approx([1, 1])


def row(outcome: str, least: int | None = None, most: int | None = None, **values: Any) -> dict[str, Any]:
    return {
        "studio": "mitte",
        "customer_id": 1,
        "outcome": outcome,
        "first_day": DAY,
        "last_day": DAY,
        "canceled_days_before_min": least,
        "canceled_days_before_max": most,
        "canceled_from": "BOOKED" if outcome == "canceled" else None,
        "class_slot_status": "COMPLETED",
        "visible": True,
        "watched": True,
    } | values


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    columns = row("attended")
    return pl.DataFrame(rows, schema={name: OUTCOMES[name] for name in columns})


UNDATED = {"first_day": None, "last_day": None, "watched": None}
TO_COME = {"class_slot_status": "PLANNED"}
BEFORE_THE_FIRST_LOOK = {"watched": False}
SEATS = [row("attended"), row("no_show"), row("unrecorded")]


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        ([row("canceled", 0, 0)], {"n_canceled": 1, "n_late": 1}),
        ([row("canceled", 0, -1)], {"n_canceled": 1, "n_late": 1}),
        ([row("canceled", 0, 1)], {"n_canceled": 1, "n_ambiguous": 1}),
        ([row("canceled", 1, 2)], {"n_canceled": 1}),
        ([row("canceled", None, None, **UNDATED)], {"n_canceled": 1, "n_undated": 1}),
        ([row("canceled", None, None, **UNDATED, **TO_COME)], {}),
        ([row("canceled", None, None, **UNDATED, **TO_COME | {"visible": False})], {"n_canceled": 1, "n_undated": 1}),
        ([row("canceled", 0, 0, canceled_from="WAITING_LIST")], {}),
        ([row("canceled", 0, None, canceled_from=None)], {}),
        ([row("canceled", 0, 0, **BEFORE_THE_FIRST_LOOK)], {}),
        ([row("attended", **UNDATED)], {}),
        ([row("attended", **BEFORE_THE_FIRST_LOOK)], {}),
        ([row("slot_canceled"), row("lost"), row("upcoming"), row("waiting")], {}),
    ],
)
def test_what_counts(engine: Engine, rows: list[dict[str, Any]], counts: dict[str, int]) -> None:
    result = engine.polars(ba.cancellations(engine.frame(frame(rows + SEATS))))
    assert result.schema.names() == CANCELLATIONS.names()
    found = result.row(0, named=True)
    kinds = ("n_canceled", "n_late", "n_ambiguous", "n_undated")
    assert {kind: found[kind] for kind in kinds} == dict.fromkeys(kinds, 0) | counts
    assert [found[f"n_{name}"] for name in HELD] == [1, 1, 1]


@given(
    st.lists(
        st.builds(
            row,
            st.sampled_from([*HELD, "canceled", "upcoming"]),
            st.sampled_from([None, 0, 1, 3]),
            st.sampled_from([None, -1, 0, 1, 3, 14, 15]),
            customer_id=st.integers(1, 4),
            watched=st.sampled_from([True, True, False, None]),
            last_day=st.sampled_from([DAY, DAY, None]),
            canceled_from=st.sampled_from([None, "BOOKED", "BOOKED_WITH_CONFIRMATION_REQUIRED", "WAITING_LIST"]),
        ),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=60)
def test_rates_are_those_of_rows_counted_one_by_one(rows: list[dict[str, Any]]) -> None:
    rows = [*rows, row("attended")]
    dated = [each for each in rows if each["last_day"] and each["watched"]]
    seats = [
        each
        for each in rows
        if each["outcome"] == "canceled" and (each["canceled_from"] or "").startswith("BOOKED")
        if each["watched"] or not each["last_day"]
    ]
    late = sum(1 for each in seats if (each["canceled_days_before_max"] or 0) <= 0 and late_known(each))
    unknown = sum(
        1
        for each in seats
        if not late_known(each) or (each["canceled_days_before_max"] > 0 and each["canceled_days_before_min"] == 0)
    )
    held = sum(each["outcome"] in HELD for each in dated)
    recorded = sum(each["outcome"] in HELD[:2] for each in dated)
    missed = sum(each["outcome"] == "no_show" for each in dated)
    found = ba.cancellations(frame(rows)).row(0, named=True)
    whole = late + held
    assert found["n_late"] == late
    assert found["late_cancel_rate_min"] == pytest.approx(late / whole if whole else None)
    assert found["late_cancel_rate_max"] == pytest.approx((late + unknown) / (whole + unknown))
    told = unknown * 20 <= late + unknown
    assert found["late_cancel_rate"] == pytest.approx(late / whole if told else None)
    assert found["unused_rate"] == pytest.approx(
        (late + missed) / (late + recorded) if told and late + recorded else None
    )


def late_known(each: dict[str, Any]) -> bool:
    return each["canceled_days_before_max"] is not None


def test_a_list_without_cancellations_has_its_groups_all_the_same(engine: Engine) -> None:
    outcomes = frame([row("canceled", 2, 2), row("attended", customer_id=3)])
    cohorts = engine.frame(COHORTS)
    rates = engine.polars(ba.cancellations(engine.frame(outcomes), cohorts, by="cohort"))
    assert sorted(rates.select("cohort", "n_canceled", "n_attended").rows()) == [
        ("new", 1, 0), ("none", 0, 0), ("old", 0, 1)
    ]  # fmt: skip
    notice = engine.polars(ba.cancellation_notice(engine.frame(outcomes), cohorts, by="cohort"))
    assert notice.columns == ["cohort", *CANCELLATION_NOTICE]
    assert notice.filter(cohort="none").select(pl.sum("n"), pl.col("share").null_count()).row(0) == (0, 16)
    assert notice.filter(pl.col("n") > 0).rows() == [("new", 2, 1, 1.0, 1)]


@pytest.mark.parametrize("function", [ba.cancellations, ba.cancellation_notice])
def test_outcomes_without_class_days_are_refused(function: Any) -> None:
    watched = watch(nightly(), days=20, customers=20)
    columns = {name: OUTCOMES[name] for name in watched.history.columns}
    outcomes = ba.classify(watched.history.cast(columns))  # type: ignore[arg-type] # as polars takes it
    with pytest.raises(ValueError, match=r"carry no class days: .* Pass classify\(history, class_days="):
        function(outcomes)
    with pytest.raises(ValueError, match="carry no watched"):
        function(outcomes.drop("watched"))


@pytest.mark.parametrize("rate", ["late_cancel_rate", "unused_rate"])
def test_groups_are_compared_by_their_rates_of_cancellations(rate: str) -> None:
    outcomes = outcomes_of(watch(nightly(), spread=timedelta(0))).filter(pl.col("class_day").is_not_null())
    rates = ba.cancellations(outcomes, by="class_id")
    compared = ba.compare(outcomes, rate, by="class_id", baseline=1)
    value = dict(rates.select("class_id", rate).rows())
    assert value[1] > 0
    for row in compared.rows(named=True):
        assert row["value"] == pytest.approx(value[row["class_id"]])
        assert row["difference"] == pytest.approx(value[row["class_id"]] - value[1])
    noon = outcomes_of(watch(nightly(12), spread=timedelta(0)))
    assert ba.compare(noon, rate, by="class_id", baseline=1)["difference"].null_count() > 0
    with pytest.raises(ValueError, match="carry no class days"):
        ba.compare(
            outcomes.with_columns(last_day=pl.lit(None, pl.Date), canceled_from=pl.lit(None, pl.String)),
            rate,
            by="class_id",
        )


DEADLINE = timedelta(hours=12)


def timed_outcomes(watched: Watched) -> pl.DataFrame:
    return outcomes_of(watched, known=watched.truth.select("class_slot_id", "starts_at", studio=pl.lit("s")))


def late_by_the_clock(watched: Watched, outcomes: pl.DataFrame, deadline: timedelta) -> tuple[int, int]:
    """Count, one by one, the counted cancellations that truly came later than the deadline, and the seats held."""
    true = dict(watched.bookings.select("booking_id", "canceled_at").iter_rows())
    starts = dict(watched.truth.select("class_slot_id", "starts_at").iter_rows())
    late = held = 0
    for each in outcomes.iter_rows(named=True):
        if not each["watched"]:
            continue
        held += each["outcome"] in HELD
        if each["outcome"] == "canceled" and str(each["canceled_from"]).startswith("BOOKED"):
            late += true[each["booking_id"]] > starts[each["class_slot_id"]] - deadline
    return late, held


@pytest.mark.filterwarnings("ignore:.* class slots have a known time")
@pytest.mark.parametrize("looks", [nightly(), nightly(12), THREE], ids=["nightly", "noon", "three looks"])
@pytest.mark.parametrize("deadline", [timedelta(hours=2), DEADLINE, timedelta(days=2)], ids=str)
def test_the_bounds_of_a_deadline_hold_the_truth(looks: list[timedelta], deadline: timedelta) -> None:
    watched = watch(looks, spread=timedelta(0), customers=200, moved=0.0)
    outcomes = timed_outcomes(watched)
    found = ba.cancellations(outcomes, deadline=deadline).row(0, named=True)
    late, held = late_by_the_clock(watched, outcomes, deadline)
    assert held > 500
    assert sum(found[f"n_{name}"] for name in HELD) == held
    assert found["n_late"] <= late <= found["n_late"] + found["n_ambiguous"]
    assert found["n_undated"] == 0
    assert found["late_cancel_rate_min"] <= late / (late + held) <= found["late_cancel_rate_max"]
    assert found["deadline_h"] == deadline / timedelta(hours=1)


def test_hourly_looks_tell_the_rate_of_a_deadline() -> None:
    hourly = [timedelta(hours=hour) for hour in range(24)]
    watched = watch(hourly, days=24, customers=60, per_day=4, spread=timedelta(0), moved=0.0)
    outcomes = timed_outcomes(watched)
    found = ba.cancellations(outcomes, deadline=timedelta(days=2)).row(0, named=True)
    late, held = late_by_the_clock(watched, outcomes, timedelta(days=2))
    assert late > 20
    assert found["late_cancel_rate"] == pytest.approx(late / (late + held), abs=0.01)
    assert found["unused_rate"] is not None


START = datetime(2026, 5, 4, 16, tzinfo=UTC)


def timed_row(outcome: str, after: float | None = None, by: float | None = None, **values: Any) -> dict[str, Any]:
    """Make an outcome whose cancellation was seen between two looks, so many hours before the class."""
    times = {"canceled_after": after, "canceled_by": by}
    seen = {name: None if hours is None else START - timedelta(hours=hours) for name, hours in times.items()}
    return row(outcome, 0, 9, **{"starts_at": START, **seen, **values})


def timed_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={name: OUTCOMES[name] for name in timed_row("attended")})


TIMED_SEATS = [timed_row(outcome) for outcome in HELD]


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        ([timed_row("canceled", 12, 2)], {"n_canceled": 1, "n_late": 1}),
        ([timed_row("canceled", 11, -20)], {"n_canceled": 1, "n_late": 1}),
        ([timed_row("canceled", 12.01, 11.99)], {"n_canceled": 1, "n_ambiguous": 1}),
        ([timed_row("canceled", 30, 12)], {"n_canceled": 1}),
        ([timed_row("canceled", 30, 20)], {"n_canceled": 1}),
        ([timed_row("canceled", 5, 4, starts_at=None)], {"n_canceled": 1, "n_undated": 1}),
        ([timed_row("canceled", 5, 4, starts_at=None, **UNDATED)], {"n_canceled": 1, "n_undated": 1}),
        ([timed_row("canceled", 5, 4, **BEFORE_THE_FIRST_LOOK)], {}),
        ([timed_row("canceled", 5, 4, starts_at=None, **BEFORE_THE_FIRST_LOOK)], {}),
        ([timed_row("canceled", 5, 4, canceled_from="WAITING_LIST")], {}),
        ([timed_row("attended", starts_at=None)], {}),
        ([timed_row("attended", **BEFORE_THE_FIRST_LOOK)], {}),
        ([timed_row("upcoming"), timed_row("lost")], {}),
    ],
)
def test_what_counts_against_a_deadline(engine: Engine, rows: list[dict[str, Any]], counts: dict[str, int]) -> None:
    result = engine.polars(ba.cancellations(engine.frame(timed_frame(rows + TIMED_SEATS)), deadline=DEADLINE))
    assert result.schema.names() == CANCELLATIONS.names()
    found = result.row(0, named=True)
    kinds = ("n_canceled", "n_late", "n_ambiguous", "n_undated")
    assert {kind: found[kind] for kind in kinds} == dict.fromkeys(kinds, 0) | counts
    assert [found[f"n_{name}"] for name in HELD] == [1, 1, 1]
    assert found["deadline_h"] == 12


hours = st.one_of(st.none(), st.integers(-30, 60))


@given(
    st.lists(
        st.builds(
            timed_row,
            st.sampled_from([*HELD, "canceled", "upcoming"]),
            hours,
            hours,
            customer_id=st.integers(1, 4),
            watched=st.sampled_from([True, True, False, None]),
            last_day=st.sampled_from([DAY, DAY, None]),
            starts_at=st.sampled_from([START, START, None]),
            canceled_from=st.sampled_from([None, "BOOKED", "BOOKED_WITH_CONFIRMATION_REQUIRED", "WAITING_LIST"]),
        ),
        max_size=30,
    ),
    st.sampled_from([0, 1, 12, 48]),
)
@settings(max_examples=60)
def test_rates_against_a_deadline_are_those_of_rows_counted_one_by_one(rows: list[dict[str, Any]], notice: int) -> None:
    rows = [*rows, timed_row("attended")]
    deadline = timedelta(hours=notice)
    late = ambiguous = undated = held = 0
    for each in rows:
        dated = each["last_day"] is not None
        held += each["outcome"] in HELD and bool(each["watched"]) and dated and each["starts_at"] is not None
        seat = (each["canceled_from"] or "").startswith("BOOKED")
        if each["outcome"] != "canceled" or not seat or (dated and not each["watched"]):
            continue
        after, by, start = each["canceled_after"], each["canceled_by"], each["starts_at"]
        if start is None or after is None:
            undated += 1
        elif after >= start - deadline:
            late += 1
        elif by is not None and start - deadline < by:
            ambiguous += 1
    found = ba.cancellations(timed_frame(rows), deadline=deadline).row(0, named=True)
    assert [found[f"n_{kind}"] for kind in ("late", "ambiguous", "undated")] == [late, ambiguous, undated]
    assert sum(found[f"n_{name}"] for name in HELD) == held
    unknown = ambiguous + undated
    assert found["late_cancel_rate_max"] == pytest.approx((late + unknown) / (late + unknown + held))
    told = unknown * 20 <= late + unknown
    assert found["late_cancel_rate"] == pytest.approx(late / (late + held) if told else None)


@pytest.mark.parametrize("deadline", [12, timedelta(seconds=-1), "12h"])
def test_a_deadline_that_is_none_is_refused(deadline: Any) -> None:
    with pytest.raises(
        ValueError, match=r"deadline is .*: pass a timedelta of 0 or more, such as timedelta\(hours=12\)"
    ):
        ba.cancellations(timed_frame(TIMED_SEATS), deadline=deadline)


def test_outcomes_without_starts_are_refused() -> None:
    unknown = timed_frame([timed_row("attended", starts_at=None)])
    for frame_without in (unknown, frame(SEATS)):
        with pytest.raises(ValueError, match=r"the outcomes carry no starts_at.*known=archive\.slots\(\)"):
            ba.cancellations(frame_without, deadline=DEADLINE)
    assert ba.cancellations(unknown.clear(), deadline=DEADLINE)["n_late"].item() == 0


def test_the_demo_studios_late_cancellations_are_those_of_its_world() -> None:
    """The bundled archive of nightly looks, with the starts that the demo's API would tell."""
    world = demo.World()
    archive = ba.Archive(Path(__file__).parent.parent / "data" / "archive", must_exist=True)
    known = world.timetable.select("class_slot_id", "starts_at", studio=pl.lit("demo"))
    days = archive.class_days(timezone=ZONE, opens="06:00", closes="23:00", known=known)
    outcomes = archive.outcomes(class_days=days).frame()
    canceled = world.changes.filter(booking_status="CANCELED").group_by("booking_id").agg(pl.max("changed_at"))
    counted = outcomes.filter(
        pl.col("watched") & (pl.col("outcome") == "canceled") & pl.col("canceled_from").is_in(list(SEAT_STATUSES))
    ).join(canceled, on="booking_id")
    assert counted.filter(~pl.col("changed_at").is_between("canceled_after", "canceled_by", closed="right")).is_empty()
    for deadline in (timedelta(hours=2), DEADLINE, timedelta(days=3)):
        late = counted.filter(pl.col("changed_at") > pl.col("starts_at") - deadline).height
        found = ba.cancellations(outcomes, deadline=deadline).row(0, named=True)
        held = sum(found[f"n_{name}"] for name in HELD)
        assert late > 50
        assert found["n_undated"] == 0
        assert found["n_late"] <= late <= found["n_late"] + found["n_ambiguous"]
        assert found["late_cancel_rate_min"] <= late / (late + held) <= found["late_cancel_rate_max"]
