"""Where bookings are read: a studio's address, key, time zone and hours, from a call, the environment or a file."""

from bookings_analytics.studios.file import read_studios
from bookings_analytics.studios.hours import ClassHours, find_hours
from bookings_analytics.studios.settings import API_KEY_VARIABLE, BASE_URL_VARIABLE
from bookings_analytics.studios.studio import ApiKey, Studio

__all__ = [
    "API_KEY_VARIABLE",
    "BASE_URL_VARIABLE",
    "ApiKey",
    "ClassHours",
    "Studio",
    "find_hours",
    "read_studios",
]
