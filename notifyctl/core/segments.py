"""In how many parts a text message goes, and what decides it.

Source: 3GPP TS 23.038 (the GSM 7-bit alphabet and its extension) and TS 23.040 (concatenation: a header of six octets
in each part leaves room for 153 septets or 67 UTF-16 units).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from notifyctl.core.frozen import dataclass

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")  # each behind an escape, so two septets


class Encoding(StrEnum):
    """How a text message is written: one letter outside the GSM alphabet makes all of it UCS-2."""

    GSM_7 = "GSM-7"
    UCS_2 = "UCS-2"


SHOWN = 10
_ROOM = {Encoding.GSM_7: (160, 153), Encoding.UCS_2: (70, 67)}


@dataclass(frozen=True, slots=True)
class Segments:
    """`units` are septets or UTF-16 units, `count` how many parts they take; `odd` the letters that force UCS-2."""

    encoding: Encoding
    units: int
    count: int
    odd: str = ""

    def __str__(self) -> str:
        """Say it to the person who pays for it."""
        alone, part = _ROOM[self.encoding]
        room = alone if self.count == 1 else part * self.count
        because = f" because of {self.odd[:SHOWN]}" if self.odd else ""
        return f"{self.count} segment{'s' * (self.count > 1)}: {self.units} of {room}, {self.encoding}{because}"


def segments(text: str) -> Segments:
    """Return in how many parts `text` goes; an empty one takes one."""
    odd = "".join(dict.fromkeys(letter for letter in text if letter not in _BASIC and letter not in _EXTENDED))
    if odd:
        encoding, widths = Encoding.UCS_2, [2 if ord(letter) > 0xFFFF else 1 for letter in text]
    else:
        encoding, widths = Encoding.GSM_7, [2 if letter in _EXTENDED else 1 for letter in text]
    alone, part = _ROOM[encoding]
    units = sum(widths)
    return Segments(encoding, units, 1 if units <= alone else _parts(widths, part), odd)


def _parts(widths: Iterable[int], room: int) -> int:
    """Return how many parts are filled, where no letter is divided between two."""
    count, left = 1, room
    for width in widths:
        if width > left:
            count, left = count + 1, room
        left -= width
    return count
