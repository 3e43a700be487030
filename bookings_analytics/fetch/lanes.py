"""How many requests of a studio are under way at once: two at first, and more while that brings more answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

AT_FIRST: Final = 2  # requests under way for a studio when its fetch begins
IN_ALL: Final = 1200  # requests under way for all studios of a fetch, about: more connections cost more than they bring
_ANSWERS: Final = 2  # of each lane, before the next look at the speed
_FASTER: Final = 1.2  # times as many answers a second as before: only then twice the lanes were worth it
_LOOKS: Final = 3  # in vain, before the number stays


class Spare:
    """The lanes that studios may open beyond those they begin with, shared by all studios of a fetch.

    Args:
        n_studios: How many studios begin.
    """

    def __init__(self, n_studios: int) -> None:
        self._left = IN_ALL - AT_FIRST * n_studios

    def take(self, wanted: int) -> int:
        """Return how many of the lanes that are wanted may be opened.

        Args:
            wanted: How many the studio would open.
        """
        taken = max(0, min(wanted, self._left))
        self._left -= taken
        return taken

    def give_back(self, lanes: int) -> None:
        """Add the lanes of a studio that is done to what is left.

        Args:
            lanes: How many lanes it had opened beyond those at first.
        """
        self._left += lanes


class Lanes:
    """The lanes of one studio; a worker holds one for as long as it asks for customers.

    Twice as many are opened whenever a round of answers came without a wait for the rate limit, and, after the first
    round, quicker than with half as many lanes: where the limit, the studio or this machine sets the pace, more
    connections would only cost.

    Args:
        most: Lanes at most.
        spare: What may be opened beyond those at first.
        waited: Returns how many requests had to wait for the rate limit until now.

    Attributes:
        open: How many lanes there are.
        most: How many there may be.
    """

    def __init__(self, most: int, spare: Spare, waited: Callable[[], int]) -> None:
        self.open = min(AT_FIRST, most)
        self.most = most
        self._spare = spare
        self._waited = waited
        self._free = asyncio.Semaphore(self.open)
        self._pace_before = 0.0  # answers a second with half as many lanes
        self._in_vain = 0
        self._workers = 0
        self._begin_round()

    async def __aenter__(self) -> None:
        if not self._workers:  # what came before, such as the check of the key, says nothing about the speed
            self._begin_round()
        self._workers += 1
        try:
            await self._free.acquire()
        except asyncio.CancelledError:
            self._workers -= 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self._workers -= 1
        self._free.release()

    def answered(self) -> None:
        """Count an answer, and open more lanes if that may help."""
        self._answers += 1
        if self._answers < _ANSWERS * self.open or self.open >= self.most:
            return
        took = asyncio.get_running_loop().time() - self._began
        pace = self._answers / took if took > 0 else float("inf")
        if self._waited() > self._waited_before:  # the limit sets the pace; later it may not
            self._pace_before, self._in_vain = 0.0, 0
        elif pace > _FASTER * self._pace_before:
            self._pace_before, self._in_vain = pace, 0
            for _ in range(opened := self._spare.take(min(self.open, self.most - self.open))):
                self._free.release()
            self.open += opened
        else:
            self._in_vain += 1
            if self._in_vain == _LOOKS:
                self.most = self.open
        self._begin_round()

    def close(self) -> None:
        """Leave the lanes beyond those at first to other studios."""
        self._spare.give_back(max(0, self.open - AT_FIRST))

    def _begin_round(self) -> None:
        self._answers = 0
        self._began = asyncio.get_running_loop().time()
        self._waited_before = self._waited()
