"""The progress bar: in a terminal, and in a notebook without leaving a stale one in the stored file."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tqdm.auto import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tqdm.std import tqdm as Bar  # noqa: N812 - the class that both of tqdm's bars are

# tqdm chose the notebook's bar, whose module is slow to import, so it is asked only where it is there already.
_IN_NOTEBOOK: Final = any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)


@contextmanager
def progress_bar(total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show how many of `total` customers are done, with rate and time left.

    Yields:
        A function that takes the number done until now.
    """
    # disable=None: nothing where nobody watches (output goes to a file). smoothing=0: the API's limit lets requests
    # through in bursts, so only the average over the whole run says anything about the time left.
    options: dict[str, Any] = {
        "total": total,
        "unit": " customers",
        "disable": None if shown else True,
        "smoothing": 0,
        "leave": False,
    }
    if shown and _IN_NOTEBOOK:
        with _in_notebook(tqdm(**options, display=False)) as bar:
            yield _updater(bar)
    else:
        with tqdm(**options) as bar:
            yield _updater(bar)


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
