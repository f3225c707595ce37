"""Who acts is what the operating system says, not what its environment claims."""

from __future__ import annotations

import os
import pwd

import pytest

from notifyctl import __version__
from notifyctl.config import whoami


def test_the_operator_is_who_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that anybody can set name nobody else."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    found = whoami.operator("users create", {})
    assert found.name is not None and found.name.startswith(pwd.getpwuid(os.getuid()).pw_name)
    assert "@" in found.name and "mallory" not in found.name
    assert found.agent == f"notifyctl/{__version__} users create"
    assert (found.user_id, found.ip_address) == (None, None)


@pytest.mark.parametrize(
    ("env", "address"),
    [
        ({"SSH_CONNECTION": "203.0.113.7 50022 192.0.2.1 22"}, "203.0.113.7"),
        ({"SSH_CLIENT": "2001:db8::7 50022 22"}, "2001:db8::7"),
        ({"SSH_CONNECTION": "fe80::1%eth0 50022 fe80::2%eth0 22"}, "fe80::1"),
        ({"SSH_CONNECTION": "UNKNOWN 65535 UNKNOWN 65535"}, None),
        ({"SSH_CONNECTION": ""}, None),
    ],
)
def test_where_an_operator_comes_from(env: dict[str, str], address: str | None) -> None:
    """The client's address, as sshd(8) documents the variables; what is none is left out."""
    assert whoami.client_address(env) == address
