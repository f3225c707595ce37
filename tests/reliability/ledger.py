"""What was submitted and what was acknowledged, kept outside of the database by those who submit.

A line is written before a submission is tried and after it is acknowledged; a process that is killed in between leaves
the first without the second, and then nobody may complain either way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path


class Ledger:
    """The account. `accepted` has the ids under which a key was acknowledged; more than one is a duplicate."""

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self.accepted: dict[str, set[str]] = defaultdict(set)
        self.refused: set[str] = set()

    @classmethod
    def of(cls, ids: Iterable[str]) -> Ledger:
        """Return the ledger of notifications that were written straight into the database, each its own key."""
        ledger = cls()
        for id_ in ids:
            ledger.tried.add(id_)
            ledger.accepted[id_].add(id_)
        return ledger

    def read(self, *files: Path) -> Ledger:
        """Add what the submitters wrote; a last line that is torn counts as not written."""
        for file in files:
            for line in file.read_text().splitlines(keepends=True) if file.exists() else []:
                if line.endswith("\n"):
                    self._enter(*line.split())
        return self

    def _enter(self, word: str, key: str, id_: str = "") -> None:
        if word == "try":
            self.tried.add(key)
        elif word == "ok":
            self.accepted[key].add(id_)
        elif word == "refused":
            self.refused.add(key)

    @property
    def ids(self) -> set[str]:
        """The acknowledged notifications."""
        return {id_ for ids in self.accepted.values() for id_ in ids}
