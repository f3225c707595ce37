"""How many attempts a run may make."""

from __future__ import annotations


class Budget:
    """How many attempts the whole run may still make; None: any number.

    A claim reserves before it knows how much is due, so that all lanes together never take too much.
    """

    def __init__(self, left: int | None = None) -> None:
        self._left = left
        self._reserved = 0

    def reserve(self, wanted: int) -> int:
        """Reserve up to `wanted` attempts and return how many; 0 when other lanes' claims have reserved the rest."""
        if self._left is None:
            return wanted
        taken = min(wanted, self._left - self._reserved)
        self._reserved += taken
        return taken

    def settle(self, reserved: int, used: int) -> None:
        """Use some of what was reserved, and let go of the rest."""
        if self._left is not None:
            self._left -= used
            self._reserved -= reserved

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self._left == 0
