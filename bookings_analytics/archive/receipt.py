"""The receipt of an erasure, of one archive or of several."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from bookings_analytics.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Erasure:
    """The receipt of an erasure.

    Attributes:
        files: Files of the archive that were searched afterwards: all.
        bytes: Their size.
        hits_before: Rows, statistics, log entries and bytes that held what was to go.
        hits_after: Those left: 0, since anything left is an error; of a dry run, as many as before.
        sha256: SHA-256 of the list of these files: a line ``PATH SIZE`` each, sorted, with ``/`` in paths; of a
            directory of archives, of the list of these: a line ``NAME SHA-256`` each, sorted.
        not_promised: What the search can't see.
        archives: Of a directory of archives, each one's receipt, by its name; of one archive: none.
    """

    files: int
    bytes: int
    hits_before: int
    hits_after: int
    sha256: str
    not_promised: str
    archives: Mapping[str, Erasure] = field(default_factory=dict)

    def __str__(self) -> str:
        """Write the receipt in two lines, and one for each archive of several in which anything was found."""
        several = f" of {counted(len(self.archives), 'archive')}" if self.archives else ""
        searched = f"{counted(self.files, 'file')}{several}, {self.bytes:,} bytes, SHA-256 {self.sha256}"
        return "\n".join(
            [
                f"Found in {_found(self)}; searched {searched}.",
                *(f"{name}: found in {_found(each)}." for name, each in self.archives.items() if each.hits_before),
                f"Not promised: {self.not_promised}.",
            ]
        )


def _found(receipt: Erasure) -> str:
    return f"{counted(receipt.hits_before, 'place')} before, {receipt.hits_after:,} after"


def receipt_of_all(receipts: Mapping[str, Erasure]) -> Erasure:
    """Add up the receipts of several archives, by name."""
    lines = "".join(f"{name} {receipts[name].sha256}\n" for name in sorted(receipts))
    return Erasure(
        files=sum(each.files for each in receipts.values()),
        bytes=sum(each.bytes for each in receipts.values()),
        hits_before=sum(each.hits_before for each in receipts.values()),
        hits_after=sum(each.hits_after for each in receipts.values()),
        sha256=sha256(lines.encode()).hexdigest(),
        not_promised="; ".join(dict.fromkeys(each.not_promised for each in receipts.values())),
        archives=dict(receipts),
    )
