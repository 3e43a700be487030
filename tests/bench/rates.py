"""Rates by cohort from Parquet, in one go: this library, polars by hand, DuckDB SQL and pandas side by side.

    uv run --with pandas --with pyarrow python tests/bench/rates.py [ROWS ...]

Each way makes `booking_vs_participation`, `no_shows`, `outcome_counts` and `seats_lost_while_waiting` with every count,
rate, interval and bound: design effects of customers and terms of slots included. Outcomes carry no class days, so days
have no term. By hand, an engine adds up the sums of customers, slots and groups, and the formulas of a few rows are
numpy, the same for all three (`finish`). The ways must agree with this library to 1e-9 in every column before anything
is timed. Each run is a process of its own, imports apart; medians of CPU seconds, and their ratios.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from scipy.interpolate import BarycentricInterpolator
from scipy.stats import norm
from scipy.stats import t as student

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 20250301
REPEATS = 3  # imports are inside the functions (PLC0415), so that each process loads only what its way needs
COLUMNS = ["studio", "customer_id", "class_slot_id", "class_id", "class_slot_status", "outcome", "wait_outcome"]
KINDS = ["attended", "no_show", "unrecorded", "upcoming", "waiting", "canceled", "slot_canceled", "lost"]
CUSTOMER, SLOT = ["studio", "customer_id"], ["studio", "class_slot_id"]
MEASURES = [("seats", "requests"), ("canceled", "requests"), ("no_show", "recorded")]
TOTALS = [*KINDS, "held", "recorded", "seats", "requests"]
PRODUCTS = list(dict.fromkeys(pair for y, n in MEASURES for pair in ((n, n), (y, n), (y, y))))
FLAGS = {  # of one customer
    "booked": "held > 0",
    "participated": "attended > 0",
    "perhaps": "attended + unrecorded > 0",
    "only_upcoming": "held = 0 AND upcoming > 0",
    "anything": "requests + lost + slot_canceled > 0",
    "requests_clusters": "requests > 0",
    "recorded_clusters": "recorded > 0",
}
Z, ONE_SIDED = float(norm.ppf(0.975)), float(norm.ppf(0.95))
LEAST_SLOTS = 10

Sums = dict[
    str, pl.DataFrame
]  # customers and lost: a row per cohort; classes: per class; shared: per cohort and studio


def make(directory: Path, rows: int) -> None:
    """Write outcomes and cohorts: 50 outcomes a customer, 20 a slot, 5 studios of 40 classes, 15 cohorts."""
    random = np.random.default_rng(SEED)
    customers, slots = rows // 50, rows // 20
    studios = np.array(["mitte", "nord", "ost", "sued", "west"])
    who = random.integers(0, customers, rows)
    slot = random.integers(0, slots // 5, rows) * 5 + who % 5  # each customer and each slot belong to one studio
    kind = random.choice(len(KINDS), rows, p=[0.35, 0.05, 0.1, 0.1, 0.05, 0.28, 0.04, 0.03])
    status = np.select([np.isin(kind, [3, 7]), kind == 6], ["PLANNED", "CANCELED"], "COMPLETED")
    frame = pl.DataFrame(
        {
            "studio": studios[who % 5],
            "customer_id": who,
            "class_slot_id": slot,
            "class_id": slot // 5 % 40 * 5 + who % 5,
            "class_slot_status": status,
            "outcome": np.array(KINDS)[kind],
        },
        schema_overrides={
            "outcome": pl.Enum(KINDS),
            "class_slot_status": pl.Enum(["PLANNED", "CANCELED", "COMPLETED"]),
        },
    )
    lapsed = pl.when(pl.col("outcome") == "waiting").then(pl.lit("lapsed", pl.Enum(["converted", "lapsed"])))
    frame = frame.unique([*CUSTOMER, "class_slot_id"], keep="first", maintain_order=True)
    frame.with_columns(wait_outcome=lapsed).write_parquet(directory / "outcomes.parquet")
    listed = pl.DataFrame({"studio": studios[np.arange(customers) % 5], "customer_id": np.arange(customers)})
    cohort = pl.Series("cohort", random.integers(0, 12, customers)).cast(pl.String)
    second = pl.Series("cohort", random.integers(12, 15, customers)).cast(pl.String)
    both = pl.concat([listed.with_columns(cohort), listed.with_columns(second).head(customers // 5)])
    read = pl.Series("fetch_outcome", random.choice(["ok", "failed"], customers, p=[0.97, 0.03]))
    listed = listed.with_columns(read)
    both.join(listed, on=CUSTOMER).write_parquet(directory / "cohorts.parquet")


def rates_of(outcomes: Any, cohorts: Any) -> list[Any]:
    import bookings_analytics as ba  # noqa: PLC0415

    each = (ba.booking_vs_participation, ba.no_shows, ba.outcome_counts, ba.seats_lost_while_waiting)
    return [rate(outcomes, cohorts, by="cohort") for rate in each]


def library_eager(outcomes: Path, cohorts: Path) -> list[pl.DataFrame]:
    return rates_of(pl.read_parquet(outcomes, columns=COLUMNS), pl.read_parquet(cohorts))


def library_lazy(outcomes: Path, cohorts: Path) -> list[pl.DataFrame]:
    return pl.collect_all(rates_of(pl.scan_parquet(outcomes), pl.scan_parquet(cohorts)))


def polars_by_hand(outcomes: Path, cohorts: Path) -> list[pl.DataFrame]:
    c = pl.col

    def counted(rows: pl.LazyFrame, *key: str) -> pl.LazyFrame:
        return (
            rows.group_by(key)
            .agg((c("outcome") == kind).sum().cast(pl.Int64).alias(kind) for kind in KINDS)
            .with_columns(recorded=c("attended") + c("no_show"))
            .with_columns(held=c("recorded") + c("unrecorded"))
            .with_columns(seats=c("held") + c("upcoming"))
            .with_columns(requests=c("seats") + c("canceled") + c("waiting"))
        )

    products = {f"{y}*{n}": (c(y) * c(n)).sum() for y, n in PRODUCTS}
    rows, listed = pl.scan_parquet(outcomes), pl.scan_parquet(cohorts)
    read = listed.filter(c("fetch_outcome") == "ok").select(*CUSTOMER, "cohort").unique()
    base = listed.group_by("cohort").agg(
        n_customers=(c("fetch_outcome") == "ok").sum(), n_not_read=(c("fetch_outcome") != "ok").sum()
    )
    flags = [pl.sql_expr(f"({condition})").sum().alias(name) for name, condition in FLAGS.items()]
    by_cohort = counted(rows, *CUSTOMER).join(read, on=CUSTOMER).group_by("cohort")
    customers = by_cohort.agg(c(*TOTALS).sum(), *flags, **products).join(base, on="cohort")
    several = {f"{n}_{name}": value for n in ("requests", "recorded") for name, value in _of_slots(n).items()}
    by_class = counted(rows, "class_id", *SLOT).group_by("studio", "class_id")
    classes = by_class.agg(c("seats", "requests", "canceled", "no_show", "recorded").sum(), **products, **several)
    attached = rows.select(COLUMNS).join(read, on=CUSTOMER)
    in_slots = counted(attached, "cohort", *SLOT)
    shared = in_slots.group_by("cohort", "studio").agg(
        c("requests", "recorded").sum(), **{f"{n}_pairs": (c(n) * (c(n) - 1)).sum() for n in ("requests", "recorded")}
    )
    completed = c("class_slot_status") == "COMPLETED"
    per_slot = attached.group_by("cohort", *SLOT).agg(
        a=(c("outcome") == "no_show").sum(), b=(c("wait_outcome") == "lapsed").sum(), done=completed.any()
    )
    lost = per_slot.group_by("cohort").agg(n_seats=pl.min_horizontal("a", "b").sum(), n_slots=c("done").sum())
    there = rows.filter(completed).select(CUSTOMER).unique().join(read, on=CUSTOMER).group_by("cohort")
    lost = lost.join(there.agg(n_customers=pl.len()), on="cohort", how="left")
    names = ("customers", "classes", "shared", "lost")
    return finish(dict(zip(names, pl.collect_all([customers, classes, shared, lost]), strict=True)))


def _of_slots(n: str) -> dict[str, pl.Expr]:
    return {"clusters": (pl.col(n) > 0).sum(), "paired": (pl.col(n) > 1).sum()}


def duckdb_sql(outcomes: Path, cohorts: Path) -> list[pl.DataFrame]:
    import duckdb  # noqa: PLC0415

    kinds = ", ".join(f"count(*) FILTER (WHERE outcome = '{kind}') AS {kind}" for kind in KINDS)
    products = ", ".join(f'sum({y} * {n}) AS "{y}*{n}"' for y, n in PRODUCTS)
    totals = ", ".join(f"sum({name}) AS {name}" for name in TOTALS)
    flags = ", ".join(f"count(*) FILTER (WHERE {condition}) AS {name}" for name, condition in FLAGS.items())
    slots = ", ".join(
        f"count(*) FILTER (WHERE {n} > 0) AS {n}_clusters, count(*) FILTER (WHERE {n} > 1) AS {n}_paired"
        for n in ("requests", "recorded")
    )
    pairs = ", ".join(f"sum({n}) AS {n}, sum({n} * ({n} - 1)) AS {n}_pairs" for n in ("requests", "recorded"))

    def counted(rows: str, key: str, more: str = "") -> str:
        return f"""(SELECT *, held + upcoming AS seats, held + upcoming + canceled + waiting AS requests FROM (
            SELECT *, attended + no_show AS recorded, attended + no_show + unrecorded AS held FROM (
            SELECT {key}, {kinds} {more} FROM {rows} GROUP BY {key})))"""

    connection = duckdb.connect()
    for name, path in (("outcomes", outcomes), ("cohorts", cohorts)):
        connection.execute(f"CREATE VIEW {name} AS FROM read_parquet('{path}')")
    connection.execute(
        """CREATE TEMP TABLE listed AS
        SELECT DISTINCT studio, customer_id, cohort FROM cohorts WHERE fetch_outcome = 'ok'"""
    )
    more = """, count(*) FILTER (WHERE wait_outcome = 'lapsed') AS lapsed,
        max(CASE WHEN class_slot_status = 'COMPLETED' THEN 1 ELSE 0 END) AS done"""
    attached = counted("outcomes JOIN listed USING (studio, customer_id)", "cohort, studio, class_slot_id", more)
    connection.execute(f"CREATE TEMP TABLE in_slots AS FROM {attached}")
    queries = {
        "customers": f"""SELECT * FROM (SELECT cohort, {totals}, {flags}, {products}
            FROM {counted("outcomes", "studio, customer_id")} JOIN listed USING (studio, customer_id) GROUP BY cohort)
            JOIN (SELECT cohort, count(*) FILTER (WHERE fetch_outcome = 'ok') AS n_customers,
                count(*) FILTER (WHERE fetch_outcome <> 'ok') AS n_not_read FROM cohorts GROUP BY cohort)
            USING (cohort)""",
        "classes": f"""SELECT studio, class_id, sum(seats) AS seats, sum(requests) AS requests,
            sum(canceled) AS canceled, sum(no_show) AS no_show, sum(recorded) AS recorded, {products}, {slots}
            FROM {counted("outcomes", "studio, class_id, class_slot_id")} GROUP BY studio, class_id""",
        "shared": f"SELECT cohort, studio, {pairs} FROM in_slots GROUP BY cohort, studio",
        "lost": """SELECT * FROM (SELECT cohort, sum(least(no_show, lapsed)) AS n_seats, sum(done) AS n_slots
            FROM in_slots GROUP BY cohort) JOIN (SELECT cohort, count(*) AS n_customers FROM (
                SELECT DISTINCT studio, customer_id FROM outcomes WHERE class_slot_status = 'COMPLETED')
            JOIN listed USING (studio, customer_id) GROUP BY cohort) USING (cohort)""",
    }
    return finish({name: connection.sql(query).pl() for name, query in queries.items()})


def pandas_by_hand(outcomes: Path, cohorts: Path) -> list[pl.DataFrame]:
    import pandas as pd  # noqa: PLC0415

    def counted(rows: Any, *key: str) -> Any:
        grouped = rows.groupby([*key, "outcome"], observed=True).size().unstack(fill_value=0)  # noqa: PD010 - quickest
        c = grouped.rename(columns=str).reset_index()
        c["recorded"] = c.attended + c.no_show
        c["held"] = c.recorded + c.unrecorded
        c["seats"] = c.held + c.upcoming
        c["requests"] = c.seats + c.canceled + c.waiting
        return c

    def multiplied(c: Any) -> list[str]:
        for y, n in PRODUCTS:
            c[f"{y}*{n}"] = c[y] * c[n]
        return [f"{y}*{n}" for y, n in PRODUCTS]

    rows, listed = pd.read_parquet(outcomes, columns=COLUMNS), pd.read_parquet(cohorts)
    ok = listed.fetch_outcome == "ok"
    read = listed.loc[ok, [*CUSTOMER, "cohort"]].drop_duplicates()
    base = pd.DataFrame({"n_customers": ok, "n_not_read": ~ok}).groupby(listed.cohort).sum()
    c = counted(rows, *CUSTOMER).merge(read, on=CUSTOMER)
    for name, condition in FLAGS.items():
        c[name] = c.eval(condition.replace(" = ", " == ").replace("AND", "and"))
    customers = c.groupby("cohort")[[*TOTALS, *FLAGS, *multiplied(c)]].sum().join(base)
    c = counted(rows, "class_id", *SLOT)
    for n in ("requests", "recorded"):
        c[f"{n}_clusters"], c[f"{n}_paired"] = c[n] > 0, c[n] > 1
    summed = ["seats", "requests", "canceled", "no_show", "recorded", *multiplied(c)]
    summed += [f"{n}_{part}" for n in ("requests", "recorded") for part in ("clusters", "paired")]
    classes = c.groupby(["studio", "class_id"])[summed].sum()
    attached = rows.merge(read, on=CUSTOMER)
    c = counted(attached, "cohort", *SLOT)
    for n in ("requests", "recorded"):
        c[f"{n}_pairs"] = c[n] * (c[n] - 1)
    shared = c.groupby(["cohort", "studio"])[["requests", "recorded", "requests_pairs", "recorded_pairs"]].sum()
    attached["a"], attached["b"] = attached.outcome == "no_show", attached.wait_outcome == "lapsed"
    attached["done"] = attached.class_slot_status == "COMPLETED"
    slots = attached.groupby(["cohort", *SLOT])[["a", "b", "done"]].sum()
    slots["n_seats"], slots["n_slots"] = slots[["a", "b"]].min(axis=1), slots.done > 0
    lost = slots.groupby("cohort")[["n_seats", "n_slots"]].sum()
    there = attached.loc[attached.done, [*CUSTOMER, "cohort"]].drop_duplicates()
    lost["n_customers"] = there.groupby("cohort").size()
    frames = {"customers": customers, "classes": classes, "shared": shared, "lost": lost}
    return finish({name: pl.from_pandas(frame.reset_index()) for name, frame in frames.items()})


def finish(sums: Sums) -> list[pl.DataFrame]:
    """Compute design effects, rates, intervals and bounds of each cohort from the sums, in numpy."""
    customers, lost = sums["customers"].sort("cohort"), sums["lost"].sort("cohort")
    c = {name: customers[name].cast(pl.Float64).to_numpy() for name in customers.columns if name != "cohort"}
    columns: dict[str, Any] = {f"n_{kind}": c[kind] for kind in KINDS}
    columns |= {name: c[name] for name in ("n_customers", "n_not_read")}
    columns |= {f"n_{name}": c[name] for name in (*FLAGS, "seats", "requests")}
    deff, effective, correlation = {}, {}, {}
    for y, n in MEASURES:
        term, correlation[y] = slot_term(sums, y, n)
        deff[y], effective[y] = design_effect(c, y, n, term)
    ones = (c["n_customers"] + 2) / (c["n_customers"] + 1)
    rate = columns.update
    rate(with_interval("booking_rate", c["booked"], c["n_customers"], ones))
    bounds = c["n_customers"], c["participated"], c["perhaps"]
    rate(with_interval("participation_rate", c["participated"], c["n_customers"], ones, None, bounds))
    rate(with_interval("seat_rate", c["seats"], c["requests"], deff["seats"], effective["seats"]))
    rate(with_interval("cancellation_rate", c["canceled"], c["requests"], deff["canceled"], effective["canceled"]))
    booking = pl.DataFrame({"cohort": customers["cohort"], **columns, **beside(effective, correlation, "seats")})
    columns = {"n_customers": c["booked"], **{f"n_{kind}": c[kind] for kind in KINDS[:3]}}
    columns["recorded_share"] = c["recorded"] / c["held"]
    for name, kind in (("attendance_rate", "attended"), ("no_show_rate", "no_show")):
        bounds = c["held"], c[kind], c[kind] + c["unrecorded"]
        columns |= with_interval(name, c[kind], c["recorded"], deff["no_show"], effective["no_show"], bounds)
    no_shows = pl.DataFrame({"cohort": customers["cohort"], **columns, **beside(effective, correlation, "no_show")})
    counts = [
        {"cohort": row["cohort"], "outcome": kind, "n": row[kind], "n_customers": row["anything"]}
        | {"share": None if kind in {"slot_canceled", "lost"} else row[kind] / row["requests"]}
        for row in customers.rows(named=True)
        for kind in KINDS
    ]
    return [booking, no_shows, pl.DataFrame(counts), lost]


def design_effect(c: dict[str, Any], y: str, n: str, term: Any) -> tuple[Any, Any]:
    """Compute the design effect of each group with the term of its slots, and its effective customers."""
    m, whole = c[f"{n}_clusters"], c[n]
    b = whole / m
    q = (c[y] + b) / (whole + 2 * b)
    spread = c[f"{y}*{y}"] - 2 * q * c[f"{y}*{n}"] + q**2 * c[f"{n}*{n}"] + b**2 * ((1 - q) ** 2 + q**2)
    deff = np.maximum(1, (m + 2) / (m + 1) * spread / ((whole + 2 * b) * q * (1 - q))) + term
    return deff, whole**2 / c[f"{n}*{n}"]


def slot_term(sums: Sums, y: str, n: str) -> tuple[Any, Any]:
    """Compute what alike seats of a slot add to a design effect, and their correlation, for each cohort."""
    c = pl.col
    p, many = c(y) / c(n), c(f"{n}_clusters")
    around = c(f"{y}*{y}") - 2 * p * c(f"{y}*{n}") + p * p * c(f"{n}*{n}")
    studios = (
        sums["classes"]
        .with_columns(pl.selectors.numeric().cast(pl.Float64))
        .filter(many > 1)
        .group_by("studio")
        .agg(
            d=(around * many / (many - 1)).sum() / (c(n) * p * (1 - p)).sum() - 1,
            b=(p * (1 - p) * c(f"{n}*{n}")).sum() / (c(n) * p * (1 - p)).sum() - 1,
            paired=c(f"{n}_paired").sum(),
        )
    )
    there = (c("b") > 0) & (c("paired") >= LEAST_SLOTS)
    rho = studios.select("studio", rho=pl.when(there).then((c("d") / c("b")).clip(0)).otherwise(0.0).round(12))
    cohorts = sums["shared"].with_columns(pl.selectors.numeric().cast(pl.Float64)).join(rho, on="studio")
    means = cohorts.group_by("cohort").agg(
        term=(c("rho") * c(f"{n}_pairs")).sum() / c(n).sum(), rho=(c("rho") * c(n)).sum() / c(n).sum()
    )
    means = means.sort("cohort")
    return means["term"].to_numpy(), means["rho"].to_numpy()


def beside(effective: dict[str, Any], correlation: dict[str, Any], y: str) -> dict[str, Any]:
    return {"n_effective_customers": effective[y], "slot_correlation": correlation[y]}


def with_interval(  # noqa: PLR0917 - what `Rate` has by name
    name: str, y: Any, n: Any, deff: Any, effective: Any = None, bounds: Any = None
) -> dict[str, Any]:
    """Compute a rate with its interval and, given all trials and the least and most hits, its bounds."""
    t = np.full(len(y), Z)
    if effective is not None:
        nodes = np.array([2, 3, 4, 6, 10, 20, 60])
        logs = BarycentricInterpolator([0, *(1 / nodes)], [0, *np.log(student.ppf(0.975, nodes) / Z)])
        t = Z * np.exp(logs(1 / (effective + 1)))
    p, w = y / n, t * t * deff / n
    low, high = wilson(p, w)
    columns = {name: p, f"{name}_ci_low": low, f"{name}_ci_high": high}
    if bounds is None:
        return columns
    trials, least, most = bounds
    first, last, h = least / trials, most / trials, t * t / trials + w - t * t / n
    side = np.maximum(first - wilson(first, h)[0], wilson(last, h)[1] - last)
    u, gap = np.minimum((last - first) * t / side, 30), Z - ONE_SIDED
    h = h * (np.exp(-0.5 * u / gap - 0.55 * u * u) * gap / Z + ONE_SIDED / Z) ** 2
    ends = {f"{name}_bounds_low": wilson(first, h)[0], f"{name}_bounds_high": wilson(last, h)[1]}
    return columns | {f"{name}_min": first, f"{name}_max": last} | ends


def wilson(p: Any, w: Any) -> tuple[Any, Any]:
    half = np.sqrt(w * (p * (1 - p) + w / 4))
    return np.clip((p + w / 2 - half) / (1 + w), 0, p), np.clip((p + w / 2 + half) / (1 + w), p, 1)


WAYS: dict[str, tuple[str, Callable[[Path, Path], list[pl.DataFrame]]]] = {  # what to import first, and the function
    "this library, lazy, at once": ("bookings_analytics", library_lazy),
    "this library, eager, one by one": ("bookings_analytics", library_eager),
    "polars by hand, at once": ("polars", polars_by_hand),
    "DuckDB SQL": ("duckdb", duckdb_sql),
    "pandas": ("pandas", pandas_by_hand),
}


def check(directory: Path) -> None:
    """Refuse to time ways that do not agree with the library in every column."""
    paths = directory / "outcomes.parquet", directory / "cohorts.parquet"
    ours = library_eager(*paths)
    for way, (_, compute) in WAYS.items():
        for frame, theirs in zip(ours, compute(*paths), strict=True):
            key = [name for name in ("cohort", "outcome") if name in frame.columns]
            text = [pl.col(name).cast(pl.String) for name in key]
            left, right = (each.with_columns(text).sort(key) for each in (frame, theirs))
            for name in set(left.columns) - {*key, "day_correlation"}:  # null without class days
                a, b = (each[name].cast(pl.Float64).fill_null(-1).to_numpy() for each in (left, right))
                if not np.allclose(a, b, rtol=1e-9, atol=1e-9):
                    raise SystemExit(f"{way} disagrees in {name}: {np.abs(a - b).max()}")


def measure(way: str, directory: Path) -> None:
    module, compute = WAYS[way]
    import_module(module)
    start, busy = time.perf_counter(), time.process_time()
    compute(directory / "outcomes.parquet", directory / "cohorts.parquet")
    seconds, cpu = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "mib": peak}))


def main(sizes: list[int]) -> None:
    for rows in sizes:
        with tempfile.TemporaryDirectory() as name:
            subprocess.run([sys.executable, __file__, "--make", str(rows), name], check=True)
            subprocess.run(
                [sys.executable, __file__, "--check", name], check=True
            )  # a child starts with its parent's peak
            print(f"\n| {rows:,} outcomes | seconds | CPU seconds | ours / theirs | peak MiB |\n|---|--:|--:|--:|--:|")
            ours = 0.0
            for way in WAYS:
                runs = [
                    json.loads(subprocess.check_output([sys.executable, __file__, "--measure", way, name]))
                    for _ in range(REPEATS)
                ]
                seconds, cpu, mib = (statistics.median(run[part] for run in runs) for part in ("seconds", "cpu", "mib"))
                ours = ours or cpu
                print(f"| {way} | {seconds:.2f} | {cpu:.2f} | {ours / cpu:.2f} | {mib:.0f} |", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--make", rows, directory]:
            make(Path(directory), int(rows))
        case ["--check", directory]:
            check(Path(directory))
        case ["--measure", way, directory]:
            measure(way, Path(directory))
        case sizes:
            main([int(size) for size in sizes] or [1_000_000])
