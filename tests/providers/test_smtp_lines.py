"""A message in pieces is the message: its lines end in CRLF, its size is known before, and no dot ends it early."""

from __future__ import annotations

import re
import tracemalloc
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.providers.smtp import lines

messages = st.lists(st.sampled_from([b"a", b"bc", b".", b"..", b"\r", b"\n", b"\r\n", b"x" * 9]), max_size=30).map(
    b"".join
)


@given(messages, st.integers(1, 12))
def test_pieces_make_the_message(message: bytes, piece_bytes: int) -> None:
    """However it is cut: whole lines with CRLF (RFC 5321, 2.3.8), the same octets, dots doubled where lines begin."""
    with mock.patch.object(lines, "PIECE_BYTES", piece_bytes):
        found = list(lines.pieces(message))
        size = lines.size(message)
    whole = b"".join(found)
    expected = re.sub(rb"\r\n|\r|\n", b"\r\n", message)
    assert whole == expected if expected.endswith(b"\r\n") or not expected else whole == expected + b"\r\n"
    assert all(piece.endswith(b"\r\n") for piece in found)
    assert size == len(whole)
    on_the_wire = b"".join(map(lines.stuffed, found)).split(b"\r\n")
    assert on_the_wire == [b"." + line if line.startswith(b".") else line for line in whole.split(b"\r\n")]
    assert b"." not in on_the_wire


def test_a_large_message_is_not_in_memory_again() -> None:
    """It is gone through a piece at a time."""
    message = (b"x" * 76 + b"\r\n") * 200_000
    tracemalloc.start()
    assert lines.size(message) == len(message)
    for piece in lines.pieces(message):
        lines.stuffed(piece)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < len(message) / 2
