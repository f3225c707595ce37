"""Sizes as people write them."""

from __future__ import annotations

import pytest

from notifyctl.core.errors import UsageError
from notifyctl.core.size import parse_bytes


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("1", 1),
        ("64MB", 64_000_000),
        (" 64 mb ", 64_000_000),
        ("64MiB", 67_108_864),
        ("1.5k", 1_500),
        ("2GiB", 2_147_483_648),
        ("500kB", 500_000),
        ("8b", 8),
    ],
)
def test_sizes(text: str, bytes_: int) -> None:
    """SI prefixes are powers of 1000, those with an i powers of 1024 (IEC 80000-13)."""
    assert parse_bytes(text) == bytes_


@pytest.mark.parametrize(
    "text", ["", "MB", "-1", "0", "0.0001kB", "1ib", "1 2", "nan", "1e9", "9999999999TB", "６４MB", "64MBs"]
)
def test_what_is_no_size(text: str) -> None:
    """Exit 2 with an example, not some number that was not meant."""
    with pytest.raises(UsageError) as caught:
        parse_bytes(text)
    assert "64MB" in (caught.value.hint or "")
