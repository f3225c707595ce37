"""Secrets asked of a person, and secrets shown or kept once."""

from __future__ import annotations

import getpass
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from notifyctl.cli.invocation import Invocation
from notifyctl.cli.secretfile import write_secret
from notifyctl.config import expanded
from notifyctl.core import apikey
from notifyctl.core.apikey import ApiKey
from notifyctl.core.errors import CommitUnknown, UsageError


def hidden(run: Invocation, what: str, otherwise: str) -> str:
    """Ask for a secret without showing it; raise UsageError with the hint `otherwise` where nobody can be asked."""
    if not run.may_ask:
        raise UsageError(f"the {what} is missing", otherwise)
    return getpass.getpass(f"{what}: ", stream=sys.stderr).strip()


def new_key(run: Invocation) -> ApiKey:
    """Return a new API key, which says of which profile it is."""
    return apikey.generate(run.settings.profile or apikey.DEFAULT_ENVIRONMENT, secrets.token_bytes(apikey.RANDOM_BYTES))


@contextmanager
def kept(path: str | None, secret: str) -> Iterator[None]:
    """Write a secret to a new file before it is stored elsewhere; the file goes again if that fails.

    It stays where nobody knows whether that failed: if it did not, nobody else has the secret. Raises Conflict when the
    file is there already.
    """
    if path is None:
        yield
        return
    file = Path(path)
    write_secret(file, secret)
    try:
        yield
    except CommitUnknown as error:
        raise CommitUnknown(error.message, f"look whether it was stored: if so, {path} has the secret") from error
    except BaseException:
        forget(path)
        raise


def forget(path: str | None) -> None:
    """Remove the file of a secret that came to nothing."""
    if path is not None:
        expanded(path).unlink(missing_ok=True)
