"""`ba.notebook.table`: what a frame of rates says as a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import bookings_analytics as ba
from bookings_analytics import schema
from bookings_analytics.notebook import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from bookings_analytics import demo

RATES = pl.DataFrame(
    {
        "cohort": ["big", "small", "none"],
        "contract": ["basic", None, "plus"],
        "n_attended": [1200, 20, 0],
        "n_no_show": [34, 9, 0],
        "no_show_rate": [34 / 1234, 9 / 29, None],
        "no_show_rate_ci_low": [0.001, 0.17, None],
        "no_show_rate_ci_high": [0.04, 0.5, None],
        "no_show_rate_min": [0.02, 0.3, None],
        "no_show_rate_max": [0.9999, 0.35, None],
    }
)


def test_it_has_a_row_a_group_percent_counts_and_one_column_for_an_interval() -> None:
    assert table(RATES).texts.to_dicts()[0] == {
        "cohort / contract": "big / basic",
        "attended": "1,200",
        "no-show": "34",
        "no-show rate": "3%",
        "no-show rate, interval": "<1% to 4%",
        "no-show rate, bounds": "2% to >99%",
    }


def test_a_rate_of_few_is_marked_and_a_missing_one_is_a_dash() -> None:
    shown = table(RATES)
    assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in shown.texts["no-show rate"]] == ["3%", "31% *", "—"]
    assert shown.texts["no-show rate, interval"][2] == "—"
    assert "* of fewer than 30" in shown.html
    assert "of fewer" not in table(RATES.head(1)).html


def test_a_rate_whose_counts_were_left_out_is_not_marked() -> None:
    assert table(RATES.drop("n_attended")).texts["no-show rate"][1] == "31%"


def test_groups_are_named_and_put_in_the_order_wanted() -> None:
    frame = RATES.drop("contract")
    assert table(frame, sort=["small", "none"]).texts["cohort"].to_list() == ["small", "none", "big"]
    assert table(frame, sort="no_show_rate").texts["cohort"].to_list() == ["small", "big", "none"]
    assert table(frame, names={"big": "Big ones"}).texts["cohort"][0] == "Big ones"
    with pytest.raises(ValueError, match="no column 'nothing' to sort by"):
        table(frame, sort="nothing")


def test_one_end_alone_stands_for_itself() -> None:
    frame = RATES.select("cohort", "no_show_rate_ci_high", "no_show_rate_min")
    assert table(frame).texts.row(0) == ("big", "4%", "2%")


def test_limits_and_positions_of_a_funnel_are_in_words() -> None:
    funnel = pl.DataFrame(
        {"class_id": 7, "limit_95_low": [0.02], "limit_95_high": [0.16], "position": ["above_998"]},
        schema_overrides={"position": schema.POSITION},
    )
    assert table(funnel, names={7: "Yoga"}).texts.to_dicts() == [
        {"class": "Yoga", "95% limits": "2% to 16%", "position": "above the 99.8% limit"}
    ]


def test_differences_are_in_points_and_hours_in_hours() -> None:
    compared = pl.DataFrame({"difference": [0.051, -0.2], "difference_ci_low": -0.3, "difference_ci_high": 0.001})
    assert table(compared).texts.rows() == [("+5 pp", "−30 to 0"), ("−20 pp", "−30 to 0")]  # noqa: RUF001 - as shown
    gaps = pl.DataFrame({"median_gap_h": [1234.4], "dispersion": [1.234]})
    assert table(gaps).texts.rows() == [("1,234 h", "1.23")]


def test_it_is_the_same_in_every_run_and_short_as_text() -> None:
    assert table(RATES).html == table(RATES)._repr_html_() == table(RATES.lazy()).html
    assert table(RATES).html != table(RATES.head(2)).html
    assert repr(table(RATES)) == "<table of 3 rows and 6 columns>"


def test_it_takes_the_colours_of_the_theme_and_styles_nothing_else_on_the_page() -> None:
    (sheet,) = re.findall(r"<style>(.*?)</style>", table(RATES).html, re.DOTALL)
    (own,) = re.findall(r'<div id="(table-\w+)"', table(RATES).html)
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", sheet)
    assert rules
    assert all(selector.strip().startswith(f"#{own} ") for selector, _ in rules)
    assert re.findall(r"(?<![-\w])(?:color|background): (\w+)", sheet) == ["inherit", "none"]


def test_a_frame_without_rows_is_an_empty_table() -> None:
    assert table(RATES.clear()).texts.height == 0


def test_what_a_group_is_called_can_not_become_html() -> None:
    assert "<b>" not in table(RATES.with_columns(cohort=pl.lit("<b>"))).html


MADE: dict[str, Callable[[pl.DataFrame, pl.DataFrame], Any]] = {
    "booking_vs_participation": lambda outcomes, cohorts: ba.booking_vs_participation(outcomes, cohorts, by="cohort"),
    "no_shows": lambda outcomes, _: ba.no_shows(outcomes, by="class_id"),
    "outcome_counts": ba.outcome_counts,
    "no_show_funnel": lambda outcomes, _: ba.no_show_funnel(outcomes, by="class_id"),
    "waitlist_conversion": lambda outcomes, cohorts: ba.waitlist_conversion(outcomes, cohorts, by="cohort"),
    "seats_lost_while_waiting": lambda outcomes, _: ba.seats_lost_while_waiting(outcomes, by="class_id"),
}


@pytest.mark.parametrize("name", MADE)
def test_every_rates_function_makes_a_frame_that_can_be_shown(studio: demo.DemoStudio, name: str) -> None:
    result = ba.fetch_bookings(studio.cohorts.head(60), studios=studio, progress=False)
    frame = MADE[name](ba.classify(result.bookings), result.cohorts)
    shown = table(frame)
    assert shown.texts.height == frame.height
    assert not [name for name in shown.texts.columns if re.search(r"ci (low|high)|(min|max)$", name)]


def test_few_goes_by_effective_customers_where_they_are_known() -> None:
    rates = pl.DataFrame(
        {
            "cohort": ["few people, many seats", "many people"],
            "n_attended": [90, 20],
            "n_no_show": [10, 5],
            "no_show_rate": [0.1, 0.2],
            "n_effective_customers": [4.4, 21.6],
        }
    )
    shown = table(rates)

    assert shown.texts["no-show rate"].to_list() == ["10%\N{NO-BREAK SPACE}*", "20%"]
    assert shown.texts["effective customers"].to_list() == ["4", "22"]
    assert "* of fewer than 10 effective customers" in shown.html


def test_numbers_of_classes_are_no_percentages() -> None:
    visits = pl.DataFrame(
        {"booked_per_week": [1.25], "booked_per_week_ci_low": [1.0], "booked_per_week_ci_high": [1.5]}
    )
    change = {"rate": ["attended_per_week"], "difference": [-0.25], "value": [1.0]}
    change |= {"difference_ci_low": [-0.5], "difference_ci_high": [0.0]}

    assert table(visits).texts.row(0) == ("1.25", "1.00 to 1.50")
    assert table(pl.DataFrame(change)).texts.rows() == [
        ("classes attended a week", "\N{MINUS SIGN}0.25", "1.00", "\N{MINUS SIGN}0.50 to 0")
    ]


def test_statuses_and_rates_are_written_in_words() -> None:
    counts = pl.DataFrame({"outcome": ["no_show", "slot_canceled"], "n": [1, 2], "share": [0.5, None]})

    assert table(counts).texts["outcome"].to_list() == ["no-show", "class canceled"]
    assert table(pl.DataFrame({"rate": ["no_show_rate"], "difference": [0.1]})).texts.row(0) == (
        "no-show rate",
        "+10 pp",
    )
