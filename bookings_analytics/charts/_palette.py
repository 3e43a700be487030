"""One color per outcome, the same in every chart, and what the outcomes are called.

A wait that ended like a booking shares that booking's color. The colors of one chart stay at least 15 apart in
CIEDE2000, also as deuteranopes and protanopes see them.
"""

from __future__ import annotations

from typing import Final

OUTCOMES: Final = {  # in the order in which they are drawn
    "attended": ("attended", "#0072B2"),
    "no_show": ("no-show", "#C85200"),
    "unrecorded": ("not recorded", "#F2C14E"),
    "upcoming": ("upcoming", "#8CC8F0"),
    "waiting": ("waiting", "#46296B"),
    "canceled": ("canceled", "#A89F91"),
    "slot_canceled": ("class canceled", "#5F5F5F"),
    "lost": ("lost from sight", "#DCDCDC"),
}
WAIT_OUTCOMES: Final = {
    "converted": ("got a seat", "#0A7F9C"),
    "lapsed": ("never got in", "#8C2D04"),
    "withdrawn": ("withdrew", OUTCOMES["canceled"][1]),
    "pending": ("still waiting", OUTCOMES["waiting"][1]),
    "slot_canceled": OUTCOMES["slot_canceled"],
    "lost": OUTCOMES["lost"],
}

ATTENDED: Final = OUTCOMES["attended"][1]
NO_SHOW: Final = OUTCOMES["no_show"][1]
LATE: Final = "#A0416F"  # canceled on the class day: 5.9 : 1 on white
CONVERTED: Final = WAIT_OUTCOMES["converted"][1]

INK: Final = "#262626"
QUIET: Final = "#5C5C5C"  # 6.7 : 1 on white
READ: Final = "#7D8995"  # days on which customers were read: a quiet ground for the gaps between them
GRID: Final = "#E4E4E4"
FAINT: Final = "#F0F0F0"
GAP: Final = "#8C8C8C"


def on(color: str) -> str:
    """Choose black or white for letters on a color: the one with more contrast, by WCAG's relative luminance."""
    red, green, blue = (_linear(int(color[i : i + 2], 16) / 255) for i in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#FFFFFF" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "#000000"


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - sRGB's own
