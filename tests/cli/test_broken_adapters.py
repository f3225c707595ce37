"""A third party's provider that cannot be loaded: said where an operator looks, and nobody else's problem."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notifications
from tests.support import seed
from tests.support.command import Cli


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """The environment in which somebody's package with a broken provider is installed."""
    folder = tmp_path / "packages"
    info = folder / "carrier-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "carrier.py").write_text("raise RuntimeError('no licence:\\n' + 'x' * 1_000)")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[notifyctl.providers]\ncarrier = carrier:Carrier\n")
    return {"PYTHONPATH": str(folder)}


def test_status_names_it(cli: Cli, broken: dict[str, str]) -> None:
    """One problem each, with its reason on a line of bearable length; the exit code is what it always is."""
    (problem,) = cli.run("status", "-o", "json", env=broken).ok().json()["problems"]
    assert problem["code"] == "broken_provider"
    assert problem["hint"] == "reinstall or remove the package that brings it"
    message = problem["message"]
    assert message.startswith("provider 'carrier' (carrier:Carrier) cannot be loaded: RuntimeError: no licence: xxx")
    assert len(message) == 300
    assert f" {message}\n" in cli.run("status", env=broken).ok().stdout
    assert cli.run("status", "-o", "json").ok().json()["problems"] == []


def test_dispatch_leaves_it_alone(cli: Cli, database: Database, broken: dict[str, str]) -> None:
    """Though it is configured and something is due by it, the dispatcher works; what is due by it waits."""
    seed.provider(database, "carrier")
    (id_,) = seed.pending(database, seed.user(database))
    database.write(lambda tx: tx.execute(update(notifications).values(provider="carrier")))
    ran = cli.run("dispatch", "--once", "-o", "json", env=broken).ok()
    assert (ran.json()["attempts"], ran.stderr) == (0, "")
    assert seed.notification(database, id_).status == "pending"
