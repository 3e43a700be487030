from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings_analytics import CohortError, read_cohorts, schema

if TYPE_CHECKING:
    from pathlib import Path

IDS = st.integers(1, 2**63 - 1)


def csv(folder: Path, text: str | bytes) -> Path:
    path = folder / "members.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@given(st.lists(IDS, min_size=1, unique=True))
def test_every_id_of_a_list_is_read_as_it_is(ids: list[int]) -> None:
    cohorts = read_cohorts(ids)
    assert cohorts.schema == schema.COHORTS
    assert cohorts.rows() == [(customer_id, "all", None) for customer_id in ids]


@pytest.mark.parametrize("kind", ["csv", "parquet", "frame", "lazy frame"])
def test_all_sources_give_the_same_cohorts(tmp_path: Path, kind: str) -> None:
    frame = pl.DataFrame(
        {"plan": ["gold", None], "customer_id": [14925548, 2**63 - 1], "cohort": ["January", "Februar, März"]}
    )
    frame.write_csv(tmp_path / "members.csv")
    frame.write_parquet(tmp_path / "members.parquet")
    source: Any = {"frame": frame, "lazy frame": frame.lazy()}.get(kind, tmp_path / f"members.{kind}")
    expected = pl.DataFrame(
        {
            "customer_id": [14925548, 2**63 - 1],
            "cohort": ["January", "Februar, März"],
            "studio": pl.Series([None, None], dtype=pl.String),
            "plan": ["gold", None],
        }
    )
    assert read_cohorts(source).equals(expected)
    if kind == "csv":
        assert read_cohorts(str(source)).equals(expected)


@pytest.mark.parametrize(
    "ids", [np.array([3, 4]), pl.Series([3, 4]), (3, 4), iter([3, 4])], ids=lambda ids: type(ids).__name__
)
def test_ids_come_from_anything_that_can_be_walked_through(ids: Any) -> None:
    assert read_cohorts(ids)["customer_id"].to_list() == [3, 4]


def test_a_column_of_the_analyst_becomes_whole_numbers_only_where_no_value_changes(tmp_path: Path) -> None:
    path = csv(tmp_path, "customer_id,age,post_code,score\n1,41,01234,1.50\n2,,22222,2\n")
    cohorts = read_cohorts(path)
    assert cohorts["age"].to_list() == [41, None]
    assert cohorts["post_code"].to_list() == ["01234", "22222"]
    assert cohorts["score"].to_list() == ["1.50", "2"]


def test_spaces_around_ids_and_names_are_no_part_of_them(tmp_path: Path) -> None:
    assert read_cohorts(csv(tmp_path, "customer_id,cohort,studio\n 5 , trial ,\n")).rows() == [(5, "trial", None)]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert read_cohorts(csv(tmp_path, "\ufeffcustomer_id\n5\n")).height == 1


def test_a_file_may_use_another_separator_and_the_error_says_how(tmp_path: Path) -> None:
    path = csv(tmp_path, "customer_id;cohort\n5;trial\n")
    with pytest.raises(CohortError, match=r'only customer_id;cohort\..* pass separator=";"'):
        read_cohorts(path)
    assert read_cohorts(path, separator=";").rows() == [(5, "trial", None)]


@pytest.mark.parametrize(
    "value",
    ["", "x", "1.5", "1.0", "0", "-3", str(2**63), "9" * 40, "007", "true", "1e5", "+5", "１"],  # noqa: RUF001 - a digit that is none
)
def test_a_bad_id_is_named_with_file_and_row(tmp_path: Path, value: str) -> None:
    path = csv(tmp_path, f"cohort,customer_id\ntrial,5\ntrial,{value}\n")
    shown = repr(value) if value else "empty"
    with pytest.raises(CohortError) as error:
        read_cohorts(path)
    assert str(error.value).startswith(f"{path}, row 2: customer_id is {shown}.")


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (pl.Series([1.0, 2.5]), "1.0"),
        (pl.Series([1, None]), "empty"),
        (pl.Series([1, 2**64 - 1], dtype=pl.UInt64), "18446744073709551615"),
        (pl.Series([1, 0]), "0"),
        (pl.Series([True, False]), "True"),
        (pl.Series([[1], [2]]), "List"),
    ],
)
def test_a_frame_with_a_bad_id_is_refused(column: pl.Series, shown: str) -> None:
    with pytest.raises(CohortError, match=rf"the cohorts frame.*{shown}"):
        read_cohorts(pl.DataFrame({"customer_id": column}))


@pytest.mark.parametrize("value", [True, 2.0, "3", None, 2**63, 0])
def test_a_list_with_a_bad_id_is_refused(value: Any) -> None:
    with pytest.raises(CohortError, match=r"the list of ids, row 2"):
        read_cohorts([1, value])


def test_all_bad_rows_are_counted() -> None:
    with pytest.raises(CohortError, match=r"row 2: .*\(2 more rows like it\)"):
        read_cohorts(pl.DataFrame({"customer_id": [1, 0, None, -1]}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("customer_id\n", "holds no customers"),
        ("id\n5\n", "has no column customer_id, only id"),
        ("customer_id,cohort\n5,\n", "row 1: cohort is empty"),
        ("customer_id,outcome,n_seats\n5,a,b\n", "Rename or drop n_seats, outcome"),
        ("customer_id,cohort\n5,a,b\n", "can't be read"),
        ("customer_id,town\n5,Köln\n".encode("latin-1"), "Save it as csv in UTF-8"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    path = csv(tmp_path, text)
    with pytest.raises(CohortError, match=said) as error:
        read_cohorts(path)
    assert str(path) in str(error.value)


def test_a_missing_broken_or_foreign_file_is_refused(tmp_path: Path) -> None:
    for name, said in [("none.csv", "is not a file"), ("a.parquet", "can't be read"), ("a.xlsx", "neither .csv nor")]:
        if name != "none.csv":
            (tmp_path / name).write_text("nothing")
        with pytest.raises(CohortError, match=said):
            read_cohorts(tmp_path / name)


def test_no_ids_at_all_are_refused() -> None:
    with pytest.raises(CohortError, match="holds no customers"):
        read_cohorts([])


def test_a_customer_may_be_in_several_cohorts_and_studios() -> None:
    frame = pl.DataFrame({"customer_id": [1, 1, 1], "cohort": ["a", "b", "a"], "studio": ["x", "x", "y"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_cohorts(frame).height == 3


def test_the_same_row_twice_is_read_once_and_told() -> None:
    frame = pl.DataFrame({"customer_id": [1, 2, 1, 1], "cohort": "a", "plan": ["gold", "gold", "gold", "silver"]})
    with pytest.warns(UserWarning, match="2 rows name .* each was read once. 1 of them differ in another column"):
        cohorts = read_cohorts(frame)
    assert cohorts.select("customer_id", "plan").rows() == [(1, "gold"), (2, "gold")]
    with pytest.warns(UserWarning, match="1 rows name .* each was read once.$"):
        read_cohorts([1, 1])


def test_what_was_read_can_be_read_again() -> None:
    cohorts = read_cohorts([1, 2])
    assert read_cohorts(cohorts).equals(cohorts)


def test_the_cohorts_of_a_result_can_be_read_again() -> None:
    cohorts = read_cohorts([1, 2])
    assert read_cohorts(cohorts.with_columns(fetch_outcome=pl.lit("ok"))).equals(cohorts)
    assert read_cohorts(cohorts.lazy().with_columns(fetch_outcome=pl.lit("ok"))).equals(cohorts)


def test_every_column_that_results_use_is_reserved() -> None:
    assert {"outcome", "fetch_outcome", "n_customers", "no_show_rate", "no_show_rate_ci_low"} <= schema.RESERVED
    assert not schema.RESERVED & set(schema.COHORTS)
