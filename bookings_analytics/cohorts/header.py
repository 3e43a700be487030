"""The header of a list: what its columns are called here, by all the names that people give them."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Final

from bookings_analytics.errors import CohortError
from bookings_analytics.wording import cleaned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NAMES: Final = {  # what people call the columns, without spaces, hyphens and dots
    "customer_id": {
        *("customerid", "customernumber", "customerno", "customernr"),
        *("memberid", "membernumber", "memberno", "membershipid"),
        *("kundennummer", "kundenid", "kundennr", "kdnr"),
        *("mitgliedsnummer", "mitgliedid", "mitgliedsid", "mitgliednr", "mitgliedsnr"),
    },
    "class_id": {"classid", "kursid", "kursnummer", "kursnr"},
    "title": {"title", "titel", "name", "kurs", "kursname", "class", "classname"},
}


class Header:
    """The columns that a list may have, by all the names they go by."""

    def __init__(self, needs: Sequence[str], optional: Sequence[str], columns: Mapping[str, str]) -> None:
        self.needs = tuple(needs)
        self.names = (*needs, *optional)
        self.given = {_folded(old): new.strip() for old, new in columns.items()}
        self.spelled = {_folded(old): old for old in columns}

    def holds_id(self, header: Iterable[str]) -> bool:
        """Check whether a header has the id, under whatever name."""
        named = {_folded(name) for name in header}
        wanted = self.needs[0]
        return bool(
            wanted in named
            or any(self.given[name] == wanted for name in named & set(self.given))
            or any(_bare(name) in _NAMES.get(wanted, ()) for name in named)
        )

    def renamed(self, where: str, header: Sequence[str]) -> list[str]:
        """Name the columns of a list.

        Raises:
            CohortError: Two columns have one name, one that was named is not there, or one that is needed is missing.
        """
        names = [cleaned(name) for name in header]
        folded = [_folded(name) for name in names]
        if lost := [self.spelled[name] for name in self.given if name not in folded]:
            raise CohortError(
                f"{where} has no column {lost[0]}, only {listed(names)}. Name one of these, spelled as in the list."
            )
        called = [
            self.given.get(fold, fold if fold in self.names else name) for name, fold in zip(names, folded, strict=True)
        ]
        for wanted in self.needs:
            if wanted in called:
                continue
            likely = [i for i, name in enumerate(called) if _bare(name) in _NAMES.get(wanted, ())]
            if len(likely) != 1:
                choice = f"{listed([names[i] for i in likely])} may all be it" if likely else f"only {listed(names)}"
                raise CohortError(
                    f"{where} has no column {wanted}: {choice}. Name the column {wanted} in the list, or say which one "
                    "it is (--id-column on the command line, columns={'…': '" + wanted + "'} in Python)."
                )
            if _folded(called[likely[0]]) != wanted.replace("_", ""):
                warnings.warn(f"{where}: column {names[likely[0]]} is read as {wanted}.", stacklevel=5)
            called[likely[0]] = wanted
        alike = [_folded(name) for name in called]
        if twice := [name for name in dict.fromkeys(alike) if alike.count(name) > 1]:
            raise CohortError(
                f"{where} has the column {twice[0]} {alike.count(twice[0])} times ({listed(names)}). Rename or delete "
                "all but one: it is not clear which is meant."
            )
        return called


def _folded(name: str) -> str:
    return cleaned(name).casefold()


def _bare(name: str) -> str:
    return re.sub(r"[\s_.\-]", "", _folded(name))


def listed(names: Iterable[str]) -> str:
    """Write the names of columns or sheets in a message."""
    return ", ".join(name or "(no name)" for name in names) or "none"
