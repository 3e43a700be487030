"""A slow, plain reading of what class days add to outcomes, one place at a time, beside `oracle`."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from oracle import Row, Rows, groups_of

DAY = timedelta(days=1)
WINDOW = timedelta(days=14)
NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def dated(outcomes: Rows, history: Rows, fetches: Rows, class_days: Rows) -> Rows:
    """Read the columns of `schema.DATED` for each outcome, in the order of the outcomes.

    Args:
        outcomes: One row per place, with the booking that stands for it.
        history: The change log.
        fetches: Every fetch.
        class_days: The days of the classes.
    """
    looks = {
        who: sorted({row["fetched_at"] for row in rows if row["outcome"] == "ok"})
        for who, rows in groups_of(fetches, "studio", "customer_id").items()
    }
    places = groups_of(history, "studio", "customer_id", "class_slot_id")
    days = {(row["studio"], row["class_slot_id"]): row for row in class_days}
    first = min(at for times in looks.values() for at in times)
    last = max(at for times in looks.values() for at in times)
    return [
        _of_place(
            places[row["studio"], row["customer_id"], row["class_slot_id"]],
            row["booking_id"],
            days[row["studio"], row["class_slot_id"]],
            looks[row["studio"], row["customer_id"]],
            (first, last),
        )
        for row in outcomes
    ]


def _of_place(rows: Rows, booking: int, day: Row, looks: list[datetime], ends: tuple[datetime, datetime]) -> Row:
    clock = _Clock(day["timezone"], day["opens"], day["closes"])
    visible = sorted((row for row in rows if row["visible"]), key=lambda row: row["observed_at"])
    booked = visible[0]["observed_at"]
    own = [row for row in visible if row["booking_id"] == booking]
    standing = [row for row in own if row["booking_status"] != "CANCELED"]
    after = [row["observed_at"] for row in own if not standing or row["observed_at"] > standing[-1]["observed_at"]]
    canceled = after[0] if after else None
    when = day["class_day"]
    monday = when and when - when.weekday() * DAY
    settled = ends[1] - (timedelta(0) if day["punctual"] else timedelta(days=15))
    start = day["starts_after"] if day["dated_by"] == "known" else None
    canceled_days = _days_before(canceled, looks, day, clock)
    booked_days = _days_before(booked, looks, day, clock)
    before = _before(looks, booked)
    if before is None or day["last_day"] is None or not day["last_day"] < clock.local(before + WINDOW).date():
        booked_days = (booked_days[0], None)
    return {
        "class_day": when,
        "week": monday,
        "weekday": when and NAMES[when.weekday()],
        "month": when and when.replace(day=1),
        "week_complete": monday
        and (clock.at(monday, clock.opens) >= ends[0] and clock.at(monday + 6 * DAY, clock.closes) < settled),
        "first_day": day["first_day"],
        "last_day": day["last_day"],
        "booked_days_before_min": booked_days[0],
        "booked_days_before_max": booked_days[1],
        "canceled_days_before_min": canceled_days[0],
        "canceled_days_before_max": canceled_days[1],
        "canceled_from": standing[-1]["booking_status"] if canceled and standing else None,
        "watched": None if day["last_day"] is None else clock.lower(looks[0]) <= day["last_day"],
        "starts_at": start,
        "hour": start and clock.local(start).hour,
        "canceled_after": canceled and _before(looks, canceled),
        "canceled_by": canceled,
    }


def _before(looks: list[datetime], at: datetime) -> datetime | None:
    return max((look for look in looks if look < at), default=None)


def _days_before(at: datetime | None, looks: list[datetime], day: Row, clock: _Clock) -> tuple[int | None, int | None]:
    """Bracket the days from an event, seen at a time, to its class."""
    if at is None or day["first_day"] is None or day["last_day"] is None:
        return None, None
    upper = clock.upper(at)
    least = max(0, (day["first_day"] - upper).days)
    before = _before(looks, at)
    return least, None if before is None else (day["last_day"] - min(clock.lower(before), upper)).days


class _Clock:
    """A studio's wall clock."""

    def __init__(self, zone: str, opens: str, closes: str) -> None:
        self.zone = ZoneInfo(zone)
        self.opens, self.closes = (timedelta(hours=int(text[:2]), minutes=int(text[3:])) for text in (opens, closes))

    def local(self, at: datetime) -> datetime:
        return at.astimezone(self.zone).replace(tzinfo=None)

    def lower(self, at: datetime) -> date:
        return (self.local(at) + DAY - self.closes).date()

    def upper(self, at: datetime) -> date:
        return (self.local(at) - self.opens).date()

    def at(self, day: date, time: timedelta) -> datetime:
        midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a wall clock's
        return (midnight + time).replace(tzinfo=self.zone).astimezone(UTC)
