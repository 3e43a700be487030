"""Every frame's columns, types and meaning: declared here once, used everywhere.

The statuses are polars Enums: a value outside them can't be stored, so an unknown status is an error
where it arrives and never a silent null. `domain.md`'s rules for the outcomes are in
`bookings_analytics.metrics.outcomes`, the formulas of the rates in `bookings_analytics.metrics.rates`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal, NamedTuple, get_args

import polars as pl

BookingStatus = Literal["BOOKED", "BOOKED_WITH_CONFIRMATION_REQUIRED", "WAITING_LIST", "CANCELED"]
ClassSlotStatus = Literal["PLANNED", "CANCELED", "COMPLETED"]
ParticipantStatus = Literal["PARTICIPATING", "NOT_PARTICIPATING", "UNSET"]

BOOKING_STATUS: Final = pl.Enum(get_args(BookingStatus))
CLASS_SLOT_STATUS: Final = pl.Enum(get_args(ClassSlotStatus))
PARTICIPANT_STATUS: Final = pl.Enum(get_args(ParticipantStatus))  # UNSET: nobody recorded attendance

CUSTOMER_KEY: Final = ("studio", "customer_id")
BOOKING_KEY: Final = (*CUSTOMER_KEY, "booking_id")
PLACE_KEY: Final = (*CUSTOMER_KEY, "class_slot_id")  # what a customer asks for: one outcome each
SLOT_KEY: Final = ("studio", "class_slot_id")
CLASS_KEY: Final = ("studio", "class_id")

API_WINDOW: Final = timedelta(days=14)  # the API shows a class for this long before and after now
FEW: Final = 30  # a rate without effective customers is of few below this many trials
FEW_CUSTOMERS: Final = 10  # a rate with them is of few below this many effective customers
WELL_RECORDED: Final = 0.95  # of the seats: below it, who was noted may not be who came, and words give the bounds

SEAT_STATUSES: Final = ("BOOKED", "BOOKED_WITH_CONFIRMATION_REQUIRED")

FETCH_OUTCOME: Final = pl.Enum(
    [
        "ok",  # read; perhaps with no bookings at all
        "not_found",  # 404
        "access_disabled",  # 403: the customer opted out of third-party access
        "rejected",  # 400
        "invalid_response",  # an answer that does not follow the specification
        "failed",  # anything else, after all attempts
        "not_fetched",  # never asked: the fetch stopped before
    ]
)
SETTLED: Final = ("ok", "not_found", "access_disabled", "rejected")  # asking again would bring the same answer

OUTCOME: Final = pl.Enum(
    ["attended", "no_show", "unrecorded", "upcoming", "waiting", "canceled", "slot_canceled", "lost"]
)
HELD: Final = ("attended", "no_show", "unrecorded")  # outcomes of a seat in a completed class
WAIT_OUTCOME: Final = pl.Enum(["converted", "lapsed", "withdrawn", "pending", "slot_canceled", "lost"])

TIMESTAMP: Final = pl.Datetime("us", "UTC")

COHORTS: Final = pl.Schema(
    {
        "customer_id": pl.Int64(),
        "cohort": pl.String(),  # "all" if the list names none
        "studio": pl.String(),  # null until `fetch_bookings` fills it in
        # and every further column of the analyst's own, kept for `by`
    }
)

BOOKINGS: Final = pl.Schema(  # one row: one booking as one successful fetch of its customer showed it
    {
        "studio": pl.String(),
        "customer_id": pl.Int64(),
        "class_slot_id": pl.Int64(),  # one class on one day
        "class_id": pl.Int64(),  # the class of the timetable, week after week
        "booking_id": pl.Int64(),
        "booking_status": BOOKING_STATUS,
        "class_slot_status": CLASS_SLOT_STATUS,
        "participant_status": PARTICIPANT_STATUS,
        "observed_at": TIMESTAMP,  # when the answer arrived: the API itself gives no times
        "visible": pl.Boolean(),  # false: that fetch no longer showed the booking (archive only)
    }
)

FETCHES: Final = pl.Schema(  # one row: one customer of one studio in one fetch
    {
        "studio": pl.String(),
        "customer_id": pl.Int64(),
        "fetched_at": TIMESTAMP,  # when the last answer arrived or failed to; null if never asked
        "outcome": FETCH_OUTCOME,
        "n_bookings": pl.Int64(),  # null unless ok: not fetched is not nothing
        "http_status": pl.Int64(),  # null if no answer came
        "error_code": pl.String(),
        "message": pl.String(),  # the API's own words, or what went wrong
        "trace_id": pl.String(),  # to quote to the API's support
        "attempts": pl.Int64(),  # requests sent for this customer
    }
)

CLASSES: Final = pl.Schema(  # one row: one class of the timetable as it was last shown
    {
        "studio": pl.String(),
        "class_id": pl.Int64(),
        "title": pl.String(),
        "type": pl.String(),  # STUDIO, STREAM, and whatever the API may add
        "category": pl.String(),
        "duration": pl.Int64(),  # minutes
        "bookable": pl.Boolean(),
        "observed_at": TIMESTAMP,
    }
)

SLOTS: Final = pl.Schema(  # one row: one class on one day as it was last shown; null: the API did not say
    {
        "studio": pl.String(),
        "class_id": pl.Int64(),
        "class_slot_id": pl.Int64(),
        "starts_at": TIMESTAMP,
        "ends_at": TIMESTAMP,
        "max_participants": pl.Int64(),
        "max_waiting_list_participants": pl.Int64(),
        "booked_participants": pl.Int64(),
        "additional_participants": pl.Int64(),  # without a booking of their own
        "waiting_list_participants": pl.Int64(),
        "observed_at": TIMESTAMP,
    }
)

RESULT_COHORTS: Final = pl.Schema({**COHORTS, "fetch_outcome": FETCH_OUTCOME})  # and the analyst's own columns

WEEKDAY: Final = pl.Enum(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])

DATED: Final = pl.Schema(  # what class days add to outcomes; null without them, and where the class is not dated
    {
        "class_day": pl.Date(),
        "week": pl.Date(),  # its Monday
        "weekday": WEEKDAY,
        "month": pl.Date(),  # its first day
        "week_complete": pl.Boolean(),  # whether the fetches cover all of that week
        "first_day": pl.Date(),  # local days between which the class lies, also where it is not known which
        "last_day": pl.Date(),
        "booked_days_before_min": pl.Int64(),  # days from the booking to the class; max null: 14 or more, or unknown
        "booked_days_before_max": pl.Int64(),
        "canceled_days_before_min": pl.Int64(),  # days from the cancellation to the class; null: not canceled
        "canceled_days_before_max": pl.Int64(),  # null as well where no earlier fetch says since when
        "canceled_from": BOOKING_STATUS,  # what the booking was before it was canceled; null: never seen before
        "watched": pl.Boolean(),  # whether the customer was fetched before the class was over
        "starts_at": TIMESTAMP,  # null unless a known time dates the class
        "hour": pl.Int64(),  # of starts_at, local, 0 to 23
        "canceled_after": TIMESTAMP,  # the customer's last fetch before the cancellation was seen; null: not canceled
        "canceled_by": TIMESTAMP,  # the fetch that showed it
    }
)

OUTCOMES: Final = pl.Schema(  # one row per (studio, customer_id, class_slot_id)
    {
        **BOOKINGS,
        "first_seen_at": TIMESTAMP,  # the first observation of any booking of this customer for this slot
        "last_changed_at": TIMESTAMP,  # the first observation that showed the latest state
        "outcome": OUTCOME,
        "wait_outcome": WAIT_OUTCOME,  # null unless seen waiting while the slot was planned
        **DATED,
    }
)


DATED_BY: Final = pl.Enum(["known", "window", "status"])

CLASS_DAYS: Final = pl.Schema(  # one row per (studio, class_slot_id)
    {
        "studio": pl.String(),
        "class_slot_id": pl.Int64(),
        "class_id": pl.Int64(),
        "n_customers": pl.Int64(),  # who ever had a booking there
        "starts_after": TIMESTAMP,
        "starts_before": TIMESTAMP,
        "first_day": pl.Date(),  # local days between which the class lies; null if nothing or a contradiction is known
        "last_day": pl.Date(),
        "class_day": pl.Date(),  # where the two are one
        "dated_by": DATED_BY,  # null where class_day is
        "left_window": pl.Boolean(),  # whether the fetches, or a known time, say when it was over
        "timezone": pl.String(),  # what was given, the same in every row of a studio
        "opens": pl.String(),
        "closes": pl.String(),
        "punctual": pl.Boolean(),  # whether the studio marks classes as completed on their day; null: too few
        "closed_after_h": pl.Float64(),  # hours from the class to the first sighting of that mark
    }
)


class RateFacts(NamedTuple):
    """What has to be known of a rate beside its value.

    Attributes:
        label: What it is called.
        unit: What it is a share of.
        trials: The counts that add up to its denominator.
        chart: The chart that draws it.
        bounds: Whether ``_min``, ``_max``, ``_bounds_low`` and ``_bounds_high`` show how far unrecorded attendance
            could move it.
        effective: Whether ``n_effective_customers`` stands beside it. Such a rate is of few below `FEW_CUSTOMERS` of
            these, any other below `FEW` trials.
    """

    label: str
    unit: str
    trials: tuple[str, ...]
    chart: str
    bounds: bool = False
    effective: bool = False


_RECORDED: Final = ("n_attended", "n_no_show")
_DECIDED: Final = ("n_converted", "n_lapsed", "n_withdrawn")
RATES: Final = {
    "booking_rate": RateFacts("booking rate", "customers", ("n_customers",), "booking_vs_participation"),
    "participation_rate": RateFacts(
        "participation rate", "customers", ("n_customers",), "booking_vs_participation", bounds=True
    ),
    "seat_rate": RateFacts("seat rate", "requests", ("n_requests",), "outcome_counts", effective=True),
    "cancellation_rate": RateFacts("cancellation rate", "requests", ("n_requests",), "outcome_counts", effective=True),
    "attendance_rate": RateFacts("attendance rate", "seats", _RECORDED, "no_shows", bounds=True, effective=True),
    "no_show_rate": RateFacts("no-show rate", "seats", _RECORDED, "no_shows", bounds=True, effective=True),
    "conversion_rate": RateFacts("conversion among observed waits", "waits", _DECIDED, "waitlist_conversion"),
    "late_cancel_rate": RateFacts(
        "late-cancel rate", "seats", ("n_late", *_RECORDED, "n_unrecorded"), "cancellations", effective=True
    ),
    "unused_rate": RateFacts("share of unused seats", "seats", ("n_late", *_RECORDED), "cancellations", effective=True),
    "clear_rate": RateFacts("share of cleared waiting lists", "classes", ("n_slots",), "waitlist_conversion"),
}


TRENDS: Final = {  # the rates that `trend` follows from week to week
    **{name: RATES[name] for name in ("no_show_rate", "attendance_rate", "late_cancel_rate", "seat_rate")},
    **{name: RATES[name] for name in ("cancellation_rate", "booking_rate", "participation_rate")},
    "recorded_share": RateFacts("share of seats with recorded attendance", "seats", ("n_seats",), "no_shows"),
}


def _rate(name: str) -> dict[str, pl.DataType]:
    """Name the columns of one rate: its value, its sampling interval, its bounds for unrecorded attendance.

    ``_min`` and ``_max`` are the rate if every unrecorded seat had gone the one way or the other; ``_bounds_low`` and
    ``_bounds_high`` hold the rate of all seats with the stated confidence, whatever happened in the unrecorded ones.
    """
    bounds = ("_min", "_max", "_bounds_low", "_bounds_high") if RATES[name].bounds else ()
    suffixes = ("", "_ci_low", "_ci_high", *bounds)
    return {name + suffix: pl.Float64() for suffix in suffixes}


def _counts(*names: str) -> dict[str, pl.DataType]:
    return {name: pl.Int64() for name in names}


_EFFECTIVE: Final = {
    "n_effective_customers": pl.Float64(),  # this many customers with equally many trials would say as much
    "slot_correlation": pl.Float64(),  # between two trials of one class slot; null without slots
    "day_correlation": pl.Float64(),  # between two trials of one day; null where no class is dated
}

# The frames of rates start with the columns they are grouped by. Rates are shares from 0 to 1, null where
# there is nothing to divide by; every n_ is a count.

PERIOD: Final = pl.Schema(  # after the columns of a result, where the outcomes carry class days
    {
        "first_day": pl.Date(),  # of the classes that the group's rows are of; null: none is dated
        "last_day": pl.Date(),
        "week_complete": pl.Boolean(),  # with `week` among the groups alone: whether the fetches cover all of it
    }
)

TITLES: Final = pl.Schema(  # after these, with `class_id` among the groups, where the outcomes carry its titles
    {
        "class_title": pl.String(),  # null: none is known, or the group's studios call different classes by one number
        "baseline_title": pl.String(),  # in a comparison alone: of its baseline
    }
)

BOOKING_VS_PARTICIPATION: Final = pl.Schema(
    {
        **_counts("n_customers", "n_not_read", "n_booked", "n_participated", "n_only_upcoming"),
        **_counts("n_requests", "n_seats", "n_canceled", "n_waiting", "n_lost", "n_slot_canceled"),
        **_rate("booking_rate"),
        **_rate("participation_rate"),
        **_rate("seat_rate"),
        **_rate("cancellation_rate"),
        **_EFFECTIVE,  # of seat_rate
    }
)

NO_SHOWS: Final = pl.Schema(
    {
        **_counts("n_customers", "n_attended", "n_no_show", "n_unrecorded"),
        **_rate("attendance_rate"),
        **_rate("no_show_rate"),
        "recorded_share": pl.Float64(),
        **_EFFECTIVE,  # of no_show_rate
    }
)

CANCELLATIONS: Final = pl.Schema(  # of seats
    {
        "deadline_h": pl.Float64(),  # late: canceled less than this many hours before the start; null: on the class day
        **_counts("n_customers", "n_attended", "n_no_show", "n_unrecorded"),
        **_counts("n_canceled", "n_late", "n_ambiguous", "n_undated"),  # ambiguous: late or not is not known
        **_rate("late_cancel_rate"),  # null where more than a twentieth is ambiguous or undated
        "late_cancel_rate_min": pl.Float64(),  # if no ambiguous or undated cancellation was late
        "late_cancel_rate_max": pl.Float64(),  # if each of them was
        **_rate("unused_rate"),  # canceled late or not attended, of seats with recorded attendance
        **_EFFECTIVE,  # of late_cancel_rate
    }
)

CANCELLATION_NOTICE: Final = pl.Schema(
    {
        "days_before": pl.Int64(),  # from the cancellation to the class, 0 to 14; null: not known
        "n": pl.Int64(),
        "share": pl.Float64(),  # of the group's cancellations of a seat
        **_counts("n_customers"),  # with such a cancellation, of all days together
    }
)

CLASS_FILL: Final = pl.Schema(  # of class slots last looked at when they had begun
    {
        **_counts("n_slots", "n_slots_left_out"),  # left out: looked at too early, or without a number of places
        **_counts("n_places", "n_taken"),
        "filled_share": pl.Float64(),  # n_taken / n_places
        **_counts("n_booked", "n_listed"),  # n_booked: n_taken without additional participants
        "listed_share": pl.Float64(),  # n_listed / n_booked: the share of participants that the outcomes know
    }
)

OUTCOME_COUNTS: Final = pl.Schema(
    {"outcome": OUTCOME, "n": pl.Int64(), "share": pl.Float64(), **_counts("n_customers")}  # of all outcomes together
)

POSITION: Final = pl.Enum(["below_998", "below_95", "within", "above_95", "above_998"])  # against the funnel's limits

NO_SHOW_FUNNEL: Final = pl.Schema(
    {
        **_counts("n_customers", "n_attended", "n_no_show", "n_recorded"),  # n_recorded = n_attended + n_no_show
        "no_show_rate": pl.Float64(),
        "recorded_share": pl.Float64(),  # n_recorded of all seats in completed classes
        "center": pl.Float64(),  # p0, the same in every row
        "dispersion": pl.Float64(),  # D, the same in every row
        "limit_95_low": pl.Float64(),
        "limit_95_high": pl.Float64(),
        "limit_998_low": pl.Float64(),
        "limit_998_high": pl.Float64(),
        "position": POSITION,  # null where nothing was recorded
    }
)

COMPARISON: Final = pl.Schema(
    {
        "rate": pl.String(),  # which rate is compared
        "baseline": pl.String(),  # with which group; "before" in a comparison of two periods
        "value": pl.Float64(),
        "baseline_value": pl.Float64(),
        "difference": pl.Float64(),  # value - baseline_value
        "difference_ci_low": pl.Float64(),
        "difference_ci_high": pl.Float64(),
        "n": pl.Int64(),  # the rate's denominator in this group
        "baseline_n": pl.Int64(),
        **_counts("n_customers", "baseline_n_customers"),  # with trials
        "n_shared_customers": pl.Int64(),  # with trials in both
        "recorded_share": pl.Float64(),  # null where the rate does not depend on recorded attendance
        "baseline_recorded_share": pl.Float64(),
        "confidence": pl.Float64(),  # of each interval, as asked for
        "simultaneous": pl.Boolean(),  # true: all intervals of the frame hold together with that confidence
    }
)

SIGNAL: Final = pl.Enum(["below", "run_below", "within", "run_above", "above"])  # against limits and center
AGAINST_TARGET: Final = pl.Enum(["below", "above", "open"])  # open: the interval holds the target

TREND: Final = pl.Schema(  # one row per group and week; of an incomplete week nothing but value and n
    {
        "week": pl.Date(),  # its Monday
        "week_complete": pl.Boolean(),
        "value": pl.Float64(),  # null where n is 0
        "value_bounds_low": pl.Float64(),  # 95 % range of the week, whatever happened in unrecorded seats
        "value_bounds_high": pl.Float64(),
        "n": pl.Int64(),  # the rate's denominator
        "center": pl.Float64(),  # the rate of the segment
        "limit_low": pl.Float64(),  # null where the segment is too short or has too few to be judged
        "limit_high": pl.Float64(),
        "signal": SIGNAL,  # null where the week is not judged
        "segment": pl.Int64(),  # 1, 2, …: from one rebase to the next
        "reason": pl.String(),  # why this segment was begun; null in the first
        "slope": pl.Float64(),  # shares a week (0.01: a percentage point), the same in every row of a segment
        "slope_ci_low": pl.Float64(),
        "slope_ci_high": pl.Float64(),
        "target": pl.Float64(),
        "against_target": AGAINST_TARGET,  # of the last segment's rate, the same in every row of a group
        "rate": pl.String(),  # which rate it is, the same in every row
        "n_undated": pl.Int64(),  # trials of the group whose week is not known
    }
)

CUSTOMERS: Final = pl.Schema(  # one row per customer
    {
        "studio": pl.String(),
        "customer_id": pl.Int64(),
        **_counts("n_seats", "n_attended", "n_no_show", "n_unrecorded"),  # n_seats: in completed classes
        **_counts("n_canceled", "n_late", "n_waits"),  # n_late: seats canceled on the class day
        "n_weeks": pl.Int64(),  # with a seat in a completed class
        "last_class_day": pl.Date(),  # of these seats
        **{f"no_show_estimate{part}": pl.Float64() for part in ("", "_ci_low", "_ci_high")},  # drawn toward that of all
    }
)

VISITS: Final = pl.Schema(  # per customer of the base and complete week
    {
        **_counts("n_customers", "n_not_read", "n_weeks"),  # n_weeks: of all customers together
        **_counts("n_seats", "n_attended", "n_unrecorded"),  # n_seats: in completed classes of these weeks
        **_counts("n_undated"),  # seats in completed classes whose week is not known
        **{f"booked_per_week{part}": pl.Float64() for part in ("", "_ci_low", "_ci_high")},
        **{f"attended_per_week{part}": pl.Float64() for part in ("", "_ci_low", "_ci_high", "_max")},
        "n_effective_customers": pl.Float64(),  # of booked_per_week
    }
)
PER_WEEK: Final = {  # the measures per customer and week; they are not shares
    "booked_per_week": RateFacts("classes booked a week", "customer-weeks", ("n_weeks",), "visits", effective=True),
    "attended_per_week": RateFacts("classes attended a week", "customer-weeks", ("n_weeks",), "visits", effective=True),
}

WAITLIST_CONVERSION: Final = pl.Schema(
    {
        **_counts("n_customers"),  # with a wait that was seen while it lasted
        **_counts("n_converted", "n_lapsed", "n_withdrawn", "n_pending", "n_lost", "n_slot_canceled"),
        **_counts("n_seen_late", "n_slots"),
        **_rate("conversion_rate"),
        **_rate("clear_rate"),
        "median_fetch_gap_h": pl.Float64(),  # hours
        "looks_per_day": pl.Float64(),  # median of the days on which a customer was fetched at all
        "fetch_hours": pl.String(),  # local hours of the fetches, such as "04, 12, 18"; null without a time zone
        "reason": pl.String(),  # why conversion_rate is null; null where it is not
    }
)

WAITLIST_CHANCES: Final = pl.Schema(
    {
        "nights_before": pl.Int64(),  # 0: the last night before the class
        **_counts("n_customers", "n_waits", "n_converted"),  # waits of customers who were on the list that night
        "chance": pl.Float64(),
        "chance_ci_low": pl.Float64(),
        "chance_ci_high": pl.Float64(),
    }
)

SEATS_LOST_WHILE_WAITING: Final = pl.Schema(
    _counts("n_seats", "n_slots", "n_customers")  # with a place in one of these slots
)

COVERAGE: Final = pl.Schema(
    {
        **_counts("n_customers", "n_read", "n_fetches"),  # n_read: customers with a successful fetch
        "median_gap_h": pl.Float64(),  # hours between two successful fetches of one customer
        "longest_gap_h": pl.Float64(),
        "n_customers_gap_over_14_days": pl.Int64(),  # of these, statuses were missed
    }
)
COVERAGE_BY_HOURS: Final = pl.Schema({**COVERAGE, **_counts("n_in_opening_hours")})  # of n_fetches; with a time zone

RESULTS: Final = (  # the frames of rates, which start with the columns they are grouped by
    *(BOOKING_VS_PARTICIPATION, NO_SHOWS, OUTCOME_COUNTS, NO_SHOW_FUNNEL, COMPARISON, VISITS),
    *(CANCELLATIONS, CANCELLATION_NOTICE, WAITLIST_CONVERSION, WAITLIST_CHANCES),
    *(SEATS_LOST_WHILE_WAITING, COVERAGE_BY_HOURS, CLASS_FILL),
)  # TREND, some of whose columns a list may have, is read by its own chart and table

RESERVED: Final = frozenset(
    name for frame in (RESULT_COHORTS, BOOKINGS, FETCHES, OUTCOMES, *RESULTS, TREND) for name in frame
) - frozenset({*COHORTS, *DATED, "segment", "target", "reason", "n", "value"})
# An analyst's own column of such a name would collide with a result's; those taken out are refused in `by` alone.
