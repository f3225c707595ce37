"""The audit trail by PostgreSQL's least roles: they read and add to it; to remove its oldest part takes the owner."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from notifyctl.core.sealing import format_key
from tests.support import roles
from tests.support.command import Cli

KEY = format_key("k1", bytes(range(64)))


@pytest.fixture
def urls(postgresql_url: str) -> Iterator[dict[str, str]]:
    """Somebody in each role of a migrated database."""
    with roles.least_privileged(postgresql_url) as made:
        yield made


def _as(cli: Cli, url: str) -> Cli:
    cli.env |= {"NOTIFYCTL_DATABASE_URL": url, "NOTIFYCTL_ENCRYPTION_KEYS": KEY}
    return cli


def test_what_each_role_does_with_the_trail(bare_cli: Cli, urls: dict[str, str]) -> None:
    """Operators write, seal, anchor and verify it, dispatchers seal it; deleting a user takes no right on it."""
    operating = _as(bare_cli, urls["operate"])
    operating.call("users", "create", "anna", "--email", "anna@example.org").ok()
    key = operating.call("keys", "create", "anna", "--name", "ci", "-o", "secret").ok().stdout.strip()
    operating.call("users", "update", "anna", "--language", "de", env={"NOTIFYCTL_API_KEY": key}).ok()
    operating.call("audit", "anchor").ok()
    operating.call("users", "delete", "anna", "--yes").ok()
    before = operating.call("audit", "list", "-o", "id").ok().stdout
    assert operating.call("audit", "verify", "-o", "json").ok().json()["unsealed"] == 1
    _as(bare_cli, urls["dispatch"]).call("dispatch", "--once").ok()
    operating = _as(bare_cli, urls["operate"])
    report = operating.call("audit", "verify", "-o", "json").ok().json()
    assert (report["whole"], report["unsealed"]) == (True, 0)
    refused = operating.call("audit", "purge", "--older-than", "1ms", "--yes")
    assert (refused.exit_code, "owner" in refused.stderr, refused.stdout) == (4, True, ""), refused
    assert set(before.split()) <= set(operating.call("audit", "list", "-o", "id").ok().stdout.split())
    done = _as(bare_cli, urls["owner"]).call("audit", "purge", "--older-than", "1ms", "--yes", "-o", "json").ok()
    assert done.json()["removed"] > 0
    assert operating.call("audit", "verify", "-o", "json").ok().json()["whole"]
