"""What people install and what they type first: the wheel, far from the repository, and the README's walk-through."""

from __future__ import annotations

import configparser
import fcntl
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from notifyctl import __version__
from notifyctl.store.schema import functions
from tests.support import ports
from tests.support.command import REPOSITORY, Cli, Result
from tests.support.shell import Shell
from tests.support.world import KEYS

pytestmark = pytest.mark.slow

MIGRATIONS = sorted(path.name for path in (REPOSITORY / "migrations" / "versions").glob("*.py"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once for all workers with the tools that are here: nothing is downloaded."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "wheel"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(folder.glob("*.whl")):
            _pip("wheel", str(REPOSITORY), "--no-build-isolation", "--wheel-dir", str(folder))
    (built,) = folder.glob("*.whl")
    return built


def _pip(*args: str) -> None:
    quiet = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "--no-cache-dir")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    command = [sys.executable, "-m", "pip", args[0], *quiet, *args[1:]]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_what_the_wheel_holds(wheel: Path) -> None:
    """Everything that runs, nothing that does not: migrations, types, entry points, the licence; no tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        points = configparser.ConfigParser()
        points.read_string(archive.read(f"notifyctl-{__version__}.dist-info/entry_points.txt").decode())
    assert MIGRATIONS
    assert {f"notifyctl/migrations/versions/{name}" for name in MIGRATIONS} <= names
    assert {"notifyctl/migrations/env.py", "notifyctl/py.typed", "notifyctl/__main__.py"} <= names
    assert f"notifyctl/migrations/functions/{functions.SOURCE}" in names
    sources = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "notifyctl").rglob("*.py")}
    assert sources <= names
    assert f"notifyctl-{__version__}.dist-info/licenses/LICENSE" in names
    assert {name.split("/")[0] for name in names} == {"notifyctl", f"notifyctl-{__version__}.dist-info"}
    assert dict(points["console_scripts"]) == {"notifyctl": "notifyctl.__main__:run"}
    assert dict(points["pytest11"]) == {"notifyctl": "notifyctl.pytest_plugin"}
    assert set(points["notifyctl.providers"]) == {"sendgrid", "twilio", "fcm", "smtp"}


class Installed(Cli):
    """The command line of the wheel, installed into a folder of its own; only its dependencies are shared."""

    def __init__(self, cli: Cli, folder: Path, wheel: Path) -> None:
        super().__init__(cli.home, cli.env.get("NOTIFYCTL_DATABASE_URL"))
        _pip("install", "--target", str(folder), str(wheel))
        self.env["PYTHONPATH"] = str(folder)
        self._program = folder / "bin" / "notifyctl"

    def command(self, *args: str) -> list[str]:
        """Return the argument vector of the installed script."""
        return [sys.executable, str(self._program), *args]


@pytest.fixture
def installed(bare_cli: Cli, empty_database_url: str, tmp_path: Path, wheel: Path) -> Installed:
    """The installed program on an empty database."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = empty_database_url
    return Installed(bare_cli, tmp_path / "installed", wheel)


def test_the_installed_wheel_works_anywhere(installed: Installed, tmp_path: Path) -> None:
    """Migrations, commands and the dispatcher, from a folder that knows nothing of the repository."""
    where = subprocess.run(
        [sys.executable, "-c", "import notifyctl; print(notifyctl.__file__)"],
        env=installed.env,
        cwd=installed.home,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(tmp_path / "installed"))
    assert installed.run("--version").ok().stdout == f"notifyctl {__version__}\n"
    assert installed.run("migrate", "up", "-o", "id").ok().stdout.split() == [
        name.partition("_")[0] for name in MIGRATIONS
    ]
    assert installed.run("migrate", "check", "-o", "json").ok().json() == []
    installed.run("users", "create", "anna", "--email", "anna@example.org").ok()
    env = {"NOTIFYCTL_ENCRYPTION_KEYS": KEYS}
    provider = ("--set", "from=alerts@example.com", "--set", "base_url=http://127.0.0.1:9")
    installed.run("providers", "add", "sendgrid", "--api-key", "-", *provider, input="SG.key", env=env).ok()
    installed.run("send", "anna", "--channel", "email", "--subject", "Hello", "--body", "x").ok()
    report = installed.run("dispatch", "--once", "-o", "json", env=env).ok().json()
    assert (report["attempts"], report["accepted"]) == (1, 0)
    (row,) = installed.run("notifications", "list", "-o", "json").ok().json()
    assert row["status"] == "pending" and "not connected" in row["error_message"]


# The README


def blocks(heading: str) -> list[list[str]]:
    """Return the commands of each console block under a heading of the README, as they are typed."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", text.split(f"\n## {heading}\n")[1], flags=re.MULTILINE)[0]
    found = re.findall(r"^```console\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    return [[each.strip() for each in re.split(r"^\$ ", block, flags=re.MULTILINE) if each.strip()] for block in found]


def test_the_walk_through_of_the_readme(empty_database_url: str, backend: str, tmp_path: Path) -> None:
    """A person who types what the README says, in an empty home, ends with notifications that are sent."""
    (sandbox,), commands = blocks("Walk-through")
    assert "notifyctl sandbox --port 8025" in sandbox and len(commands) >= 10
    home = tmp_path / "home"
    home.mkdir()
    database = {} if backend == "sqlite" else {"NOTIFYCTL_DATABASE_URL": empty_database_url}
    shell = Shell(home, tmp_path / "tools", {"HOME": str(home), **database})
    serving, port = ports.serving(lambda port: shell.start(f"exec {sandbox.replace('8025', str(port))}"))
    try:
        for command in commands:
            _ok(shell.run(command.replace(":8025", f":{port}")), command)
        statuses = _statuses(shell)
        assert statuses == {"email": "sent", "push": "pending"}
        _ok(shell.run("notifyctl notifications reschedule --state scheduled --at now --yes"), "reschedule")
        _ok(shell.run("notifyctl dispatch --once"), "dispatch")
        assert _statuses(shell) == {"email": "sent", "push": "sent"}
    finally:
        os.killpg(serving.pid, signal.SIGTERM)
        _, err = serving.communicate(timeout=30)
    assert serving.returncode == 0, err


def _ok(result: Result, command: str) -> None:
    assert result.exit_code == 0 and "Traceback" not in result.stderr, (command, result)


def _statuses(shell: Shell) -> Mapping[str, str]:
    rows = shell.run("notifyctl notifications list -o json").ok().json()
    return {row["message_type"]: row["status"] for row in rows}
