"""All rates by cohort and class from Parquet: this library, polars by hand, DuckDB SQL and pandas side by side.

    uv run --with pandas --with pyarrow python tests/bench/rates.py [ROWS ...]

Each way makes the three tables of `booking_vs_participation`, `no_shows` and `outcome_counts`, with every count, rate
and interval, in a process of its own, which says how long reading and computing took (imports apart), on the clock and
of the processors, and its peak memory; best of three. An eager library makes one table after the other; where queries
can share work, the tables are asked for at once. The ways must agree: the sums of all their numbers are compared.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import polars.selectors as cs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SEED = 20250301
REPEATS = 3  # imports are inside the functions (PLC0415), so that each process loads only what its way needs
COLUMNS = ["studio", "customer_id", "class_id", "outcome"]
KINDS = ["attended", "no_show", "unrecorded", "upcoming", "waiting", "canceled", "slot_canceled", "lost"]
Z = 1.959963984540054
PRODUCTS = [("requests", "requests"), ("recorded", "recorded")] + [
    (y, column)
    for y, n in (("seats", "requests"), ("canceled", "requests"), ("no_show", "recorded"))
    for column in (n, y)
]


def make(directory: Path, rows: int) -> None:
    """Write outcomes and cohorts: 50 outcomes a customer in about six classes each, 200 classes, 12 cohorts."""
    import numpy as np  # noqa: PLC0415

    random = np.random.default_rng(SEED)
    customers = rows // 50
    studio = np.array(["mitte", "nord", "ost", "sued", "west"])[random.integers(0, 5, customers)]
    favourites = random.integers(0, 200, (customers, 6))
    who = random.integers(0, customers, rows)
    outcome = random.choice(KINDS, rows, p=[0.35, 0.05, 0.1, 0.1, 0.05, 0.28, 0.04, 0.03])
    pl.DataFrame(
        {
            "studio": studio[who],
            "customer_id": who,
            "class_slot_id": np.arange(rows),
            "class_id": favourites[who, random.integers(0, 6, rows)],
            "outcome": outcome,
        },
        schema_overrides={"outcome": pl.Enum(KINDS)},
    ).write_parquet(directory / "outcomes.parquet")
    listed = pl.DataFrame({"studio": studio, "customer_id": np.arange(customers)})
    cohort = pl.Series("cohort", random.integers(0, 12, customers)).cast(pl.String)
    second = pl.Series("cohort", random.integers(12, 15, customers)).cast(pl.String)
    both = pl.concat([listed.with_columns(cohort), listed.with_columns(second).head(customers // 5)])
    both.with_columns(fetch_outcome=pl.lit("ok")).write_parquet(directory / "cohorts.parquet")


def library_eager(outcomes: Path, cohorts: Path) -> list[Any]:
    import bookings_analytics as ba  # noqa: PLC0415

    bookings, people = pl.read_parquet(outcomes, columns=COLUMNS), pl.read_parquet(cohorts)
    by = ["cohort", "class_id"]
    return [
        ba.booking_vs_participation(bookings, people, by=by),
        ba.no_shows(bookings, people, by=by),
        ba.outcome_counts(bookings, people, by=by),
    ]


def library_lazy(outcomes: Path, cohorts: Path) -> list[Any]:
    import bookings_analytics as ba  # noqa: PLC0415

    bookings, people = pl.scan_parquet(outcomes), pl.scan_parquet(cohorts)
    by = ["cohort", "class_id"]
    return pl.collect_all(
        [
            ba.booking_vs_participation(bookings, people, by=by),
            ba.no_shows(bookings, people, by=by),
            ba.outcome_counts(bookings, people, by=by),
        ]
    )


def polars_at_once(outcomes: Path, cohorts: Path) -> list[Any]:
    return pl.collect_all(polars_by_hand(outcomes, cohorts))


def polars_one_by_one(outcomes: Path, cohorts: Path) -> list[Any]:
    return [query.collect() for query in polars_by_hand(outcomes, cohorts)]


def polars_by_hand(outcomes: Path, cohorts: Path) -> list[pl.LazyFrame]:
    c = pl.col

    def wilson(name: str, y: pl.Expr, n: pl.Expr, deff: pl.Expr) -> list[pl.Expr]:
        p, n_eff = y / n, n / deff
        center = (p + Z**2 / (2 * n_eff)) / (1 + Z**2 / n_eff)
        half = Z / (1 + Z**2 / n_eff) * (p * (1 - p) / n_eff + Z**2 / (4 * n_eff**2)).sqrt()
        return [
            p.alias(name),
            (center - half).clip(0, 1).alias(f"{name}_lo"),
            (center + half).clip(0, 1).alias(f"{name}_hi"),
        ]

    def deff(y: str, n: str, m: str) -> pl.Expr:
        b = c(n) / c(m)
        q = (c(y) + b) / (c(n) + 2 * b)
        s = c(f"{y}_{y}") - 2 * q * c(f"{y}_{n}") + q**2 * c(f"{n}_{n}") + b**2 * ((1 - q) ** 2 + q**2)
        return ((c(m) + 2) / (c(m) + 1) * s / ((c(n) + 2 * b) * q * (1 - q))).clip(lower_bound=1)

    members = pl.scan_parquet(cohorts)
    read = members.filter(c("fetch_outcome") == "ok").select("studio", "customer_id", "cohort").unique()
    base = members.group_by("cohort").agg(
        n_customers=(c("fetch_outcome") == "ok").sum(), n_not_read=(c("fetch_outcome") != "ok").sum()
    )
    customers = (
        pl.scan_parquet(outcomes)
        .group_by("studio", "customer_id", "class_id")
        .agg((c("outcome") == kind).sum().cast(pl.Int64).alias(kind) for kind in KINDS)
        .join(read, on=["studio", "customer_id"])
        .with_columns(held=c("attended") + c("no_show") + c("unrecorded"), recorded=c("attended") + c("no_show"))
        .with_columns(seats=c("held") + c("upcoming"))
        .with_columns(requests=c("seats") + c("canceled") + c("waiting"))
    )
    totals = (
        customers.group_by("cohort", "class_id")
        .agg(
            c(*KINDS, "held", "recorded", "seats", "requests").sum(),
            booked=(c("held") > 0).sum(),
            participated=(c("attended") > 0).sum(),
            perhaps=(c("attended") + c("unrecorded") > 0).sum(),
            only_upcoming=((c("held") == 0) & (c("upcoming") > 0)).sum(),
            requesting=(c("requests") > 0).sum(),
            judged=(c("recorded") > 0).sum(),
            **{f"{y}_{n}": (c(y) * c(n)).sum() for y, n in PRODUCTS},
        )
        .join(base, on="cohort")
        .sort("cohort", "class_id")
    )
    by = ["cohort", "class_id"]
    ones = (c("n_customers") + 2) / (c("n_customers") + 1)
    booking = totals.select(
        *by,
        *("n_customers", "n_not_read", "booked", "participated", "only_upcoming", "requests", "seats", "canceled"),
        *("waiting", "lost", "slot_canceled"),
        *wilson("booking_rate", c("booked"), c("n_customers"), ones),
        *wilson("participation_rate", c("participated"), c("n_customers"), ones),
        (c("participated") / c("n_customers")).alias("min"),
        (c("perhaps") / c("n_customers")).alias("max"),
        *wilson("seat_rate", c("seats"), c("requests"), deff("seats", "requests", "requesting")),
        *wilson("cancellation_rate", c("canceled"), c("requests"), deff("canceled", "requests", "requesting")),
    )
    no_shows = totals.select(
        *by,
        *("booked", "attended", "no_show", "unrecorded"),
        *wilson("attendance_rate", c("attended"), c("recorded"), deff("no_show", "recorded", "judged")),
        (c("attended") / c("held")).alias("attendance_min"),
        ((c("attended") + c("unrecorded")) / c("held")).alias("attendance_max"),
        *wilson("no_show_rate", c("no_show"), c("recorded"), deff("no_show", "recorded", "judged")),
        (c("no_show") / c("held")).alias("no_show_min"),
        ((c("no_show") + c("unrecorded")) / c("held")).alias("no_show_max"),
        (c("recorded") / c("held")).alias("recorded_share"),
    )
    shared = c("outcome").is_in(["slot_canceled", "lost"]).not_()
    counts = (
        totals.select(*by, "requests", *KINDS)
        .unpivot(KINDS, index=[*by, "requests"], variable_name="outcome", value_name="n")
        .select(*by, c("outcome").cast(pl.Enum(KINDS)), "n", share=pl.when(shared).then(c("n") / c("requests")))
        .sort(*by, "outcome")
    )
    return [booking, no_shows, counts]


DUCKDB_TOTALS = f"""
    WITH customers AS (
        SELECT *, attended + no_show + unrecorded AS held, attended + no_show AS recorded,
            attended + no_show + unrecorded + upcoming AS seats,
            attended + no_show + unrecorded + upcoming + canceled + waiting AS requests
        FROM (
            SELECT studio, customer_id, class_id,
                {", ".join(f"count(*) FILTER (WHERE outcome = '{kind}') AS {kind}" for kind in KINDS)}
            FROM outcomes GROUP BY ALL
        )
    ),
    base AS (
        SELECT cohort, count(*) FILTER (WHERE fetch_outcome = 'ok') AS n_customers,
            count(*) FILTER (WHERE fetch_outcome <> 'ok') AS n_not_read
        FROM cohorts GROUP BY ALL
    ),
    sums AS (
        SELECT cohort, class_id,
            {", ".join(f"sum({name}) AS {name}" for name in [*KINDS, "held", "recorded", "seats", "requests"])},
            count(*) FILTER (WHERE held > 0) AS booked, count(*) FILTER (WHERE attended > 0) AS participated,
            count(*) FILTER (WHERE attended + unrecorded > 0) AS perhaps,
            count(*) FILTER (WHERE held = 0 AND upcoming > 0) AS only_upcoming,
            count(*) FILTER (WHERE requests > 0) AS requesting, count(*) FILTER (WHERE recorded > 0) AS judged,
            {", ".join(f"sum({y} * {n}) AS {y}_{n}" for y, n in PRODUCTS)}
        FROM customers
        JOIN (SELECT DISTINCT studio, customer_id, cohort FROM cohorts WHERE fetch_outcome = 'ok')
            USING (studio, customer_id)
        GROUP BY ALL
    )
    SELECT *, (n_customers + 2) / (n_customers + 1) AS ones FROM sums JOIN base USING (cohort)
"""


def duckdb_sql(outcomes: Path, cohorts: Path) -> list[Any]:
    import duckdb  # noqa: PLC0415

    def deff(y: str, n: str, m: str) -> str:
        b = f"({n} / {m})"
        q = f"(({y} + {b}) / ({n} + 2 * {b}))"
        s = f"({y}_{y} - 2 * {q} * {y}_{n} + {q} * {q} * {n}_{n} + {b} * {b} * ((1 - {q}) * (1 - {q}) + {q} * {q}))"
        return f"greatest(1, ({m} + 2) / ({m} + 1) * {s} / (({n} + 2 * {b}) * {q} * (1 - {q})))"

    def wilson(name: str, y: str, n: str, deff: str) -> str:
        p, w = f"({y} / nullif({n}, 0))", f"({Z * Z} * ({deff}) / nullif({n}, 0))"
        half = f"sqrt({w} * ({p} * (1 - {p}) + {w} / 4))"
        return f"""{p} AS {name}, greatest(0, ({p} + {w} / 2 - {half}) / (1 + {w})) AS {name}_lo,
            least(1, ({p} + {w} / 2 + {half}) / (1 + {w})) AS {name}_hi"""

    connection = duckdb.connect()
    for name, path in (("outcomes", outcomes), ("cohorts", cohorts)):
        connection.execute(f"CREATE VIEW {name} AS FROM read_parquet('{path}')")
    connection.execute(f"CREATE TEMP TABLE totals AS {DUCKDB_TOTALS}")
    no_show = deff("no_show", "recorded", "judged")
    queries = [
        f"""SELECT cohort, class_id, n_customers, n_not_read, booked, participated, only_upcoming, requests, seats,
            canceled, waiting, lost, slot_canceled,
            {wilson("booking_rate", "booked", "n_customers", "ones")},
            {wilson("participation_rate", "participated", "n_customers", "ones")},
            participated / n_customers AS low, perhaps / n_customers AS high,
            {wilson("seat_rate", "seats", "requests", deff("seats", "requests", "requesting"))},
            {wilson("cancellation_rate", "canceled", "requests", deff("canceled", "requests", "requesting"))}
            FROM totals ORDER BY cohort, class_id""",
        f"""SELECT cohort, class_id, booked, attended, no_show, unrecorded,
            {wilson("attendance_rate", "attended", "recorded", no_show)},
            attended / nullif(held, 0) AS a_min, (attended + unrecorded) / nullif(held, 0) AS a_max,
            {wilson("no_show_rate", "no_show", "recorded", no_show)},
            no_show / nullif(held, 0) AS n_min, (no_show + unrecorded) / nullif(held, 0) AS n_max,
            recorded / nullif(held, 0) AS recorded_share
            FROM totals ORDER BY cohort, class_id""",
        f"""SELECT cohort, class_id, outcome, n,
            CASE WHEN outcome NOT IN ('slot_canceled', 'lost') THEN n / nullif(requests, 0) END AS share
            FROM (UNPIVOT (SELECT cohort, class_id, requests, {", ".join(KINDS)} FROM totals)
                ON {", ".join(KINDS)} INTO NAME outcome VALUE n)
            ORDER BY cohort, class_id, list_position({KINDS}, outcome)""",
    ]
    return [connection.sql(query).pl() for query in queries]


def pandas_by_hand(outcomes: Path, cohorts: Path) -> list[Any]:
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    def wilson(name: str, y: Any, n: Any, deff: Any) -> dict[str, Any]:
        p, w = y / n, Z * Z * deff / n
        half = np.sqrt(w * (p * (1 - p) + w / 4))
        low, high = ((p + w / 2 - half) / (1 + w)).clip(0, 1), ((p + w / 2 + half) / (1 + w)).clip(0, 1)
        return {name: p, f"{name}_lo": low, f"{name}_hi": high}

    def deff(y: str, n: str, m: str) -> Any:
        b = t[n] / t[m]
        q = (t[y] + b) / (t[n] + 2 * b)
        s = t[f"{y}_{y}"] - 2 * q * t[f"{y}_{n}"] + q**2 * t[f"{n}_{n}"] + b**2 * ((1 - q) ** 2 + q**2)
        return ((t[m] + 2) / (t[m] + 1) * s / ((t[n] + 2 * b) * q * (1 - q))).clip(lower=1)

    bookings, listed = pd.read_parquet(outcomes, columns=COLUMNS), pd.read_parquet(cohorts)
    by, key = ["cohort", "class_id"], ["studio", "customer_id"]
    read = listed.loc[listed.fetch_outcome == "ok", [*key, "cohort"]].drop_duplicates()
    ok = listed.fetch_outcome == "ok"
    base = pd.DataFrame({"n_customers": ok, "n_not_read": ~ok}).groupby(listed.cohort).sum()
    counted = bookings.groupby([*key, "class_id", "outcome"], observed=True).size().unstack(fill_value=0)  # noqa: PD010 - the fastest way
    c = counted.reset_index().merge(read, on=key)
    c["held"] = c.attended + c.no_show + c.unrecorded
    c["recorded"] = c.attended + c.no_show
    c["seats"] = c.held + c.upcoming
    c["requests"] = c.seats + c.canceled + c.waiting
    c["booked"], c["participated"], c["perhaps"] = c.held > 0, c.attended > 0, c.attended + c.unrecorded > 0
    c["only_upcoming"] = (c.held == 0) & (c.upcoming > 0)
    c["requesting"], c["judged"] = c.requests > 0, c.recorded > 0
    for y, n in PRODUCTS:
        c[f"{y}_{n}"] = c[y] * c[n]
    t = c.drop(columns=key).groupby(by).sum().join(base, on="cohort").astype(float)
    ones = (t.n_customers + 2) / (t.n_customers + 1)
    counts = ["n_customers", "n_not_read", "booked", "participated", "only_upcoming", "requests", "seats"]
    booking = t[[*counts, "canceled", "waiting", "lost", "slot_canceled"]].assign(
        **wilson("booking_rate", t.booked, t.n_customers, ones),
        **wilson("participation_rate", t.participated, t.n_customers, ones),
        low=t.participated / t.n_customers,
        high=t.perhaps / t.n_customers,
        **wilson("seat_rate", t.seats, t.requests, deff("seats", "requests", "requesting")),
        **wilson("cancellation_rate", t.canceled, t.requests, deff("canceled", "requests", "requesting")),
    )
    no_shows = t[["booked", "attended", "no_show", "unrecorded"]].assign(
        **wilson("attendance_rate", t.attended, t.recorded, deff("no_show", "recorded", "judged")),
        attendance_min=t.attended / t.held,
        attendance_max=(t.attended + t.unrecorded) / t.held,
        **wilson("no_show_rate", t.no_show, t.recorded, deff("no_show", "recorded", "judged")),
        no_show_min=t.no_show / t.held,
        no_show_max=(t.no_show + t.unrecorded) / t.held,
        recorded_share=t.recorded / t.held,
    )
    long = t[[*KINDS, "requests"]].reset_index().melt([*by, "requests"], KINDS, "outcome", "n")
    long["share"] = (long.n / long.requests).where(~long.outcome.isin(["slot_canceled", "lost"]))
    long["outcome"] = pd.Categorical(long.outcome, KINDS)
    mix = long.drop(columns="requests").sort_values([*by, "outcome"])
    return [pl.from_pandas(frame) for frame in (booking.reset_index(), no_shows.reset_index(), mix)]


WAYS: dict[str, tuple[str, Callable[[Path, Path], Iterable[Any]]]] = {  # what to import first, and the function
    "this library, eager, one by one": ("bookings_analytics", library_eager),
    "this library, lazy, at once": ("bookings_analytics", library_lazy),
    "polars by hand, one by one": ("polars", polars_one_by_one),
    "polars by hand, at once": ("polars", polars_at_once),
    "DuckDB SQL": ("duckdb", duckdb_sql),
    "pandas": ("pandas", pandas_by_hand),
}


def checksum(frames: Iterable[Any]) -> float:
    numbers = cs.numeric().exclude("class_id").cast(pl.Float64).fill_nan(None).sum()
    return sum(sum(pl.DataFrame(frame).select(numbers).row(0)) for frame in frames)


def measure(way: str, directory: Path) -> None:
    module, compute = WAYS[way]
    import_module(module)
    start, busy = time.perf_counter(), time.process_time()
    frames = list(compute(directory / "outcomes.parquet", directory / "cohorts.parquet"))
    seconds, cpu = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "mib": peak, "checksum": checksum(frames)}))


def main(sizes: list[int]) -> None:
    for rows in sizes:
        with tempfile.TemporaryDirectory() as name:
            subprocess.run([sys.executable, __file__, "--make", str(rows), name], check=True)
            print(f"\n| {rows:,} outcomes | seconds | CPU seconds | peak MiB |\n|---|---:|---:|---:|")
            sums = set()
            for way in WAYS:
                runs = [
                    json.loads(subprocess.check_output([sys.executable, __file__, "--measure", way, name]))
                    for _ in range(REPEATS)
                ]
                sums |= {round(run["checksum"], 3) for run in runs}
                best = min(runs, key=lambda run: run["seconds"])
                print(f"| {way} | {best['seconds']:.2f} | {best['cpu']:.2f} | {best['mib']:.0f} |", flush=True)
            if len(sums) > 1:
                raise SystemExit(f"the ways disagree: {sums}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--make", rows, directory]:
            make(Path(directory), int(rows))
        case ["--measure", way, directory]:
            measure(way, Path(directory))
        case sizes:
            main([int(size) for size in sizes] or [1_000_000, 10_000_000])
