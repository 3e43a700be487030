"""Work with an event loop of its own in a thread, since a notebook's loop is taken, and a way to stop it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

_TICK: Final = 0.2  # seconds between two looks at the work


class Stoppable:
    """Work that another thread can stop."""

    def __init__(self) -> None:
        self._started = threading.Event()

    async def until_stopped(self, work: Awaitable[None]) -> None:
        """Wait for work; end early, without an error, when stopped."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._started.set()
        with suppress(asyncio.CancelledError):
            await work

    def stop(self) -> None:
        """Make `until_stopped` end now, from another thread."""
        self._started.wait()
        if self._task:
            self._loop.call_soon_threadsafe(self._task.cancel)


def run_in_thread(work: Coroutine[object, object, None], job: Stoppable, tick: Callable[[], None]) -> None:
    """Run work in a thread with a loop of its own, and raise what ended it, if anything.

    Args:
        work: What to run.
        job: Whose work it is; stopped by Ctrl-C, and when `tick` fails.
        tick: Called now and then, in this thread.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="fetch") as pool:
        running = pool.submit(asyncio.run, work)
        try:
            while not running.done():
                wait([running], timeout=_TICK)
                tick()
        finally:
            if not running.done():
                job.stop()
        running.result()
