"""`bookings-analytics report`: what it writes, what it refuses, and what must not be in it."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from typer.testing import CliRunner

import bookings_analytics as ba
from bookings_analytics import cli, schema
from bookings_analytics.cli.demo_data import late_cohorts, late_world, look
from bookings_analytics.metrics.measured import MEASURING
from bookings_analytics.report import Request
from bookings_analytics.report.material import read
from bookings_analytics.report.number import Change, Number, signed
from bookings_analytics.report.numbers import six_numbers
from bookings_analytics.report.request import check
from bookings_analytics.report.sheets import largest
from bookings_analytics.report.summary import _number
from bookings_analytics.results import FetchResult

DATA = Path(__file__).parent.parent / "data"
LATE = DATA / "late"  # a small archive of twelve weeks, whose studio marks everything late
HOURS = ["--timezone", "Europe/Berlin", "--opens", "06:00", "--closes", "23:00"]
OWN = ["--cohorts", str(LATE / "cohorts.csv"), "--archive", str(LATE / "archive"), *HOURS]
NUMBERS = ["no_show_rate", "attendance_rate", "late_cancel_rate", "visits", "conversion_rate", "coverage"]
KEY = secrets.token_urlsafe(24)


def run(folder: Path, *options: str) -> str:
    return CliRunner().invoke(cli.app, ["report", str(folder), *options], catch_exceptions=False).output


@dataclass
class Element:
    """An element of a page: its name, its attributes, and the text in it."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""
    inside: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """The elements of a page in their order; what a script holds is not text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), inside=[each.tag for each in self._open])
        self.found.append(element)
        if tag not in {"img", "meta", "br", "circle", "polyline"}:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(each.tag in {"script", "style"} for each in self._open):
            for element in self._open:
                element.text += data

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.found if element.tag in tags]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "out"
    told = run(folder, *OWN, "--classes", str(DATA / "classes.csv"), "--xlsx")
    assert re.search(r"report\.xlsx: \d+ tables\n.*index\.html: 7 questions", told)
    return folder


@pytest.fixture(scope="module")
def index(whole: Path) -> Page:
    return Page((whole / "index.html").read_text("utf-8"))


class TestThePages:
    def test_each_question_is_in_the_first_page_and_a_page_of_its_own(self, whole: Path, index: Page) -> None:
        assert len(index.all("h1")) == 1
        titles = {article.attributes["id"]: None for article in index.all("article")}
        assert list(titles) == ["booking", "no-shows", "late-cancels", "waiting-list", "weekdays", "trend", "data"]
        for key in titles:
            own = Page((whole / f"{key}.html").read_text("utf-8"))
            heading = next(each for each in index.all("h2") if each.attributes.get("id") == f"{key}-title")
            assert [each.text for each in own.all("h1")] == [heading.text]
            assert len(own.all("figure")) + len(own.all("table")) > 0

    def test_links_of_the_first_page_lead_to_places_in_it_and_no_page_needs_another_file(
        self, whole: Path, index: Page
    ) -> None:
        places = {f"#{each.attributes['id']}" for each in index.all("article")}
        assert {each.attributes["href"] for each in index.all("a")} == places
        for path in whole.glob("*.html"):
            page = Page(path.read_text("utf-8"))
            assert all((each.attributes["src"] or "").startswith("data:image/") for each in page.all("img"))
            assert not page.all("link", "iframe", "object")
            assert not [each for each in page.all("script") if "src" in each.attributes]

    def test_nothing_in_it_is_for_developers(self, whole: Path) -> None:
        names = [name for name in ba.__all__ if "_" in name] + ["ba.", "polars", "outcomes", "DataFrame", "n_no_show"]
        for path in whole.glob("*.html"):
            page = Page(path.read_text("utf-8"))
            assert not page.all("pre", "code", "details", "summary")
            text = page.all("main")[0].text
            assert not [name for name in names if re.search(rf"\b{re.escape(name)}", text)], path.name
            assert str(LATE) not in path.read_text("utf-8")
            assert "cohorts.csv" not in text
            assert "archive/" not in text

    def test_no_customers_id_is_in_any_file(self, whole: Path) -> None:
        ids = [str(each).encode() for each in ba.read_cohorts(LATE / "cohorts.csv")["customer_id"]]
        pattern = re.compile(rb"(?<!\d)(" + b"|".join(ids) + rb")(?!\d)")
        for path in whole.iterdir():
            content = path.read_bytes()
            if path.suffix == ".xlsx":
                with zipfile.ZipFile(path) as parts:
                    content = b"".join(parts.read(name) for name in parts.namelist())
            assert not pattern.search(content), path.name

    def test_it_says_from_when_to_when_and_who_was_asked(self, index: Page) -> None:
        about = next(each.text for each in index.all("p") if each.attributes.get("class") == "quiet")
        listed = ba.Archive(LATE / "archive").cohorts(LATE / "cohorts.csv").collect()
        read_ = listed.filter(pl.col("fetch_outcome") == "ok").height
        assert about == (
            f"Classes of 4 May to 31 May 2026. 300 customers on the list, {read_} of them could be read, "
            "looked at from 26 Mar 2026 to 17 Jun 2026."
        )
        assert "Changes are against 6 Apr to 3 May 2026." in [each.text for each in index.all("p")]

    def test_every_table_has_a_title_a_period_and_a_base(self, index: Page) -> None:
        tables = index.all("caption")
        assert len(tables) == len([t for t in index.all("table") if "beside" not in (t.attributes["class"] or "")])
        for caption in tables:
            assert re.search(r"\d \w{3}.* 2026\.", caption.text), caption.text
            assert re.search(r"\d (seats|customers|waits|requests|cancellations|customer-weeks)\b", caption.text)

    def test_every_chart_has_a_heading_its_picture_and_words_for_who_cannot_see_it(self, index: Page) -> None:
        figures, pictures = index.all("figure"), index.all("img")
        assert len(figures) == len(pictures) > 10
        assert all((each.attributes["alt"] or "").endswith((".", "chance")) for each in pictures)
        headings = [each for each in index.all("h3") if "figcaption" in each.inside]
        assert len(headings) == len(figures)

    def test_charts_are_saved_as_pictures_with_their_titles(self, whole: Path) -> None:
        picture = (whole / "no-shows-1.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert b"No-shows among booked seats, by cohort" in picture

    def test_the_workbook_has_a_sheet_a_table(self, whole: Path, index: Page) -> None:
        with zipfile.ZipFile(whole / "report.xlsx") as parts:
            names = re.findall(r'<sheet name="([^"]+)"', parts.read("xl/workbook.xml").decode())
            cells = "".join(parts.read(name).decode() for name in parts.namelist() if "sheets/sheet" in name)
            texts = re.findall(r"<t[^>]*>([^<]*)</t>", parts.read("xl/sharedStrings.xml").decode())
        assert len(names) == len(index.all("caption"))
        assert cells.count("<pane ") == len(names), "each header is frozen"
        assert not [text for text in texts if re.fullmatch(r"[<>]?\d[\d.,]*\s?%", text)]
        assert [text for text in texts if text.startswith("4 May to 31 May 2026")]


@pytest.fixture(scope="module")
def outcomes() -> pl.DataFrame:
    archive = ba.Archive(LATE / "archive")
    days = archive.class_days(timezone="Europe/Berlin", opens="06:00", closes="23:00")
    return archive.outcomes(class_days=days).frame()


class TestTheNumbers:
    def test_there_are_six_each_with_name_value_change_and_weeks(self, index: Page) -> None:
        sections = index.all("section")
        assert [each.attributes["data-number"] for each in sections] == NUMBERS
        for each in sections:
            expected = each.attributes["data-number"] != "visits" or "attended_per_week" in MEASURING
            assert each.text.count("Change: ") == expected, each.text
        lines = [each for each in index.all("svg") if "section" in each.inside]
        assert len(lines) == 6
        for line in lines:
            assert re.fullmatch(
                r"\d+ weeks from \d+ \w+: between .* and .*, .* in the week of .*\.",
                line.attributes["aria-label"] or "",
            )

    def test_values_are_those_of_the_periods_classes(self, outcomes: pl.DataFrame, index: Page) -> None:
        first, last = date(2026, 5, 4), date(2026, 5, 31)
        asked = ba.read_cohorts(LATE / "cohorts.csv")
        own = outcomes.filter(
            pl.col("class_day").is_between(first, last), pl.col("customer_id").is_in(asked["customer_id"].to_list())
        )
        counts = dict(own["outcome"].cast(pl.String).value_counts().iter_rows())
        waits = dict(own["wait_outcome"].cast(pl.String).value_counts().iter_rows())
        seats = counts["attended"] + counts["no_show"]
        decided = waits["converted"] + waits["lapsed"] + waits["withdrawn"]
        values = {each.attributes["data-number"]: each.text for each in index.all("section")}
        assert f"{counts['no_show'] / seats:.0%}" in values["no_show_rate"]
        assert f"{counts['attended'] / seats:.0%}" in values["attendance_rate"]
        assert f"{seats:,} seats" in values["no_show_rate"]
        assert f"{waits['converted'] / decided:.0%}" in values["conversion_rate"]
        assert f"{decided:,} waits" in values["conversion_rate"]

    def test_a_change_is_that_of_before_after_and_chance_has_neither_arrow_nor_color(
        self, outcomes: pl.DataFrame, index: Page
    ) -> None:
        asked = ba.Archive(LATE / "archive").cohorts(LATE / "cohorts.csv", date(2026, 5, 4), date(2026, 5, 31))
        listed = asked.collect()
        sections = {each.attributes["data-number"]: each for each in index.all("section")}
        fetches = ba.Archive(LATE / "archive").fetches().collect()
        rates = {key: key for key in NUMBERS[:-1]} | {"visits": "attended_per_week"}
        for key, rate in rates.items():
            changed = ba.before_after(outcomes, rate, listed, change=date(2026, 5, 4), weeks=4, fetches=fetches)
            row = changed.row(0, named=True)
            if key == "visits":  # nobody has weeks before they were first asked for
                assert row["n"] < 4 * listed.height
            chance = row["difference_ci_low"] <= 0 <= row["difference_ci_high"]
            assert ("no more than chance" in sections[key].text) == chance
            assert bool(re.search("[▲▼]", sections[key].text)) != chance
        colored = [each for each in index.all("span") if each.attributes.get("class") in {"good", "bad"}]
        assert len(colored) == sum("▲" in each.text or "▼" in each.text for each in sections.values())

    @pytest.mark.parametrize(
        ("difference", "text"),
        [
            (0.0, "0"),
            (0.024, "+0.02"),
            (0.004, "+0.004"),
            (-0.0003, "\N{MINUS SIGN}0.0003"),
            (-1.5, "\N{MINUS SIGN}1.50"),
        ],
    )
    def test_a_bound_that_is_not_zero_never_reads_as_zero(self, difference: float, text: str) -> None:
        assert signed(difference, 2) == text

    def test_of_hundreds_of_classes_the_largest_are_shown_and_it_says_so(self) -> None:
        classes = pl.DataFrame({"class_id": range(1, 42), "n": [*range(20), 500, *range(20)]})
        assert largest(classes.head(40), pl.col("n"), "seats")[1] == ""
        shown, said = largest(classes, pl.col("n"), "seats")
        assert said == "Of 41 classes, the 40 with the most seats follow."
        assert shown["class_id"][0] == 21
        assert sorted(shown["n"]) == sorted([500, *range(20), *range(1, 20)])

    def test_a_rise_of_no_shows_is_shown_as_bad(self) -> None:
        rise = Change("+9 points (+4 to +14)", "up", good=False)
        html = _number(Number("no_show_rate", "No-show rate", "12%", "9% to 16%, 800 seats", rise, []))
        assert '<span class="bad"><span aria-hidden="true">▲ </span>+9 points (+4 to +14)</span>' in html

    def test_coverage_is_the_share_of_customer_days(self, tmp_path: Path) -> None:
        request = Request(
            cohorts=LATE / "cohorts.csv", archive=str(LATE / "archive"), timezone="Europe/Berlin", last="6w"
        )
        m = read(request, check(request, tmp_path))
        number = six_numbers(m)[-1]
        zone = ZoneInfo("Europe/Berlin")
        asked = set(m.listed.filter(pl.col("fetch_outcome") == "ok")["customer_id"])
        looks = [
            (row["customer_id"], row["fetched_at"].astimezone(zone).date())
            for row in m.fetches.filter(pl.col("outcome") == "ok").iter_rows(named=True)
            if row["customer_id"] in asked
        ]
        assert m.period.first is not None
        assert m.period.last is not None
        span = [m.period.first + timedelta(days=n) for n in range((m.period.last - m.period.first).days + 1)]
        seen = set(looks)
        starts = {customer: min(day for other, day in looks if other == customer) for customer in asked}
        due = [(customer, day) for customer in asked for day in span if starts[customer] <= day]
        n = sum(each in seen for each in due)
        assert number.detail.startswith(f"{n:,} of {len(due):,} due")


class TestSentences:
    def test_there_are_three_findings(self, index: Page) -> None:
        assert len([each for each in index.all("li") if "ul" in each.inside and "nav" not in each.inside
                    and "div" not in each.inside and "article" not in each.inside]) == 3  # fmt: skip

    def test_it_warns_of_late_marks_one_look_a_day_and_unrecorded_attendance(self, index: Page) -> None:
        (warned,) = [each.text for each in index.all("div") if each.attributes.get("class") == "cautions"]
        assert "marks some classes as completed only days later" in warned
        assert "looked at less than twice a day, at 04 o'clock" in warned
        assert re.search(r"Attendance was recorded for only \d\d% of the seats\.", warned)

    def test_it_warns_of_nights_that_failed(self, tmp_path: Path) -> None:
        world, listed = late_world(), late_cohorts().head(40)
        archive = ba.Archive(tmp_path / "archive")
        for night in range(12):
            at = datetime(2026, 5, 4, 2, 15, tzinfo=UTC) + timedelta(days=night)
            brought = look(world, listed, at, "late")
            if night in {5, 6}:  # the network was down
                failed = brought.fetches.with_columns(
                    outcome=pl.lit("failed", schema.FETCH_OUTCOME), n_bookings=pl.lit(None, pl.Int64)
                )
                brought = FetchResult(brought.bookings.clear(), failed, brought.cohorts)
            archive.add(brought)
        listed.write_csv(tmp_path / "list.csv")
        options = ["--cohorts", str(tmp_path / "list.csv"), "--archive", str(tmp_path / "archive"), *HOURS]
        run(tmp_path / "out", *options)
        page = Page((tmp_path / "out/index.html").read_text("utf-8"))
        (warned,) = [each.text for each in page.all("div") if each.attributes.get("class") == "cautions"]
        assert "On 2 days fewer than half of the customers could be fetched: 9 May to 10 May 2026." in warned
        assert "there is no whole week of classes with a known day yet" in page.all("main")[0].text
        assert not [each for each in page.all("svg") if "section" in each.inside], "no weeks, no lines of weeks"


@pytest.fixture
def members(tmp_path: Path) -> str:
    path = tmp_path / "members.csv"
    path.write_text("customer_id,contract\n1,plus\n", "utf-8")
    return str(path)


@pytest.fixture
def kept(tmp_path: Path) -> str:
    """An archive of one fetch, of customer 1 on 20 May 2026, who has a booking of class 7."""
    ids = {"studio": "mitte", "customer_id": 1}
    booking = ids | {"class_slot_id": 70, "class_id": 7, "booking_id": 700, "booking_status": "BOOKED"}
    slot = {"class_slot_status": "COMPLETED", "participant_status": "PARTICIPATING", "visible": True}
    fetch = {"outcome": "ok", "n_bookings": 1, "http_status": 200, "attempts": 1}
    empty = {"error_code": None, "message": None, "trace_id": None}
    when = datetime(2026, 5, 20, 2, tzinfo=UTC)
    bookings = pl.DataFrame([booking | slot | {"observed_at": when}], schema=schema.BOOKINGS)
    fetches = pl.DataFrame([ids | fetch | empty | {"fetched_at": when}], schema=schema.FETCHES)
    archive = tmp_path / "kept"
    ba.Archive(archive).add(FetchResult(bookings, fetches, pl.DataFrame(schema=schema.RESULT_COHORTS)))
    return str(archive)


def test_a_young_archive_of_one_snapshot_is_reported_as_far_as_it_goes(tmp_path: Path, members: str, kept: str) -> None:
    run(tmp_path / "out", "--cohorts", members, "--archive", kept, "--timezone", "Europe/Berlin")
    page = Page((tmp_path / "out/index.html").read_text("utf-8"))
    text = page.all("main")[0].text
    assert (
        "All classes that the looks show. 1 customer on the list, 1 of them could be read, looked at on 20 May" in text
    )
    assert "No change is shown: there is no whole week of classes with a known day yet." in text
    assert [each.attributes["data-number"] for each in page.all("section")] == NUMBERS
    assert "Change:" not in text
    assert "rests on 1 customer alone" in text


def test_a_single_seat_is_one_seat_and_groups_without_a_rate_are_not_compared(tmp_path: Path, kept: str) -> None:
    (tmp_path / "list.csv").write_text("customer_id,cohort\n1,trial\n2,corporate\n", "utf-8")
    run(tmp_path / "out", "--cohorts", str(tmp_path / "list.csv"), "--archive", kept, "--timezone", "Europe/Berlin")
    page = Page((tmp_path / "out/index.html").read_text("utf-8"))
    text = page.all("main")[0].text
    assert "of 1 seat with recorded attendance was a no-show." in text
    assert "Too few cohorts have a no-show rate to compare them." in text
    assert not re.search(r"\b1 (seats|requests|waits|cancellations|customers)\b", text)
    assert "Difference in no-show rate" not in text
    assert "differ by no more than chance" not in text


def test_a_studio_is_asked_once_and_shows_what_it_has_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = ba.read_cohorts(DATA / "cohorts.csv").head(40)
    listed.drop("studio").write_csv(tmp_path / "list.csv")
    with ba.demo.serve(limit=None) as studio:
        monkeypatch.setenv("BOOKINGS_BASE_URL", studio.base_url)
        monkeypatch.setenv("BOOKINGS_API_KEY", studio.api_key.reveal())
        run(tmp_path / "out", "--cohorts", str(tmp_path / "list.csv"), "--studio", "mitte")
        key = studio.api_key.reveal().encode()
    page = Page((tmp_path / "out/index.html").read_text("utf-8"))
    text = page.all("main")[0].text
    assert "40 customers on the list" in text
    assert "one look at the studio shows four weeks" in text
    assert [each.attributes["id"] for each in page.all("article")] == ["booking", "no-shows"]
    assert not any(key in path.read_bytes() for path in (tmp_path / "out").iterdir())


def test_small_groups_are_left_out_of_every_table_and_chart(tmp_path: Path) -> None:
    listed = ba.read_cohorts(LATE / "cohorts.csv").with_row_index()
    small = pl.when(pl.col("index") < 4).then(pl.lit("board")).when(pl.col("index") < 60).then(pl.lit("staff"))
    listed = listed.with_columns(cohort=small.otherwise("cohort")).drop("index", "studio")
    listed.write_csv(tmp_path / "list.csv")
    own = ["--cohorts", str(tmp_path / "list.csv"), "--archive", str(LATE / "archive"), *HOURS]
    run(tmp_path / "all", *own)
    run(tmp_path / "safe", *own, "--suppress-small", "10", "--xlsx")
    assert "board" in (tmp_path / "all/index.html").read_text("utf-8")
    for path in (tmp_path / "safe").iterdir():
        if path.suffix == ".html":
            assert "board" not in re.sub(r"<script>.*?</script>", "", path.read_text("utf-8"), flags=re.DOTALL), path
    with zipfile.ZipFile(tmp_path / "safe/report.xlsx") as parts:
        assert b"board" not in parts.read("xl/sharedStrings.xml")
    assert "Groups of fewer than 10 customers are left out" in (tmp_path / "safe/index.html").read_text("utf-8")


def test_customers_are_listed_when_asked_for_at_the_end_of_the_question_of_no_shows(
    tmp_path: Path, outcomes: pl.DataFrame
) -> None:
    run(tmp_path / "out", *OWN, "--with-customers", "--xlsx")
    asked = ba.read_cohorts(LATE / "cohorts.csv")
    own = outcomes.filter(
        pl.col("class_day").is_between(date(2026, 5, 4), date(2026, 5, 31)),
        pl.col("customer_id").is_in(asked["customer_id"].to_list()),
    )
    expected = ba.customers(own).filter(pl.col("n_no_show") > 0).select("customer_id", "n_no_show").rows()
    assert len(expected) == own.filter(pl.col("outcome") == "no_show")["customer_id"].n_unique()
    for name in ("index", "no-shows"):
        text = (tmp_path / f"out/{name}.html").read_text("utf-8")
        (table,) = re.findall(r"by customer id</h\d>.*?</table>(?=\n(?:</article>|</main>))", text, re.DOTALL)
        rows = re.findall(r'<th scope="row">(\d+)</th><td[^>]*>(\d+)</td>', table)
        assert [(int(customer), int(n)) for customer, n in rows] == expected


HOSTILE = "</script><img src=x onerror=alert(1)> A*B [x](javascript:alert(1)) <!--<script>"


def test_a_name_of_a_list_is_shown_as_it_is_and_runs_as_nothing(tmp_path: Path) -> None:
    listed = ba.read_cohorts(LATE / "cohorts.csv").head(120).with_row_index()
    names = pl.when(pl.col("index") < 60).then(pl.lit(HOSTILE)).otherwise(pl.lit("=1+1"))
    listed.with_columns(cohort=names).drop("index", "studio").write_csv(tmp_path / "list.csv")
    run(tmp_path / "out", "--cohorts", str(tmp_path / "list.csv"), "--archive", str(LATE / "archive"), *HOURS, "--xlsx")
    for path in (tmp_path / "out").glob("*.html"):
        page = Page(path.read_text("utf-8"))
        assert not [each for each in page.found if any(name.startswith("on") for name in each.attributes)]
        assert all((each.attributes["src"] or "").startswith("data:image/svg") for each in page.all("img"))
        assert {each.attributes["href"] for each in page.all("a")} <= {"index.html"} | {
            f"#{key.stem}" for key in (tmp_path / "out").glob("*.html")
        }
    text = Page((tmp_path / "out/no-shows.html").read_text("utf-8")).all("main")[0].text
    assert "<img src=x onerror=alert(1)> A*B [x](javascript:alert(1))" in text
    with zipfile.ZipFile(tmp_path / "out/report.xlsx") as parts:
        assert not [n for n in parts.namelist() if "sheets/sheet" in n and b"<f>" in parts.read(n)]


class TestRefused:
    """In the terms of the command line, in the order of the list, the archive, …; nothing is written."""

    def refused(self, folder: Path, *options: str) -> str:
        with pytest.raises(ba.BookingsError) as raised:
            run(folder / "out", *options)
        assert not (folder / "out").exists()
        return str(raised.value)

    def test_single_customers_and_no_small_groups(self, tmp_path: Path) -> None:
        assert "Use one of them" in self.refused(tmp_path, *OWN, "--with-customers", "--suppress-small", "10")

    @pytest.mark.parametrize("option", ["--archive", "--studio", "--classes", "--studios"])
    def test_where_to_read_without_whom(self, tmp_path: Path, option: str) -> None:
        message = self.refused(tmp_path, option, "anything")
        assert message == f"{option} goes with a list of your own customers. Name it with --cohorts."

    def test_whom_without_where_to_read(self, tmp_path: Path, members: str) -> None:
        assert "Add --archive or --studio" in self.refused(tmp_path, "--cohorts", members)

    @pytest.mark.parametrize("option", [("--since", "2026-05-01"), ("--until", "2026-05-01"), ("--last", "4w")])
    def test_days_of_a_studio_that_shows_no_past(self, tmp_path: Path, members: str, option: tuple[str, str]) -> None:
        message = self.refused(tmp_path, "--cohorts", members, "--studio", "mitte", *option)
        assert message.startswith(f"{option[0]} limits what is read from an archive")

    def test_a_studio_without_address_and_key(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: str
    ) -> None:
        monkeypatch.delenv("BOOKINGS_BASE_URL", raising=False)
        monkeypatch.delenv("BOOKINGS_API_KEY", raising=False)
        message = self.refused(tmp_path, "--cohorts", members, "--studio", "mitte")
        assert "BOOKINGS_BASE_URL and BOOKINGS_API_KEY in the environment" in message

    def test_each_wrong_setting_is_named_before_the_next_one(
        self, tmp_path: Path, members: str, kept: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Everything is wrong at first; what is named is mended, one after the other."""
        monkeypatch.delenv("BOOKINGS_TIMEZONE", raising=False)
        (tmp_path / "taken").touch()
        (tmp_path / "titles.csv").write_text("class_id,title\n8,Yoga\n", "utf-8")
        wrong: dict[str, str | None] = {
            "--cohorts": str(tmp_path / "none.csv"),
            "--archive": str(tmp_path / "typo"),
            "--by": "tariff",
            "--classes": str(tmp_path / "titles.csv"),
            "--timezone": None,
            "--opens": "6",
            "--last": "four",
        }
        folder = tmp_path / "taken/out"

        def message() -> str:
            options = [part for option, value in wrong.items() if value for part in (option, value)]
            with pytest.raises(ba.BookingsError) as raised:
                run(folder, *options)
            return str(raised.value)

        assert "none.csv is not a file. Check the path." in message()
        wrong["--cohorts"] = members
        assert "typo: there is no archive. Check the path" in message()
        assert not (tmp_path / "typo").exists()
        wrong["--archive"] = kept
        assert message() == f"--by tariff: {members} has no such column. Choose one of cohort, studio, contract."
        wrong["--by"] = "contract"
        assert "none of its 1 class ids is in the archive, which has 7 and so on" in message()
        (tmp_path / "titles.csv").write_text("class_id,title\n7,Yoga\n", "utf-8")
        assert message() == f"{folder} can't be created: File exists. Name another folder."
        folder = tmp_path / "out"
        assert message().startswith("--opens")
        wrong["--opens"] = "06:00"
        text = message()
        assert "--timezone" in text
        assert "BOOKINGS_TIMEZONE" in text
        wrong["--timezone"] = "Europe/Berlin"
        assert message() == "--last four: write a whole number of weeks, at least 1, as in 4w."
        wrong["--last"] = "2w"
        assert "the archive has 0 complete weeks" in message()
        assert not folder.exists()

    def test_a_wrong_variable_is_named_and_an_option_goes_before_it(
        self, tmp_path: Path, members: str, kept: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BOOKINGS_TIMEZONE", "Mars/Olympus")
        own = ["--cohorts", members, "--archive", kept]
        assert "BOOKINGS_TIMEZONE" in self.refused(tmp_path, *own)
        assert "--timezone" in self.refused(tmp_path, *own, "--timezone", "Mars/Olympus")
        run(tmp_path / "out", *own, "--timezone", "Europe/Berlin")
        assert (tmp_path / "out/index.html").exists()

    def test_hours_come_from_the_file_of_studios(
        self, tmp_path: Path, members: str, kept: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("BOOKINGS_TIMEZONE", raising=False)
        studios = tmp_path / "studios.toml"
        table = '[[studio]]\nname = "mitte"\nbase_url = "https://acme.example"\napi_key_env = "KEY_MITTE"\n'
        studios.write_text(table + 'timezone = "Europe/Berlin"\n', "utf-8")
        run(tmp_path / "out", "--cohorts", members, "--archive", kept, "--studios", str(studios))
        assert (tmp_path / "out/index.html").exists()

    def test_an_archive_that_everybody_was_removed_from(self, tmp_path: Path, members: str, kept: str) -> None:
        ba.Archive(kept).forget([1])
        message = self.refused(tmp_path, "--cohorts", members, "--archive", kept, *HOURS)
        assert "the archive is empty. Fill it first" in message

    def test_an_archive_of_other_customers(self, tmp_path: Path, kept: str) -> None:
        (tmp_path / "others.csv").write_text("customer_id\n2\n", "utf-8")
        message = self.refused(tmp_path, "--cohorts", str(tmp_path / "others.csv"), "--archive", kept, *HOURS)
        assert "no successful fetch of any customer on the list" in message

    def test_days_after_the_last_look(self, tmp_path: Path, members: str, kept: str) -> None:
        message = self.refused(tmp_path, "--cohorts", members, "--archive", kept, *HOURS, "--since", "2030-01-01")
        assert message.startswith("--since 2030-01-01: the archive's last look is of 2026-05-20.")

    def test_a_list_that_holds_the_key(self, tmp_path: Path, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BOOKINGS_API_KEY", KEY)
        (tmp_path / "list.csv").write_text(f"customer_id,cohort\n1,{KEY}\n2,b\n", "utf-8")
        message = self.refused(tmp_path, "--cohorts", str(tmp_path / "list.csv"), "--archive", kept, *HOURS)
        assert "would show the API key" in message
        assert KEY not in message

    def test_the_command_ends_with_2_and_one_line(self, tmp_path: Path) -> None:
        program = [str(Path(sys.executable).parent / "bookings-analytics"), "report", str(tmp_path / "out")]
        done = subprocess.run([*program, "--last", "0w"], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr == "ConfigurationError: --last 0w: write a whole number of weeks, at least 1, as in 4w.\n"
        assert not (tmp_path / "out").exists()
