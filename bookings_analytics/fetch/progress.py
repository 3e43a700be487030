"""Progress: a bar in a terminal; in a notebook one that leaves nothing stale in the stored file; lines in a log."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tqdm.auto import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tqdm.std import tqdm as Bar  # noqa: N812 - the class that both of tqdm's bars are

# tqdm chose the notebook's bar, whose module is slow to import, so it is asked only where it is there already.
_IN_NOTEBOOK: Final = any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)

LINE_EVERY: Final = 30.0  # seconds between two lines where there is no terminal


@contextmanager
def progress_bar(total: int, *, shown: bool, line_every: float = LINE_EVERY) -> Iterator[Callable[[int], None]]:
    """Show how many customers are done: a bar with rate and time left, or plain lines in a log.

    Args:
        total: How many customers there are.
        shown: Whether to show anything.
        line_every: Seconds between two lines where there is no terminal.

    Yields:
        A function that takes the number done until now.
    """
    # smoothing=0: the API's limit lets requests through in bursts, so only the average over the whole run says
    # anything about the time left.
    options: dict[str, Any] = {"total": total, "unit": " customers", "smoothing": 0, "leave": False}
    if not shown:
        yield lambda _: None
    elif _IN_NOTEBOOK:
        with _in_notebook(tqdm(**options, display=False)) as bar:
            yield _updater(bar)
    elif sys.stderr.isatty():
        with tqdm(**options) as bar:
            yield _updater(bar)
    else:
        yield _line_writer(total, line_every)


def _line_writer(total: int, line_every: float) -> Callable[[int], None]:
    written_at = time.monotonic()

    def update(done: int) -> None:
        nonlocal written_at
        if time.monotonic() - written_at >= line_every:
            written_at = time.monotonic()
            sys.stderr.write(f"{done:,} of {total:,} customers\n")
            sys.stderr.flush()

    return update


def _updater(bar: Bar[Any]) -> Callable[[int], None]:
    def update(done: int) -> None:
        bar.update(done - bar.n)
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
