"""Which machines are this one."""

from __future__ import annotations

import pytest

from notifyctl.core.host import is_loopback


@pytest.mark.parametrize("host", ["localhost", "LocalHost.", "a.localhost", "127.0.0.1", "127.8.0.1", "::1"])
def test_this_machine(host: str) -> None:
    """Nothing that is sent there leaves the machine."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "localhost.example.org", "10.0.0.1", "::", "0.0.0.0", "notlocalhost", "mail"])
def test_another(host: str) -> None:
    """Whatever only looks like it is not taken for it."""
    assert not is_loopback(host)
