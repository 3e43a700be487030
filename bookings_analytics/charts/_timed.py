"""Reading a frame of any rate that is grouped by a time of the class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bookings_analytics.charts._table import Table, read
from bookings_analytics.schema import FEW, FEW_CUSTOMERS, RATES, RESULTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from narwhals.typing import IntoFrame

    from bookings_analytics.schema import RateFacts


def read_timed(rates: IntoFrame, rate: str, when: str, names: Mapping[Any, str] | None) -> tuple[Table, RateFacts]:
    """Read the rows of one rate; each gets its trials and the label of its group without the time."""
    if rate not in RATES:
        raise ValueError(f"{rate!r} is not a rate. Choose one of {', '.join(RATES)}.")
    facts = RATES[rate]
    known = {name for frame in RESULTS for name in frame} | {when}
    needs = [rate, f"{rate}_ci_low", f"{rate}_ci_high", *facts.trials, when]
    table = read(rates, schema=known, needs=needs, made_by=f"{facts.chart}(…, by={when!r})", names=names)
    for row in table.rows:
        row["trials"] = sum(row[count] or 0 for count in facts.trials)
        row["series"], row["name_series"] = row["group"], row["name"]
    return table, facts


def and_others(table: Table, when: str) -> str:
    """Write by what else a title's rate is grouped: `` and cohort``."""
    others = [column for column in table.by if column != when]
    return Table(others, []).per.replace(", by", " and") if others else ""


def few(row: Mapping[str, Any]) -> bool:
    """Check whether a rate is of too few customers to be shown by itself."""
    if row.get("n_effective_customers") is not None:
        return bool(row["n_effective_customers"] < FEW_CUSTOMERS)
    if row.get("n_customers") is not None:
        return bool(row["n_customers"] < FEW_CUSTOMERS)
    return bool(row["trials"] < FEW)
