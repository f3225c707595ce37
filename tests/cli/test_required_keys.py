"""A profile that demands an API key for a database: it cannot be got round by another way to the same database."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from notifyctl.config import files
from notifyctl.config.demands import demanded_by
from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli, Result


@pytest.fixture(autouse=True)
def anna(database: Database) -> str:
    """A user anna."""
    return seed.user(database)


@pytest.fixture
def key(cli: Cli) -> str:
    """A key of hers, made before one is demanded."""
    return cli.call("keys", "create", "anna", "--name", "ci", "-o", "secret").ok().stdout.strip()


def own_file(cli: Cli, text: str) -> Path:
    """Write the user's own configuration."""
    path = cli.home / ".config" / "notifyctl" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def looked(cli: Cli, *args: str, env: dict[str, str] | None = None, url: str | None = None) -> Result:
    """List users; `url` is what the environment says of the database."""
    kept = dict(cli.env)
    if url is None:
        cli.env.pop("NOTIFYCTL_DATABASE_URL")
    try:
        return cli.call(*args, "users", "list", "-o", "id", env=env)
    finally:
        cli.env.clear()
        cli.env.update(kept)


def test_no_other_way_to_the_database_goes_without(cli: Cli, database_url: str, key: str) -> None:
    """Another profile, another file, a flag, the environment: all ask for a key, and are let in with one."""
    own_file(
        cli,
        f"[profiles.prod]\ndatabase_url = '{database_url}'\nrequire_api_key = true\n"
        f"[profiles.other]\ndatabase_url = '{database_url}'\nrequire_api_key = false\n",
    )
    (cli.home / "mine.toml").write_text(f"database_url = '{database_url}'\nrequire_api_key = false\n")
    (cli.home / "empty.toml").write_text("")
    empty = str(cli.home / "empty.toml")
    mine, env = str(cli.home / "mine.toml"), {"NOTIFYCTL_DATABASE_URL": database_url}
    for args, more in (
        (("--profile", "prod"), {}),
        (("--profile", "other"), {}),
        (("--config", mine), {}),
        (("--database-url", database_url), {}),
        ((), env),
        ((), {"NOTIFYCTL_CONFIG": mine}),
        ((), {"NOTIFYCTL_CONFIG": empty, **env}),
        ((), {"NOTIFYCTL_PROFILE": "other", **env}),
    ):
        refused = looked(cli, *args, env=more)
        assert (refused.exit_code, refused.stdout) == (4, ""), (args, more, refused)
        assert "an API key is demanded" in refused.stderr
        looked(cli, *args, env={**more, "NOTIFYCTL_API_KEY": key}).ok()


def test_another_database_is_not_concerned(cli: Cli, tmp_path: Path, database_url: str) -> None:
    """What prod demands, a database of tests does not."""
    own_file(cli, f"[profiles.prod]\ndatabase_url = 'sqlite:///{tmp_path / 'elsewhere.db'}'\nrequire_api_key = true\n")
    assert cli.call("users", "list").exit_code == 0


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_file_by_another_name_is_the_same(cli: Cli, database_url: str, tmp_path: Path) -> None:
    """A link, a hard link, a way round by another folder."""
    own_file(cli, f"[profiles.prod]\ndatabase_url = '{database_url}'\nrequire_api_key = true\n")
    path = Path(database_url.removeprefix("sqlite:///"))
    (tmp_path / "link.db").symlink_to(path)
    os.link(path, tmp_path / "hard.db")
    for other in (tmp_path / "link.db", tmp_path / "hard.db", path.parent / "." / ".." / path.parent.name / path.name):
        assert cli.call("users", "list", "--database-url", f"sqlite:///{other}").exit_code == 4


def test_it_is_said_where_it_is_demanded(cli: Cli, database_url: str) -> None:
    """`config show --origin` names the profile, also where another one is in force."""
    path = own_file(cli, f"[profiles.prod]\ndatabase_url = '{database_url}'\nrequire_api_key = true\n")
    shown = cli.call("config", "show", "--origin", "-o", "json").ok().json()
    (row,) = (each for each in shown if each["name"] == "require_api_key")
    assert (row["value"], row["origin"]) == (True, f"{path} [profiles.prod]")


def test_the_system_s_file_is_always_read(cli: Cli, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in /etc holds for whoever brings files of their own; where it cannot be read nobody is let in."""
    system = cli.home / "system.toml"
    system.write_text(f"require_api_key = true\ndatabase_url = '{database_url}'\n")
    monkeypatch.setattr(files, "SYSTEM_FILE", system)
    (cli.home / "mine.toml").write_text("")
    assert cli.call("users", "list", "--config", "mine.toml").exit_code == 4
    system.write_text("not [ TOML")
    assert cli.call("users", "list", "--config", "mine.toml").exit_code == 2
    system.unlink()
    own_file(cli, "not [ TOML")  # one's own does not matter beside one that is named
    assert cli.call("users", "list", "--config", "mine.toml").exit_code == 0


PG = "postgresql://notify@db1/notify"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("postgresql://somebody:secret@DB1:5432/notify", True),
        ("postgres://db1./notify?sslmode=require", True),
        ("postgresql:///notify?host=db1", True),
        ("postgresql://db1:6432/notify", False),
        ("postgresql://db2/notify", False),
        ("postgresql://db1/other", False),
        ("sqlite:////notify", False),
        ("nonsense", False),
    ],
)
def test_which_servers_are_the_same(other: str, same: bool) -> None:
    """Host, port and database decide, wherever the URL has them; nobody's name or password does."""
    demand = [(Path("f"), {"profiles": {"prod": {"require_api_key": True, "database_url": PG}}})]
    assert demanded_by(other, demand, "", {}) == ("f [profiles.prod]" if same else None)


def test_what_libpq_reads_of_the_environment_counts() -> None:
    """A URL that says nothing of the host means that of PGHOST; names of this machine are one."""
    demand = [(Path("f"), {"require_api_key": True, "database_url": PG})]
    assert demanded_by("postgresql:///notify", demand, "", {"PGHOST": "db1"}) == "f"
    assert demanded_by("postgresql:///notify", demand, "", {}) is None
    here = [(Path("f"), {"require_api_key": True, "database_url": "postgresql://localhost/notify"})]
    for other in ("postgresql://127.0.0.1/notify", "postgresql:///notify", "postgresql:///notify?host=/run/postgresql"):
        assert demanded_by(other, here, "", {}) == "f"
