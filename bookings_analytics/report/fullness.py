"""How full the classes were, as the timetable says, and how many of their booked places the list holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from bookings_analytics import charts
from bookings_analytics.metrics.fill import class_fill
from bookings_analytics.report.material import local_days
from bookings_analytics.report.parts import Figure, Words
from bookings_analytics.report.sheets import largest, sheet
from bookings_analytics.schema import CUSTOMER_KEY
from bookings_analytics.wording import SPELLED_OUT, counted, in_markdown, label, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bookings_analytics.report.material import Material
    from bookings_analytics.report.parts import Part

_COLUMNS: Final = ["n_slots", "n_places", "n_taken", "filled_share", "n_listed", "listed_share"]
_CALLED: Final = {
    "slots": "class slots",
    "filled share": "filled",
    "listed": "by the list",
    "listed share": "share of the booked",
}


def fullness(m: Material) -> Iterator[Part]:
    """Write how full the classes of the period were: by studio where there are several, by class, and by hour.

    Args:
        m: What the report is made of.
    """
    if m.archive is None:
        return
    dated = local_days(m.archive.slots().collect(), m.hours, "starts_at").rename({"day": "class_day"})
    slots = m.period.rows(dated).join(m.listed.select("studio"), on="studio", how="semi").drop("class_day")
    read = m.listed.filter(pl.col("fetch_outcome") == "ok").select(CUSTOMER_KEY).unique()
    seats = m.outcomes.join(read, on=list(CUSTOMER_KEY), how="semi")

    def filled(*by: str) -> pl.DataFrame:
        return m.shown(class_fill(slots, seats, by=by, timezone=m.timezone), by, of=seats)

    together = filled()
    if not together.height or together["filled_share"][0] is None:
        return
    classes = filled("class_id").filter(pl.col("n_slots") > 0)
    yield Words(_answer(m, together, classes))
    yield Words(
        "Everybody who booked counts, on the list or not. A class counts once it was looked at after it had begun: "
        "before that it still fills."
    )
    studios = filled("studio").filter(pl.col("n_slots") > 0)
    if studios.height > 1:
        yield Figure(charts.class_fill(studios))
    shown, said = largest(classes, pl.col("n_places"), "places")
    if shown.height:
        if said:
            yield Words(said)
        yield Figure(charts.class_fill(shown, names=m.titles))
    hours = filled("hour").filter(pl.col("n_slots") > 0)
    if hours.height > 1:
        yield Figure(charts.class_fill(hours))
    if studios.height > 1:
        yield sheet(m, studios, "Places taken", _COLUMNS, called=_CALLED)
    if shown.height:
        yield sheet(m, shown, "Places taken", _COLUMNS, called=_CALLED, said=said)


def _answer(m: Material, together: pl.DataFrame, classes: pl.DataFrame) -> str:
    """Write the fill rate, the list's part of it, and between which classes it lies."""
    row = together.row(0, named=True)
    answer = (
        f"**{percent(row['filled_share'])} of the places were taken**: {row['n_taken']:,} of {row['n_places']:,}, in "
        f"{counted(row['n_slots'], 'class slot')}."
    )
    if row["listed_share"] is not None:
        answer += f" Customers of the list held {percent(row['listed_share'])} of the booked places."
    alike: dict[str, list[dict[str, Any]]] = {}  # classes of one percentage, the emptiest first
    for each in classes.drop_nulls("filled_share").sort("filled_share", maintain_order=True).rows(named=True):
        alike.setdefault(percent(each["filled_share"]), []).append(each)
    if len(alike) > 1:
        least, *_, most = alike.items()
        answer += f" Fullest: {_named(m, *most)}; emptiest: {_named(m, *least)}."
    return answer


def _named(m: Material, share: str, classes: list[dict[str, Any]]) -> str:
    """Name classes that were equally full, and how full they were; of many, only their number."""
    if len(classes) > SPELLED_OUT:
        return f"{counted(len(classes), 'class')} ({share} each)"
    titles = [m.titles.get(each["class_id"]) or each.get("class_title") or label(each["class_id"]) for each in classes]
    return f"{' and '.join(f'*{in_markdown(title)}*' for title in titles)} ({share})"
