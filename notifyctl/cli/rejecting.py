"""What is done with the rows of a file that are not taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notifyctl.cli.invocation import Invocation
from notifyctl.core.rowfile.rows import BadRow

if TYPE_CHECKING:
    from notifyctl.services.rowfiles.rejects import Rejects

TOLD = 10
"""How many rejected rows a person is told of where no file is written of them."""


class RejectedRows:
    """Writes rejected rows, or tells a person of the first."""

    def __init__(self, run: Invocation, file: Rejects | None) -> None:
        self._run = run
        self._file = file
        self._told = 0

    def __call__(self, row: BadRow) -> None:
        """Take the next one."""
        if self._file is not None:
            self._file.write(row)
        elif self._told < TOLD:
            self._told += 1
            self._run.out.say(f"line {row.line}: {row.reason}")
