"""A profile that demands an API key for a database: it cannot be got round by another way to the same database."""

from __future__ import annotations

import os
import pwd
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


@pytest.mark.parametrize("text", ["not [ TOML", "require_api_key = 'true'", "[profiles.p]\nrequire_api_key = 1"])
def test_a_demand_that_cannot_be_read_lets_nobody_in(cli: Cli, text: str) -> None:
    """The user's own file counts beside one that is named, also where it is broken."""
    (cli.home / "mine.toml").write_text("")
    cli.call("users", "list", "--config", "mine.toml").ok()
    path = own_file(cli, text)
    refused = cli.call("users", "list", "--config", "mine.toml")
    assert (refused.exit_code, refused.stdout) == (2, "") and str(path) in refused.stderr


@pytest.mark.skipif(os.name != "posix", reason="there is no password database")
def test_another_home_is_no_way_round(cli: Cli, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose file it is the password database says, not HOME or XDG_CONFIG_HOME alone."""
    import pwd

    account = pwd.struct_passwd(("me", "x", os.getuid(), 0, "", str(cli.home / "account"), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: account)
    looked(cli, url=database_url).ok()
    path = cli.home / "account" / ".config" / "notifyctl" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("require_api_key = true\n")
    for env in ({"HOME": str(cli.home / "x")}, {"XDG_CONFIG_HOME": str(cli.home / "nope")}):
        assert looked(cli, "--database-url", database_url, env=env).exit_code == 4


def test_a_demand_without_a_database_is_for_any(cli: Cli, database_url: str) -> None:
    """It is the environment that names one: neither another file nor a flag gets round it, only a profile set free."""
    (cli.home / "empty.toml").write_text("")
    for text in ("require_api_key = true\n", "[profiles.prod]\nrequire_api_key = true\n"):
        own_file(cli, text)
        for words in (("--config", str(cli.home / "empty.toml")), ("--database-url", database_url)):
            assert looked(cli, *words, url=database_url).exit_code == 4
        own_file(cli, f"{text}[profiles.dev]\ndatabase_url = '{database_url}'\nrequire_api_key = false\n")
        looked(cli, "--profile", "dev").ok()


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
    assert demanded_by(other, demand, {}) == ("f [profiles.prod]" if same else None)


def test_what_libpq_reads_of_the_environment_counts() -> None:
    """A URL that says nothing of the host means that of PGHOST; names of this machine are one."""
    demand = [(Path("f"), {"require_api_key": True, "database_url": PG})]
    assert demanded_by("postgresql:///notify", demand, {"PGHOST": "db1"}) == "f"
    assert demanded_by("postgresql:///notify", demand, {}) is None
    here = [(Path("f"), {"require_api_key": True, "database_url": "postgresql://localhost/notify"})]
    for other in ("postgresql://127.0.0.1/notify", "postgresql:///notify", "postgresql:///notify?host=/run/postgresql"):
        assert demanded_by(other, here, {}) == "f"


@pytest.mark.parametrize(
    "other",
    [
        "postgresql://localhost,localhost/notify",
        "postgresql://db2,localhost/notify",
        "postgresql:///notify?host=localhost:5432&host=localhost:5432",
        "postgresql:///notify?host=db2,127.0.0.1&port=1,5432",
        "postgresql://127.0.0.2/notify",
        "postgresql://127.1/notify",
        "postgresql://2130706433/notify",
        "postgresql://[::1]/notify",
        "postgresql://[0:0::1]/notify",
        "postgresql://[::ffff:127.0.0.1]/notify",
        "postgresql://0.0.0.0/notify",
        "postgresql://[::]/notify",
        "postgresql://LOCALHOST./notify",
        "postgresql://db.localhost/notify",
        "postgresql:///notify?host=@abstract",
        "postgresql://db2/notify?hostaddr=127.0.0.1",
        "postgresql://localhost/notify?port=05432",
    ],
)
def test_this_machine_has_many_names(other: str) -> None:
    """Any loopback, also in a list or by hostaddr, and however the port is written."""
    for url in ("postgresql://localhost/notify", "postgresql:///notify?host=/run/postgresql"):
        assert demanded_by(other, [(Path("f"), {"require_api_key": True, "database_url": url})], {}) == "f"
    away = [(Path("f"), {"require_api_key": True, "database_url": "postgresql://10.0.0.7:6432/notify"})]
    assert demanded_by(other, away, {}) is None
    assert demanded_by("postgresql://db9/notify?port=6432", away, {"PGHOSTADDR": "10.0.0.7"}) == "f"


SERVICES = """
[prod]
host=db1
dbname=notify
[by_address]
hostaddr=10.0.0.7
port=6432
dbname=notify
[elsewhere]
host=db2
"""


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("postgresql:///?service=prod", True),
        ("postgresql://somebody@/notify?service=prod", True),
        ("postgresql:///other?service=prod", False),
        ("postgresql://db2/?service=prod", False),
        ("postgresql:///notify?service=elsewhere", False),
        ("postgresql:///?service=by_address", False),
        ("postgresql:///?service=unheard_of", False),
    ],
)
def test_a_service_is_what_its_file_says(
    other: str, same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL, 32.17: its parameters stand for those that the URL does not give, before the environment's."""
    (tmp_path / "services").write_text(SERVICES)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    monkeypatch.setenv("PGHOST", "db9")
    demand = [(Path("f"), {"require_api_key": True, "database_url": PG})]
    assert demanded_by(other, demand, os.environ) == ("f" if same else None)
    assert "PGSERVICE" not in os.environ
    if other == "postgresql:///?service=prod":  # who demands may say it so as well, and the environment, too
        by_service = [(Path("f"), {"require_api_key": True, "database_url": other})]
        assert demanded_by(PG, by_service, os.environ) == "f"
        monkeypatch.setenv("PGSERVICE", "prod")
        assert demanded_by("postgresql://", demand, os.environ) == "f"


def test_a_database_that_is_not_named_is_its_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """As libpq has it: the one who is named, by the URL or the environment, or else who runs this."""
    demand = [(Path("f"), {"require_api_key": True, "database_url": PG})]
    for url in ("postgresql://notify@db1", "postgresql://db1/?user=notify"):
        assert demanded_by(url, demand, {}) == "f"
    assert demanded_by("postgresql://db1", demand, {"PGUSER": "notify"}) == "f"
    assert demanded_by("postgresql://db1", demand, {}) is None
    mine = pwd.getpwuid(os.getuid()).pw_name
    demand = [(Path("f"), {"require_api_key": True, "database_url": f"postgresql://db1/{mine}"})]
    assert demanded_by("postgresql://db1", demand, {}) == "f"
