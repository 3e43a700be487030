"""The colours: apart for everybody's eyes, one for each outcome, letters readable on them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from bookings_analytics.charts._palette import INK, NO_SHOW, OUTCOMES, QUIET, READ, WAIT_OUTCOMES, on

# Machado, Oliveira & Fernandes, IEEE Transactions on Visualization and Computer Graphics 15 (2009): severity 1.0,
# on linear RGB
VISION = {
    "full": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}
SRGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)
D65 = np.array([0.95047, 1.0, 1.08883])
Lab = tuple[float, float, float]


def linear(color: str) -> np.ndarray:
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def seen(color: str, vision: str) -> Lab:
    xyz = SRGB_TO_XYZ @ np.clip(VISION[vision] @ linear(color), 0, 1) / D65
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return float(116 * y - 16), float(500 * (x - y)), float(200 * (y - z))


def ciede2000(one: Lab, two: Lab) -> float:
    (l1, a1, b1), (l2, a2, b2) = one, two
    mean = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    g = 0.5 * (1 - math.sqrt(mean**7 / (mean**7 + 25**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1, h2 = math.degrees(math.atan2(b1, a1)) % 360, math.degrees(math.atan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue = (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    d_l, d_c, d_h = l2 - l1, c2 - c1, 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2))
    light, chroma = (l1 + l2) / 2 - 50, (c1 + c2) / 2
    waves = [(-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63)]
    t = 1 + sum(size * math.cos(math.radians(times * hue + shift)) for size, times, shift in waves)
    s_l = 1 + 0.015 * light**2 / math.sqrt(20 + light**2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    r_c = 2 * math.sqrt(chroma**7 / (chroma**7 + 25**7))
    r_t = -math.sin(math.radians(60 * math.exp(-(((hue - 275) / 25) ** 2)))) * r_c
    return math.sqrt((d_l / s_l) ** 2 + (d_c / s_c) ** 2 + (d_h / s_h) ** 2 + r_t * (d_c / s_c) * (d_h / s_h))


def contrast(one: str, two: str) -> float:
    dark, light = sorted(float(SRGB_TO_XYZ[1] @ linear(color)) for color in (one, two))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("one", "two", "difference"),
    [  # of the test data of Sharma, Wu & Dalal, Color Research and Application 30 (2005)
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_colour_difference_is_the_published_one(one: Lab, two: Lab, difference: float) -> None:
    assert ciede2000(one, two) == pytest.approx(difference, abs=1e-4)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("outcomes", [OUTCOMES, WAIT_OUTCOMES], ids=["bookings", "waits"])
def test_any_two_outcomes_of_a_chart_look_different(outcomes: dict[str, tuple[str, str]], vision: str) -> None:
    apart = {
        (one, two): ciede2000(seen(outcomes[one][1], vision), seen(outcomes[two][1], vision))
        for one, two in itertools.combinations(outcomes, 2)
    }
    assert min(apart.values()) > 15, min(apart.items(), key=lambda pair: pair[1])


@pytest.mark.parametrize("vision", VISION)
def test_days_that_were_read_and_gaps_between_them_look_different(vision: str) -> None:
    assert ciede2000(seen(READ, vision), seen(NO_SHOW, vision)) > 15


def test_an_outcome_has_one_colour_whether_of_a_booking_or_of_a_wait() -> None:
    assert {kind: OUTCOMES[kind] for kind in OUTCOMES.keys() & WAIT_OUTCOMES.keys()} == {
        kind: WAIT_OUTCOMES[kind] for kind in OUTCOMES.keys() & WAIT_OUTCOMES.keys()
    }


@pytest.mark.parametrize("color", sorted({color for _, color in (*OUTCOMES.values(), *WAIT_OUTCOMES.values())}))
def test_letters_on_a_colour_have_the_contrast_that_wcag_asks_for(color: str) -> None:
    assert contrast(on(color), color) >= 4.5


def test_what_is_drawn_on_white_has_the_contrast_that_wcag_asks_of_graphics() -> None:
    assert min(contrast(color, "#FFFFFF") for color in (READ, NO_SHOW, INK, QUIET)) >= 3


@pytest.mark.parametrize("color", [INK, QUIET, NO_SHOW])
def test_letters_on_white_have_the_contrast_that_wcag_asks_for(color: str) -> None:
    assert contrast(color, "#FFFFFF") >= 4.5
