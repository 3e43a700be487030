from __future__ import annotations

import io
import sys
import warnings
from csv import QUOTE_ALL, QUOTE_MINIMAL, writer
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import numpy as np
import polars as pl
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from bookings_analytics import CohortError, read_cohorts, schema
from bookings_analytics.cohorts import read_titles

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


@pytest.mark.parametrize(
    "value",
    ["", "x", "1.5", "1.0", "0", "-3", str(2**63), "9" * 40, "007", "true", "1e5", "+5", "１"],  # noqa: RUF001 - a digit that is none
)
def test_a_bad_id_is_named_with_file_and_row(tmp_path: Path, value: str) -> None:
    path = csv(tmp_path, f"cohort,customer_id\ntrial,5\ntrial,{value}\n")
    shown = repr(value) if value else "empty"
    with pytest.raises(CohortError) as error:
        read_cohorts(path)
    assert str(error.value).startswith(f"{path}, row 3: customer_id is {shown}.")


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (pl.Series([1.0, 2.5]), "2.5"),
        (pl.Series([1.0, 2.0**53]), "9007199254740992"),
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
        ("id\n5\n", "has no column customer_id: only id"),
        ("customer_id,cohort\n5,\n", "row 2: cohort is empty"),
        ("customer_id,outcome,n_seats\n5,a,b\n", "Rename or drop n_seats, outcome"),
        ("customer_id,cohort\n5,a,b\n", "row 2 has 3 values and the header 2"),
        (b"customer_id,town\n5,K\x81ln\n", "Save it as csv in UTF-8"),
        ('customer_id,town\n5,"K"ln\n', "can't be read near row 2"),
        ("customer_id,Customer_ID \n5,6\n", "column customer_id 2 times"),
        ("customer_id,Plan,plan\n5,a,b\n", "column plan 2 times"),
        ("Kundennummer,Mitgliedsnummer\n5,6\n", "Kundennummer, Mitgliedsnummer may all be it"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    path = csv(tmp_path, text)
    with pytest.raises(CohortError, match=said) as error:
        read_cohorts(path)
    assert str(path) in str(error.value)


def test_a_missing_broken_or_foreign_file_is_refused(tmp_path: Path) -> None:
    for name, said in [
        ("none.csv", "is not a file"),
        ("a.parquet", "can't be read"),
        ("a.xlsx", "can't be read"),
        ("a.doc", "is not a csv, xlsx or parquet"),
    ]:
        if name != "none.csv":
            (tmp_path / name).write_text("nothing")
        with pytest.raises(CohortError, match=said):
            read_cohorts(tmp_path / name)


GERMAN = [
    pytest.param("customer_id;cohort\n5;trial\n7;Größe, M\n", "utf-8", id="semicolons and a comma in a value"),
    pytest.param("customer_id;cohort\n5;trial\n7;Größe, M\n;;\n;\n", "cp1252", id="trailing empty rows, cp1252"),
    pytest.param("sep=;\r\ncustomer_id;cohort\r\n5;trial\r\n7;Größe, M\r\n", "utf-8-sig", id="sep="),
    pytest.param("customer_id\tcohort\n5\ttrial\n7\tGröße, M\n", "utf-16", id="tabs, UTF-16"),
    pytest.param("customer_id\tcohort\n5\ttrial\n7\tGröße, M\n", "utf-16-le", id="UTF-16 without a mark"),
    pytest.param('customer_id,cohort\n5,trial\n7,"Größe, M"\n', "utf-8", id="quotes"),
    pytest.param("customer_id;cohort;;\n5;trial\n7;Größe, M;;\n", "cp1252", id="empty columns"),
    pytest.param("\n\ncustomer_id|cohort\n5|trial\n\n7|Größe, M\n", "utf-8", id="bars and blank rows"),
    pytest.param(" Customer_ID ; COHORT\n5;trial\n7;Größe, M\n", "utf-8", id="header in another case"),
    pytest.param("Kundennummer;cohort\n5;trial\n7;Größe, M\n", "cp1252", id="a German name"),
    pytest.param("Mitglieds-Nr.;cohort\n5;trial\n7;Größe, M\n", "cp1252", id="another German name"),
]


@pytest.mark.filterwarnings("ignore:.* is read as customer_id")
@pytest.mark.parametrize(("text", "encoding"), GERMAN)
def test_a_csv_is_read_as_any_spreadsheet_writes_it(tmp_path: Path, text: str, encoding: str) -> None:
    path = csv(tmp_path, text.encode(encoding))
    assert read_cohorts(path).rows() == [(5, "trial", None), (7, "Größe, M", None)]


def test_a_name_that_is_known_is_said_and_another_can_be_named(tmp_path: Path) -> None:
    path = csv(tmp_path, "Kunden-ID;Nr\n5;8\n")
    with pytest.warns(UserWarning, match="column Kunden-ID is read as customer_id"):
        assert read_cohorts(path)["customer_id"].to_list() == [5]
    assert read_cohorts(path, columns={" nr": "customer_id"})["customer_id"].to_list() == [8]
    with pytest.raises(CohortError, match="has no column Number, only Kunden-ID, Nr"):
        read_cohorts(path, columns={"Number": "customer_id"})


def workbook(path: Path, **sheets: list[list[Any]]) -> Path:
    with xlsxwriter.Workbook(path) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return path


class TestSpreadsheets:
    def test_the_first_sheet_with_ids_is_read_and_whole_numbers_are_ids(self, tmp_path: Path) -> None:
        members: list[list[Any]] = [
            ["customer_id", "Plan", "cohort"],
            [5.0, "gold ", "new"],
            [],
            ["14925548", 3, "old"],
        ]
        path = workbook(tmp_path / "m.xlsx", About=[["Members"]], List=members)
        assert read_cohorts(path).rows() == [(5, "new", None, "gold"), (14925548, "old", None, "3")]

    def test_a_sheet_can_be_named(self, tmp_path: Path) -> None:
        path = workbook(tmp_path / "m.xlsx", One=[["customer_id"], [1]], Two=[["customer_id"], [2]])
        assert read_cohorts(path, sheet="Two")["customer_id"].to_list() == [2]
        with pytest.raises(CohortError, match="has no sheet 'Three', only One, Two"):
            read_cohorts(path, sheet="Three")

    def test_a_fraction_is_no_id_and_its_row_is_the_spreadsheets(self, tmp_path: Path) -> None:
        path = workbook(tmp_path / "m.xlsx", List=[["customer_id"], [1], [], [2.5]])
        with pytest.raises(CohortError, match=r"row 4: customer_id is '2\.5'"):
            read_cohorts(path)

    def test_a_number_that_the_spreadsheet_rounded_is_refused(self, tmp_path: Path) -> None:
        path = workbook(tmp_path / "m.xlsx", List=[["customer_id"], [9007199254740993]])
        with pytest.raises(CohortError, match="row 2: 9007199254740992 has more than 15 digits"):
            read_cohorts(path)

    def test_an_empty_workbook_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CohortError, match="is empty"):
            read_cohorts(workbook(tmp_path / "m.xlsx", List=[]))


NAMES = st.text(st.characters(codec="cp1252", exclude_categories=["C"]), min_size=1, max_size=6)


@given(
    ids=st.lists(IDS, min_size=1, max_size=6, unique=True),
    names=st.lists(NAMES, min_size=6),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    quoting=st.sampled_from([QUOTE_MINIMAL, QUOTE_ALL]),
    header=st.sampled_from(["customer_id", " CUSTOMER_ID", "Customer_Id "]),
    blanks=st.lists(st.integers(0, 6), max_size=3),
    line=st.sampled_from(["\n", "\r\n"]),
)
def test_any_list_that_a_spreadsheet_could_write_gives_its_ids_exactly_or_is_refused(
    *,
    tmp_path_factory: pytest.TempPathFactory,
    ids: list[int],
    names: list[str],
    separator: str,
    encoding: str,
    quoting: Literal[0, 1],
    header: str,
    blanks: list[int],
    line: str,
) -> None:
    rows = [[str(customer_id), name] for customer_id, name in zip(ids, names, strict=False)]
    written = [[header, "plan"], *rows]
    for place in blanks:
        written.insert(min(place, len(written)) or 1, ["", ""])
    text = io.StringIO()
    writer(text, delimiter=separator, quoting=quoting, lineterminator=line).writerows(written)
    path = tmp_path_factory.mktemp("list") / "m.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    try:
        cohorts = read_cohorts(path)
    except CohortError:
        assert encoding == "cp1252"  # whose bytes may be UTF-8's or UTF-16's by chance
    else:
        assert cohorts["customer_id"].to_list() == [int(row[0]) for row in rows]


@pytest.mark.parametrize("kind", ["pandas", "pyarrow"])
def test_a_frame_of_another_library_is_read(kind: str) -> None:
    frame = pl.DataFrame({"Customer_ID": [5, 7], "cohort": ["new ", "old"]})
    source: Any = frame.to_pandas() if kind == "pandas" else frame.to_arrow()
    assert read_cohorts(source).rows() == [(5, "new", None), (7, "old", None)]


def test_a_relation_of_duckdb_is_read_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which DuckDB's users need not have, and the package does not bring."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    relation: Any = duckdb.sql("select * from (values (5, 'new '), (7, 'old')) as list(customer_id, cohort)")
    assert read_cohorts(relation).sort("customer_id").rows() == [(5, "new", None), (7, "old", None)]


def test_whole_floats_of_a_frame_are_ids() -> None:
    assert read_cohorts(pl.DataFrame({"customer_id": [5.0, 7.0]}))["customer_id"].to_list() == [5, 7]


def test_control_characters_are_removed_and_told_once(tmp_path: Path) -> None:
    path = csv(tmp_path, 'customer_id,cohort,plan\n5,"a\x07b","x\ny"\n6,ab,z\n')
    with pytest.warns(UserWarning, match="control characters and line breaks were removed from cohort, plan") as told:
        cohorts = read_cohorts(path)
    assert len(told) == 1
    assert cohorts.select("cohort", "plan").rows() == [("ab", "x y"), ("ab", "z")]


def test_an_id_with_a_control_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="row 2: customer_id is"):
        read_cohorts(csv(tmp_path, "customer_id\n5\x07\n"))


@pytest.mark.parametrize("name", ["members [2].csv", "members*.csv", "m?.csv"])
def test_exactly_the_file_that_was_named_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "members 2.csv").write_text("customer_id\n2\n")
    (tmp_path / "members.csv").write_text("customer_id\n3\n")
    with pytest.raises(CohortError, match="is not a file"):
        read_cohorts(tmp_path / name)
    (tmp_path / name).write_text("customer_id\n1\n")
    assert read_cohorts(tmp_path / name)["customer_id"].to_list() == [1]
    odd = tmp_path / f"{name}.parquet"
    pl.DataFrame({"customer_id": [4]}).write_parquet(odd)
    assert read_cohorts(odd)["customer_id"].to_list() == [4]


@pytest.mark.parametrize(
    ("source", "said"),
    [(b"5", "a bytes is not a list"), ("https://acme.de/m.csv", "is an address"), (5, "a int is not a list")],
)
def test_what_is_no_list_is_refused(source: Any, said: str) -> None:
    with pytest.raises(CohortError, match=said):
        read_cohorts(source)


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csv(tmp_path, "customer_id\n5\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_cohorts("~/members.csv").height == 1


class TestTitles:
    def test_titles_are_read_from_a_german_file(self, tmp_path: Path) -> None:
        path = csv(tmp_path, "class_id;Titel\n3101;Rücken & mehr\n".encode("cp1252"))
        with pytest.warns(UserWarning, match="column Titel is read as title"):
            assert read_titles(path) == {3101: "Rücken & mehr"}

    def test_a_row_without_title_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CohortError, match="row 3: class_id is '3102' and title None"):
            read_titles(csv(tmp_path, "class_id,title\n3101,Yoga\n3102,\n"))


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
