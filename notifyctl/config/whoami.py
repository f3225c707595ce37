"""Who runs this process, for the audit trail: what the operating system knows, not what its environment claims."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from notifyctl import __version__
from notifyctl.core.model import Actor

_LOGIN_UID = Path("/proc/self/loginuid")
_NOBODY = 2**32 - 1


def operator(command: str | None = None, env: Mapping[str, str] | None = None) -> Actor:
    """Return the operator at this machine: person@host, where that one came from, the program and its command."""
    agent = f"notifyctl/{__version__}" + (f" {command}" if command else "")
    env = os.environ if env is None else env
    return Actor(agent=agent, name=f"{person()}@{socket.gethostname()}", ip_address=client_address(env))


def person() -> str:
    """Return the user of the operating system, and who logged in where that is another: sudo, su."""
    if not hasattr(os, "getuid"):
        return os.getlogin()
    acting, login = os.getuid(), _login_uid()
    name = _name(acting)
    return name if login in (None, acting) else f"{name}({_name(login)})"


def client_address(env: Mapping[str, str]) -> str | None:
    """Return where an SSH session comes from, as the SSH server says."""
    first = (env.get("SSH_CONNECTION") or env.get("SSH_CLIENT") or "").split(" ")[0].partition("%")[0]
    try:
        return str(ipaddress.ip_address(first))
    except ValueError:
        return None


def _login_uid() -> int | None:
    """Return who logged in, as the kernel keeps it for audits; None where it does not."""
    with suppress(OSError, ValueError):
        found = int(_LOGIN_UID.read_text(encoding="ascii"))
        return None if found == _NOBODY else found
    return None


def _name(uid: int | None) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid or 0).pw_name
    except KeyError:  # a container knows numbers alone
        return str(uid)
