"""One fetch into an archive at a time: two would ask the API for the same customers."""

from __future__ import annotations

import getpass
import hashlib
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import filelock

from bookings_analytics import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

_OF_OTHERS: Final = 0o066  # the permissions to read and write of group and others


class StillRunningError(Exception):
    """Another fetch into the archive that did not end in time."""


def lock_of(archive: str) -> Path:
    """Return the path of an archive's lock file: beside a directory; for an object store, one for each user.

    Args:
        archive: The archive's directory or URL.

    Example:
        >>> lock_of("/srv/gym/archive").name
        '.archive.lock'
        >>> lock_of("s3://bucket/archive").suffix
        '.lock'
    """
    if "://" not in archive:
        place = Path(archive).expanduser().resolve()
        return place.with_name(f".{place.name}.lock")
    name = hashlib.sha256(archive.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"bookings-analytics-{getpass.getuser()}-{name}.lock"


@contextmanager
def alone(archive: str, *, wait: timedelta, echo: Callable[[str], object]) -> Iterator[None]:
    """Wait until no other fetch into this archive runs on this machine.

    Args:
        archive: The archive's directory or URL.
        wait: How long to wait at most.
        echo: Called with a line that says what is waited for.

    Raises:
        StillRunningError: The other fetch did not end in time.
        ConfigurationError: The lock file can't be written.
    """
    path = lock_of(archive)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whoever may write beside the archive may lock it: a second account in the group, for instance.
        mode = 0o600 | (path.parent.stat().st_mode & _OF_OTHERS)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, mode))  # what can't be opened, the lock would wait for
        lock = filelock.FileLock(path, mode=mode)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            echo(
                f"Another fetch into {archive} is running: waiting for it, at most {wait.total_seconds() / 60:.0f} min."
            )
            lock.acquire(timeout=wait.total_seconds())
    except filelock.Timeout as error:
        raise StillRunningError(
            f"Another fetch into {archive} still runs. Nothing was fetched; run the command again when it has ended."
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"The lock file {path} can't be written: {os.strerror(error.errno or 0)}. "
            "Give this account the right to write there, or name another --archive."
        ) from error
    try:
        yield
    finally:
        lock.release()
