"""Progress: a bar in a terminal; in a notebook one that leaves nothing stale in the stored file; lines in a log."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from tqdm.auto import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tqdm.std import tqdm as Bar  # noqa: N812 - the class that both of tqdm's bars are

# tqdm chose the notebook's bar, whose module is slow to import, so it is asked only where it is there already.
_IN_NOTEBOOK: Final = any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)

LINE_EVERY: Final = 30.0  # seconds between two lines where there is no terminal


@contextmanager
def progress_bars(
    totals: Mapping[str, int], *, shown: bool, line_every: float = LINE_EVERY
) -> Iterator[Callable[[Mapping[str, int]], None]]:
    """Show how many customers are done: a bar for each studio, with rate and time left, or plain lines in a log.

    Args:
        totals: How many customers each studio has.
        shown: Whether to show anything.
        line_every: Seconds between two looks where there is no terminal, each with a line for each studio under way.

    Yields:
        A function that takes the number of each studio's customers done until now.
    """
    if not shown:
        yield lambda _: None
    elif not (_IN_NOTEBOOK or sys.stderr.isatty()):
        yield _line_writer(totals, line_every)
    else:
        width = max((len(studio) for studio in totals), default=0)
        with ExitStack() as stack:
            bars: dict[str, Bar[Any]] = {}
            for position, (studio, total) in enumerate(totals.items()):
                # smoothing=0: the API's limit lets requests through in bursts, so only the average over the whole run
                # says anything about the time left.
                options: dict[str, Any] = {"total": total, "unit": " customers", "smoothing": 0, "leave": False}
                if len(totals) > 1:
                    options |= {"desc": studio.ljust(width), "position": position}
                bar = tqdm(**options, display=False) if _IN_NOTEBOOK else tqdm(**options)
                bars[studio] = stack.enter_context(_in_notebook(bar) if _IN_NOTEBOOK else bar)
            yield _updater(bars)


def _line_writer(totals: Mapping[str, int], line_every: float) -> Callable[[Mapping[str, int]], None]:
    written_at = time.monotonic()
    complete: set[str] = set()

    def update(done: Mapping[str, int]) -> None:
        nonlocal written_at
        if time.monotonic() - written_at < line_every:
            return
        written_at = time.monotonic()
        for studio, total in totals.items():
            if studio not in complete:
                name = f"{studio}: " if len(totals) > 1 else ""
                sys.stderr.write(f"{name}{done[studio]:,} of {total:,} customers\n")
            if done[studio] == total:
                complete.add(studio)
        sys.stderr.flush()

    return update


def _updater(bars: Mapping[str, Bar[Any]]) -> Callable[[Mapping[str, int]], None]:
    def update(done: Mapping[str, int]) -> None:
        for studio, bar in bars.items():
            if bar.n < done[studio]:
                bar.update(done[studio] - bar.n)
            bar.refresh()

    return update


@contextmanager
def _in_notebook(bar: Any) -> Iterator[Bar[Any]]:  # noqa: ANN401 - only the notebook's bar has a container
    """Show the bar's widget under a display id and empty it afterwards: a notebook stored then has no dead widget."""
    from IPython.display import display, update_display  # noqa: PLC0415 - exists where notebooks run, slow to import

    widget = {**bar.container._repr_mimebundle_(), "text/plain": ""}
    handle = display(widget, raw=True, display_id=True)  # type: ignore[no-untyped-call] # IPython has no types here
    try:
        yield bar
    finally:
        bar.close()
        update_display({"text/plain": ""}, raw=True, display_id=handle.display_id)  # type: ignore[no-untyped-call] # as above
