"""Frames that no fetch made: kept as a fetch's are, and refused by row and value where no fetch could bring them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from snapshots import at, result

import bookings_analytics as ba
from bookings_analytics.archive.changes import Added

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BIG = 2**63 - 1  # the largest id the API may give
NIGHT = result(at(0), {7: {10: "BOOKED", 11: "WAITING_LIST"}, 8: {}, 9: "failed", BIG: {BIG: "CANCELED"}})


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame as a database or a csv file has it: statuses as text, times in milliseconds and the studio's time."""
    text = frame.with_columns(pl.selectors.enum().cast(pl.String))
    return text.with_columns(
        pl.selectors.datetime().cast(pl.Datetime("ms", "UTC")).dt.convert_time_zone("Europe/Berlin")
    )


def without_optional(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.drop("visible", "http_status", "error_code", "message", "trace_id", "attempts", strict=False)


@pytest.mark.parametrize(
    "as_another_source",
    [
        plain,
        lambda frame: plain(frame).lazy(),
        lambda frame: plain(frame).to_arrow(),
        lambda frame: frame.with_columns(pl.selectors.enum().cast(pl.Categorical)).select(reversed(frame.columns)),
        lambda frame: frame.sample(fraction=1, shuffle=True, seed=3),
    ],
    ids=["text", "lazy", "pyarrow", "columns in another order", "rows in another order"],
)
def test_another_source_of_the_same_data_is_kept_as_the_fetch(
    tmp_path: Path, as_another_source: Callable[[pl.DataFrame], Any]
) -> None:
    fetched, given_frames = ba.Archive(tmp_path / "fetched"), ba.Archive(tmp_path / "given")
    same = given_frames.add(bookings=as_another_source(NIGHT.bookings), fetches=as_another_source(NIGHT.fetches))
    assert same == fetched.add(NIGHT)
    key = ["studio", "customer_id"]
    for name in ("history", "fetches"):
        expected, found = (getattr(archive, name)().collect() for archive in (fetched, given_frames))
        assert_frame_equal(found.sort(key), expected.sort(key), check_row_order=name != "history")


def test_pandas_counts_as_floats_beside_a_null_are_whole_numbers(tmp_path: Path) -> None:
    night = result(at(0), {7: {10: "BOOKED"}, 9: "failed"})
    fetches = night.fetches.to_pandas()
    assert fetches["n_bookings"].dtype.kind == "f"
    archive = ba.Archive(tmp_path / "archive")
    archive.add(bookings=plain(night.bookings).to_pandas(), fetches=fetches)
    assert archive.fetches().collect()["n_bookings"].to_list() == [1, None]


def test_another_source_goes_on_where_the_fetches_ended(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path / "archive")
    archive.add(NIGHT)
    later = result(at(1), {7: {10: "BOOKED"}, 8: {12: "BOOKED"}})
    added = archive.add(
        bookings=without_optional(plain(later.bookings)), fetches=without_optional(plain(later.fetches))
    )
    assert added == Added(new=1, gone=1, unchanged=1, fetches=2)
    assert archive.add(result(at(2), {7: {10: "BOOKED"}})) == Added(unchanged=1, fetches=1)
    assert archive.fetches().filter(fetched_at=at(1)).collect()["attempts"].to_list() == [None, None]


def test_a_studio_is_one_however_its_name_is_padded(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path / "archive")
    archive.add(NIGHT)
    later = result(at(1), {7: {10: "BOOKED"}}, studio=" mitte\n")
    assert archive.add(bookings=later.bookings, fetches=later.fetches) == Added(gone=1, unchanged=1, fetches=1)


def test_customers_never_asked_are_left_out(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path / "archive")
    unasked = NIGHT.fetches.with_columns(
        outcome=pl.lit("not_fetched"), fetched_at=pl.lit(None, NIGHT.fetches.schema["fetched_at"]), n_bookings=None
    )
    assert archive.add(bookings=NIGHT.bookings.clear(), fetches=unasked) == Added()


@given(data=st.data())
@settings(max_examples=30)
def test_whole_seconds_are_kept_and_compared(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A database may cut one of the two times: what is one second is one time."""
    microseconds = data.draw(st.tuples(*[st.integers(0, 999_999)] * 2))
    seen, asked = (
        frame.with_columns(pl.selectors.datetime() + pl.duration(microseconds=each))
        for frame, each in zip((NIGHT.bookings, NIGHT.fetches), microseconds, strict=True)
    )
    archive = ba.Archive(tmp_path_factory.mktemp("archive"))
    assert archive.add(bookings=seen, fetches=asked).new == 3
    assert archive.history().collect()["observed_at"].unique().to_list() == [at(0)]


def put(column: str, row: int, value: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Put a value into one row, in whatever type it is."""

    as_text = pl.col(column).cast(pl.String) if isinstance(value, str) else pl.col(column)

    def changed(frame: pl.DataFrame) -> pl.DataFrame:
        there = pl.int_range(pl.len()) == row
        return frame.with_columns(pl.when(there).then(pl.lit(value)).otherwise(as_text).alias(column))

    return changed


Change: TypeAlias = "Callable[[pl.DataFrame], Any] | None"  # of a frame; None: as it is

WRONG: dict[str, tuple[Change, Change, str]] = {
    "a column is missing": (
        lambda f: f.drop("class_id", "booking_id"),
        None,
        r"bookings lacks the column class_id, b",
    ),
    "a fetch's column is missing": (None, lambda f: f.drop("outcome"), r"fetches lacks the column outcome"),
    "a column is unknown": (None, lambda f: f.with_columns(massage=1), r"fetches has the column massage, which"),
    "an id is text": (
        lambda f: f.with_columns(pl.col("customer_id").cast(pl.String)),
        None,
        r"bookings: customer_id is of type String, such as '7', and must be of Int64. Cast it",
    ),
    "an id is a fraction": (
        lambda f: f.head(3).with_columns(class_id=pl.Series([1.0, 2.5, 3.0])),
        None,
        r"Row 2 of bookings: class_id is 2.5, which is not a whole number",
    ),
    "a float too large to be exact": (
        lambda f: f.with_columns(pl.col("customer_id").cast(pl.Float64)),
        None,
        r"Row 3 of bookings: customer_id is 9.2\d+e\+18, which is not a whole number",
    ),
    "a float that is no number": (
        None,
        lambda f: f.with_columns(attempts=pl.Series([1.0, float("nan"), 1.0, float("inf")])),
        r"Row 2 of fetches: attempts is nan, which is not a whole number",
    ),
    "an id too large": (
        lambda f: f.with_columns(booking_id=pl.Series([1, 2**63, 3], dtype=pl.UInt64)),
        None,
        r"Row 2 of bookings: booking_id is 9223372036854775808, which is not a column of Int64",
    ),
    "an id below one": (put("customer_id", 1, 0), None, r"Row 2 of bookings: customer_id is 0; an id is"),
    "a customer below one": (None, put("customer_id", 0, -7), r"Row 1 of fetches: customer_id is -7; an id is"),
    "an id is empty": (put("class_slot_id", 2, None), None, r"Row 3 of bookings: class_slot_id is empty"),
    "a whole column is empty": (
        lambda f: f.with_columns(class_id=None),
        None,
        r"bookings: class_id is of type Null, such as 'None', and must be of Int64",
    ),
    "an unknown status": (
        put("booking_status", 1, "ON_HOLD"),
        None,
        r"Row 2 of bookings: booking_status is 'ON_HOLD', which is not one of BOOKED, BOOKED_WITH_CONF",
    ),
    "an unknown outcome": (
        None,
        put("outcome", 3, "fine"),
        r"Row 4 of fetches: outcome is 'fine', which is not one",
    ),
    "a time without zone": (
        lambda f: f.with_columns(pl.col("observed_at").dt.replace_time_zone(None)),
        None,
        r"bookings: observed_at is of type Datetime.*: a time needs its time zone",
    ),
    "a date is no time": (
        None,
        lambda f: f.with_columns(fetched_at=date(2026, 3, 1)),
        r"fetches: fetched_at is of type Date, such as '2026-03-01', and must be of Datetime",
    ),
    "a fetch without time": (None, put("fetched_at", 1, None), r"Row 2 of fetches: fetched_at is empty; write when"),
    "seen at another time": (
        put("observed_at", 1, datetime(2026, 3, 2, tzinfo=UTC)),
        None,
        r"Row 2 of bookings: observed_at is 2026-03-02 00:00:00\+00:00, and that customer's fetched_at is 2026",
    ),
    "a studio without name": (
        put("studio", 0, " \n"),
        None,
        r"Row 1 of bookings: studio is ' \\n', which is not a name",
    ),
    "gone rows": (put("visible", 2, value=False), None, r"Row 3 of bookings: visible is False; leave out"),
    "an ok fetch that counts nothing": (None, put("n_bookings", 1, None), r"Row 2 of fetches: n_bookings is empty"),
    "a failed fetch that counts": (None, put("n_bookings", 2, 0), r"Row 3 of fetches: n_bookings is 0; only an ok"),
    "another count": (None, put("n_bookings", 0, 3), r"Customer 7 of studio 'mitte', row 1 of fetches: n_bookings is"),
    "no HTTP status": (None, put("http_status", 0, 20), r"Row 1 of fetches: http_status is 20; write 100 to"),
    "a count below none": (None, put("attempts", 0, -1), r"Row 1 of fetches: attempts is -1; a count is"),
    "a customer twice": (
        None,
        lambda f: pl.concat([f, f[:1]]),
        r"Customer 7 of studio 'mitte', row 5 .*two",
    ),
    "a booking twice": (lambda f: pl.concat([f, f[1:2]]), None, r"Customer 7 .*, row 4 of bookings: .*twice"),
    "bookings of nobody asked": (None, lambda f: f[1:], r"Customer 7 .*, row 1 of bookings: .*no successful fetch"),
    "bookings of a failed fetch": (
        lambda f: f.with_columns(customer_id=pl.lit(9)),
        None,
        r"Customer 9 .*, row 1 of bookings: .*no successful fetch",
    ),
}


@pytest.mark.parametrize(("change_bookings", "change_fetches", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_no_fetch_could_bring_is_refused_by_row_and_value(
    tmp_path: Path,
    change_bookings: Change,
    change_fetches: Change,
    said: str,
) -> None:
    bookings, fetches = (
        change(frame) if change else frame
        for change, frame in ((change_bookings, NIGHT.bookings), (change_fetches, NIGHT.fetches))
    )
    with pytest.raises(ba.ArchiveError, match=said):
        ba.Archive(tmp_path / "archive").add(bookings=bookings, fetches=fetches)
    assert not (tmp_path / "archive").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"bookings": NIGHT.bookings},
        {"fetches": NIGHT.fetches},
        {"result": NIGHT, "fetches": NIGHT.fetches},
    ],
)
def test_either_a_result_or_both_frames(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"add takes a result, or both frames"):
        ba.Archive(tmp_path / "archive").add(**arguments)


def test_what_is_no_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a list is not a frame"):
        ba.Archive(tmp_path / "archive").add(bookings=[1], fetches=NIGHT.fetches)  # type: ignore[arg-type]  # refused
