"""A slow, plain reading of the definitions: every outcome, count and rate, one row and one group at a time.

Written from the definitions alone, without the library's code or its engines. Rows are dicts of plain values;
frames go in by `frame.to_dicts()`. A result is a list of dicts, sorted by its group columns (nulls first).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from itertools import pairwise
from math import sqrt
from statistics import NormalDist, median
from typing import TYPE_CHECKING, Any

import formulas

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Row = dict[str, Any]
Rows = list[Row]
Cluster = tuple[float, float]  # of one customer or slot: successes, trials

SEATS = ("BOOKED", "BOOKED_WITH_CONFIRMATION_REQUIRED")
HOLDS = {"CANCELED": 0, "WAITING_LIST": 1, "BOOKED": 2, "BOOKED_WITH_CONFIRMATION_REQUIRED": 2}
STATUSES = ("booking_status", "class_slot_status", "participant_status")
OUTCOMES = ("attended", "no_show", "unrecorded", "upcoming", "waiting", "canceled", "slot_canceled", "lost")
WAIT_OUTCOMES = ("converted", "lapsed", "withdrawn", "pending", "slot_canceled", "lost")
HOUR = timedelta(hours=1)
COHORT_KEY = ("studio", "customer_id")
COHORT_COLUMNS = (*COHORT_KEY, "cohort", "plan")  # plan: a column of the analyst's own


def groups_of(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], Rows]:
    """Split rows by the values of the named columns."""
    found: dict[tuple[Any, ...], Rows] = defaultdict(list)
    for row in rows:
        found[tuple(row[name] for name in names)].append(row)
    return found


def classify(bookings: Rows) -> Rows:
    """One row per studio, customer and slot, with its outcome and the outcome of its wait."""
    latest = [
        max(states, key=lambda row: row["observed_at"])
        for states in groups_of(bookings, "studio", "customer_id", "booking_id").values()
    ]
    place = ("studio", "customer_id", "class_slot_id")
    seen_of_place = groups_of(bookings, *place)
    return [
        _classified(_chosen(candidates), seen_of_place[key])
        for key, candidates in sorted(groups_of(latest, *place).items())
    ]


def _chosen(candidates: Rows) -> Row:
    visible = [row for row in candidates if row["visible"]]
    if not visible:
        vanished_last = max(row["observed_at"] for row in candidates)
        visible = [row for row in candidates if row["observed_at"] == vanished_last]
    return max(visible, key=lambda row: (HOLDS[row["booking_status"]], row["booking_id"]))


def _classified(chosen: Row, observations: Rows) -> Row:
    outcome = _outcome(chosen)
    return {
        **chosen,
        "first_seen_at": min(row["observed_at"] for row in observations),
        "last_changed_at": _last_changed_at(chosen, observations),
        "outcome": outcome,
        "wait_outcome": _wait_outcome(chosen, outcome, [row for row in observations if row["visible"]]),
    }


def _last_changed_at(chosen: Row, observations: Rows) -> Any:
    """Go back from the latest observation of the chosen booking for as long as it shows the same state."""
    own = [row for row in observations if row["booking_id"] == chosen["booking_id"]]
    since = chosen["observed_at"]
    for row in sorted(own, key=lambda row: row["observed_at"], reverse=True):
        if any(row[name] != chosen[name] for name in (*STATUSES, "visible")):
            break
        since = row["observed_at"]
    return since


def _outcome(row: Row) -> str:
    booking, slot, participant = (row[name] for name in STATUSES)
    rules = [
        ("slot_canceled", slot == "CANCELED"),
        ("attended", slot == "COMPLETED" and participant == "PARTICIPATING" and booking in {*SEATS, "WAITING_LIST"}),
        ("canceled", booking == "CANCELED"),
        ("lost", slot == "PLANNED" and not row["visible"]),
        ("waiting", booking == "WAITING_LIST"),
        ("upcoming", booking in SEATS and slot == "PLANNED"),
        ("no_show", booking in SEATS and slot == "COMPLETED" and participant == "NOT_PARTICIPATING"),
        ("unrecorded", booking in SEATS and slot == "COMPLETED" and participant == "UNSET"),
    ]
    return next(name for name, fits in rules if fits)


def _wait_outcome(chosen: Row, outcome: str, seen: Rows) -> str | None:
    waiting = [row for row in seen if row["booking_status"] == "WAITING_LIST"]
    if not any(row["class_slot_status"] == "PLANNED" for row in waiting):
        return None
    since = min(row["observed_at"] for row in waiting)
    slot, booking = chosen["class_slot_status"], chosen["booking_status"]
    seat_later = any(row["booking_status"] in SEATS and row["observed_at"] > since for row in seen)
    got_a_seat = seat_later or booking in SEATS  # held when the class ended
    rules = [
        ("converted", slot == "COMPLETED" and (got_a_seat or outcome == "attended")),
        ("slot_canceled", slot == "CANCELED"),
        ("withdrawn", slot == "COMPLETED" and booking == "CANCELED"),
        ("lapsed", slot == "COMPLETED" and booking == "WAITING_LIST"),
        ("pending", slot == "PLANNED" and chosen["visible"]),
        ("lost", slot == "PLANNED" and not chosen["visible"]),
    ]
    return next(name for name, fits in rules if fits)


class Group:
    """One group of a result: the customers in its base, the rows it counts, and how many it could not read."""

    def __init__(self, customers: Iterable[tuple[Any, ...]], rows: Rows, n_not_read: int) -> None:
        self.customers = set(customers)
        self.rows = rows
        self.n_not_read = n_not_read

    def count(self, column: str, *values: str) -> int:
        return sum(row[column] in values for row in self.rows)

    def customers_with(self, *outcomes: str) -> set[tuple[Any, ...]]:
        return {(row["studio"], row["customer_id"]) for row in self.rows if row["outcome"] in outcomes}


def grouped(outcomes: Rows, cohorts: Rows | None, by: Sequence[str]) -> list[tuple[Row, Group]]:
    """The groups of a result, with their rows.

    With a cohorts frame, the columns of `by` that it has are taken from it and the others from the outcomes. A group
    of the cohorts frame whose customers have no row at all appears once, with null in the columns of the outcomes.
    """
    found: dict[tuple[Any, ...], Group] = {}
    if cohorts is None:
        for key, rows in groups_of(outcomes, *by).items():
            found[key] = Group({(row["studio"], row["customer_id"]) for row in rows}, rows, 0)
    else:
        from_cohorts = [name for name in by if name in COHORT_COLUMNS]
        from_outcomes = [name for name in by if name not in COHORT_COLUMNS]
        for cohort_key, members in groups_of(cohorts, *from_cohorts).items():
            named = {tuple(row[name] for name in COHORT_KEY) for row in members}
            read = {
                tuple(row[name] for name in COHORT_KEY) for row in members if row.get("fetch_outcome", "ok") == "ok"
            }
            rows = [row for row in outcomes if (row["studio"], row["customer_id"]) in read]
            parts = groups_of(rows, *from_outcomes) or {(None,) * len(from_outcomes): []}
            for outcome_key, part in parts.items():
                values = dict(zip(from_cohorts, cohort_key, strict=True)) | dict(
                    zip(from_outcomes, outcome_key, strict=True)
                )
                found[tuple(values[name] for name in by)] = Group(read, part, len(named - read))
    if not by and not found:
        found[()] = Group((), [], 0)
    listed = list(dict.fromkeys(row.get("cohort") for row in cohorts or []))

    def place(name: str, value: Any) -> tuple[bool, Any]:
        return value is not None, listed.index(value) if name == "cohort" and listed else value

    order = sorted(found, key=lambda key: [place(name, value) for name, value in zip(by, key, strict=True)])
    return [(dict(zip(by, key, strict=True)), found[key]) for key in order]


def ascending(rows: Rows, by: Sequence[str]) -> Rows:
    """The rows of a result on an engine that keeps no order of rows, so that no cohort has a place in its list."""
    return sorted(rows, key=lambda row: [(row[name] is not None, row[name]) for name in by])


def booking_vs_participation(outcomes: Rows, cohorts: Rows, by: Sequence[str] = (), confidence: float = 0.95) -> Rows:
    """Who books and who takes part, of the customers that could be read."""
    results = []
    for key, group in grouped(outcomes, cohorts, by):
        booked = group.customers_with("attended", "no_show", "unrecorded")
        attended = group.customers_with("attended")
        perhaps = group.customers_with("attended", "unrecorded")
        upcoming = group.customers_with("upcoming")
        seats = ("attended", "no_show", "unrecorded", "upcoming")
        requests = (*seats, "canceled", "waiting")
        base = group.customers
        result = key | {
            "n_customers": len(base),
            "n_not_read": group.n_not_read,
            "n_booked": len(booked),
            "n_participated": len(attended),
            "n_only_upcoming": len(upcoming - booked),
            "n_requests": group.count("outcome", *requests),
            "n_seats": group.count("outcome", *seats),
            "n_canceled": group.count("outcome", "canceled"),
            "n_waiting": group.count("outcome", "waiting"),
            "n_lost": group.count("outcome", "lost"),
            "n_slot_canceled": group.count("outcome", "slot_canceled"),
        }
        ones = (len(base) + 2) / (len(base) + 1)
        result |= _interval("booking_rate", len(booked), len(base), ones, confidence)
        result |= _interval("participation_rate", len(attended), len(base), ones, confidence)
        result["participation_rate_min"] = _share(len(attended), len(base))
        result["participation_rate_max"] = _share(len(perhaps), len(base))
        result |= _bounds(
            "participation_rate", len(attended), len(perhaps), len(base), len(base), deff=ones, confidence=confidence
        )
        requested = _by_customer(group, seats, requests)
        result |= _rate("seat_rate", requested, confidence)
        result |= _rate("cancellation_rate", _by_customer(group, ("canceled",), requests), confidence)
        result |= _effective(requested)
        results.append(result)
    return results


def no_shows(
    outcomes: Rows,
    cohorts: Rows | None = None,
    by: Sequence[str] = (),
    confidence: float = 0.95,
) -> Rows:
    """Who turns up for the seats of completed classes."""
    results = []
    for key, group in grouped(outcomes, cohorts, by):
        attended, no_show, unrecorded = (group.count("outcome", name) for name in ("attended", "no_show", "unrecorded"))
        held = attended + no_show + unrecorded
        recorded = ("attended", "no_show")
        result = key | {
            "n_customers": len(group.customers_with("attended", "no_show", "unrecorded")),
            "n_attended": attended,
            "n_no_show": no_show,
            "n_unrecorded": unrecorded,
        }
        for name, hits, n in (("attendance", "attended", attended), ("no_show", "no_show", no_show)):
            clusters = _by_customer(group, (hits,), recorded)
            deff = design_effect(clusters) if clusters else None
            result |= _rate(f"{name}_rate", clusters, confidence)
            result[f"{name}_rate_min"] = _share(n, held)
            result[f"{name}_rate_max"] = _share(n + unrecorded, held)
            t = _t(clusters, confidence) if clusters else None
            result |= _bounds(
                f"{name}_rate", n, n + unrecorded, held, held - unrecorded, deff=deff, confidence=confidence, t=t
            )
        result["recorded_share"] = _share(attended + no_show, held)
        result |= _effective(_by_customer(group, ("no_show",), recorded))
        results.append(result)
    return results


def outcome_counts(outcomes: Rows, cohorts: Rows | None = None, by: Sequence[str] = ()) -> Rows:
    """How often each outcome came; `slot_canceled` and `lost` are counted but share in nothing."""
    in_no_share = ("slot_canceled", "lost")
    results = []
    for key, group in grouped(outcomes, cohorts, by):
        requests = len(group.rows) - group.count("outcome", *in_no_share)
        for outcome in OUTCOMES:
            n = group.count("outcome", outcome)
            share = None if outcome in in_no_share else _share(n, requests)
            everybody = len(group.customers_with(*OUTCOMES))
            results.append(key | {"outcome": outcome, "n": n, "share": share, "n_customers": everybody})
    return results


def waitlist_conversion(
    outcomes: Rows,
    cohorts: Rows | None = None,
    by: Sequence[str] = (),
    *,
    confidence: float = 0.95,
    fetches: Rows | None = None,
) -> Rows:
    """What became of the waits that were seen in progress."""
    results = []
    of_cohorts_only = cohorts is not None and set(by) <= set(COHORT_COLUMNS)
    for key, group in grouped(outcomes, cohorts, by):
        judged = [row for row in group.rows if row["wait_outcome"] in ("converted", "lapsed", "withdrawn")]
        slots = groups_of(
            (row for row in judged if row["wait_outcome"] in ("converted", "lapsed")), "studio", "class_slot_id"
        )
        clear = [all(row["wait_outcome"] == "converted" for row in waits) for waits in slots.values()]
        customers = _clusters(judged, "wait_outcome", ("converted",), "studio", "customer_id")
        by_slot = _clusters(judged, "wait_outcome", ("converted",), "studio", "class_slot_id")
        deff = max(1.0, design_effect(customers) + design_effect(by_slot) - 1) if judged else 1.0
        members = group.customers if of_cohorts_only else {(row["studio"], row["customer_id"]) for row in group.rows}
        result = key | {
            **{f"n_{name}": group.count("wait_outcome", name) for name in WAIT_OUTCOMES},
            "n_seen_late": sum(
                row["booking_status"] == "WAITING_LIST"
                and row["class_slot_status"] == "COMPLETED"
                and row["wait_outcome"] is None
                for row in group.rows
            ),
            "n_slots": len(slots),
            "n_customers": len({(row["studio"], row["customer_id"]) for row in group.rows if row["wait_outcome"]}),
            **_interval("conversion_rate", group.count("wait_outcome", "converted"), len(judged), deff, confidence),
            **_interval("clear_rate", sum(clear), len(clear), 1.0, confidence),
            "median_fetch_gap_h": None if fetches is None else _median_gap_h(fetches, members),
            "looks_per_day": None if fetches is None else _looks_per_day(fetches, members),
            "fetch_hours": None,  # without a time zone
        }
        results.append(result | {"reason": None if judged else _reason(result, group, outcomes)})
    return results


def seats_lost_while_waiting(outcomes: Rows, cohorts: Rows | None = None, by: Sequence[str] = ()) -> Rows:
    """Seats nobody sat in, of completed classes in which somebody waited until the end."""
    results = []
    for key, group in grouped(outcomes, cohorts, by):
        completed = groups_of(
            (row for row in group.rows if row["class_slot_status"] == "COMPLETED"), "studio", "class_slot_id"
        )
        lost = [
            min(sum(row["outcome"] == "no_show" for row in rows), sum(row["wait_outcome"] == "lapsed" for row in rows))
            for rows in completed.values()
        ]
        people = {(row["studio"], row["customer_id"]) for rows in completed.values() for row in rows}
        results.append(key | {"n_seats": sum(lost), "n_slots": len(completed), "n_customers": len(people)})
    return results


def design_effect(clusters: Sequence[Cluster]) -> float:
    """How much more the rate of these clusters varies than that of as many independent trials.

    The two pseudo-clusters, one all yes and one all no, both of mean size, are added as if they were real ones.
    """
    m = len(clusters)
    size = sum(n for _, n in clusters) / m
    every = [*clusters, (size, size), (0.0, size)]
    successes, trials = sum(y for y, _ in every), sum(n for _, n in every)
    q = successes / trials
    spread = sum((y - q * n) ** 2 for y, n in every)
    return max(1.0, (m + 2) / (m + 1) * spread / (trials * q * (1 - q)))


def wilson(p: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson's interval for a rate p of n independent trials."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


def _by_customer(group: Group, yes: Sequence[str], of: Sequence[str]) -> list[Cluster]:
    rows = [row for row in group.rows if row["outcome"] in of]
    return _clusters(rows, "outcome", yes, "studio", "customer_id")


def _clusters(rows: Rows, column: str, yes: Sequence[str], *cluster: str) -> list[Cluster]:
    return [(sum(row[column] in yes for row in part), len(part)) for part in groups_of(rows, *cluster).values()]


def _rate(name: str, clusters: Sequence[Cluster], confidence: float) -> Row:
    """A rate of seats or requests; so few rows that no correlation in slots can be estimated."""
    successes, trials = sum(y for y, _ in clusters), sum(n for _, n in clusters)
    if not trials:
        return _interval(name, 0, 0, 1.0, confidence)
    return _interval(name, successes, trials, design_effect(clusters), confidence, t=_t(clusters, confidence))


def _effective(clusters: Sequence[Cluster]) -> Row:
    """Effective customers and correlations, where no frame has ten slots with two trials or days."""
    trials = sum(n for _, n in clusters)
    effective = trials**2 / sum(n * n for _, n in clusters) if trials else None
    return {
        "n_effective_customers": effective,
        "slot_correlation": 0.0 if trials else None,
        "day_correlation": None,
    }


def _t(clusters: Sequence[Cluster], confidence: float) -> float:
    return formulas.t_of(confidence, sum(n for _, n in clusters) ** 2 / sum(n * n for _, n in clusters) + 1)


def _interval(
    name: str, successes: float, trials: float, deff: float, confidence: float, *, t: float | None = None
) -> Row:
    if not trials:
        return {name: None, f"{name}_ci_low": None, f"{name}_ci_high": None}
    p = successes / trials
    low, high = wilson(p, trials / deff, confidence) if t is None else formulas.wilson(p, trials / deff, t)
    return {name: p, f"{name}_ci_low": low, f"{name}_ci_high": high}


def _bounds(
    name: str,
    least: int,
    most: int,
    held: int,
    recorded: int,
    *,
    deff: float | None,
    confidence: float,
    t: float | None = None,
) -> Row:
    low: float | None
    high: float | None
    if not held:
        low = high = None
    elif deff is None:  # nothing recorded
        low, high = 0.0, 1.0
    else:
        t = formulas.z_of(confidence) if t is None else t
        low, high = formulas.bounds(least / held, most / held, held, recorded, deff, t=t, confidence=confidence)
    return {f"{name}_bounds_low": low, f"{name}_bounds_high": high}


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _reason(result: Row, group: Group, outcomes: Rows) -> str:
    """Why a group's conversion can't be told."""
    customers = {(row["studio"], row["customer_id"]) for row in group.rows}
    of_them = groups_of(outcomes, "studio", "customer_id")
    seen_once = all(
        len({row[name] for row in of_them[customer] for name in ("first_seen_at", "observed_at")}) == 1
        for customer in customers
    )
    if customers and seen_once and result["median_fetch_gap_h"] is None:
        return "one snapshot can't show a conversion: each customer was seen at one time only"
    if not any(row["wait_outcome"] for row in group.rows):
        return "no wait was seen in progress"
    if any(row["wait_outcome"] == "pending" for row in group.rows):
        return "no class that somebody waited for has ended yet"
    return "every class that somebody waited for was canceled or lost from sight"


def _median_gap_h(fetches: Rows, customers: set[tuple[Any, ...]]) -> float | None:
    """Between one successful fetch of a customer and the next; all customers' gaps together."""
    gaps = []
    read = [row for row in fetches if row["outcome"] == "ok"]
    for customer, rows in groups_of(read, "studio", "customer_id").items():
        if customer in customers:
            times = sorted({row["fetched_at"] for row in rows})
            gaps += [(later - earlier).total_seconds() / 3600 for earlier, later in pairwise(times)]
    return median(gaps) if gaps else None


def _looks_per_day(fetches: Rows, customers: set[tuple[Any, ...]]) -> float | None:
    """Fetches of one customer that follow within an hour are one look; over customers and days with any, in UTC."""
    per_day: list[int] = []
    read = [row for row in fetches if row["outcome"] == "ok"]
    for customer, rows in groups_of(read, "studio", "customer_id").items():
        if customer in customers:
            times = sorted({row["fetched_at"] for row in rows})
            begun = [t for t, before in zip(times, [None, *times], strict=False) if not before or t - before >= HOUR]
            per_day += Counter(time.date() for time in begun).values()
    return median(per_day) if per_day else None
