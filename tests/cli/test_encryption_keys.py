"""Where encryption keys come from: a private file, what systemd and Docker hand over, a file that changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from notifyctl import config
from notifyctl.core.sealing import Place, format_key
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import provider_configs
from notifyctl.wiring import keys as followed
from notifyctl.wiring.keys import FollowedKeyring
from tests.support.command import Cli, Result

ONE, TWO = format_key("k1", b"1" * 32 + b"a" * 32), format_key("k2", b"2" * 32 + b"b" * 32)
FILE = "NOTIFYCTL_ENCRYPTION_KEYS_FILE"
PLACE = Place("provider_configs", "3f9c2a71-4b4b-4b4b-8b8b-123456789012", "api_key")


@pytest.fixture
def sqlite_cli(sqlite_url: str, bare_cli: Cli) -> Cli:
    """The command line on a file of its own."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = sqlite_url
    return bare_cli


def _keys(path: Path, *keys: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(keys) + "\n")
    path.chmod(mode)
    return path


def _add(cli: Cli, **env: str) -> Result:
    return cli.call(
        "providers", "add", "sendgrid", "--api-key", "-", "--set", "from=a@b.example", input="SG.x", env=env
    )


@pytest.mark.parametrize("mode", [0o440, 0o444])
def test_a_credential_of_systemd_is_taken_with_the_mode_it_has(sqlite_cli: Cli, mode: int) -> None:
    """Its group's bits stand for an access list; it is the folder that keeps others out. Any other file is refused."""
    folder = sqlite_cli.home / "credentials"
    file = str(_keys(folder / "keys", ONE, mode=mode))
    refused = _add(sqlite_cli, **{FILE: file})
    assert (refused.exit_code, "can be read by others" in refused.stderr) == (4, True), refused.stderr
    beside = _add(sqlite_cli, **{FILE: file, "CREDENTIALS_DIRECTORY": f"{folder}-of-another"})
    assert beside.exit_code == 4
    _add(sqlite_cli, **{FILE: file, "CREDENTIALS_DIRECTORY": str(folder)}).ok()


def test_what_is_handed_over_is_taken_without_its_service(sqlite_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command finds it where Docker and systemd put it; a link from there to elsewhere is none of that."""
    folder, elsewhere = sqlite_cli.home / "run", _keys(sqlite_cli.home / "elsewhere", ONE, mode=0o644)
    assert {str(each) for each in config.HANDED_OVER} == {"/run/secrets", "/run/credentials"}
    monkeypatch.setattr(config, "HANDED_OVER", (folder,))
    file = _keys(folder / "keys", ONE, mode=0o444)
    (folder / "link").symlink_to(elsewhere)
    assert _add(sqlite_cli, **{FILE: str(folder / "link")}).exit_code == 4
    _add(sqlite_cli, **{FILE: str(file)}).ok()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_end_of_a_line_is_no_part_of_a_key(sqlite_cli: Cli, end: str) -> None:
    """Editors and `echo` end files with it, `printf` and Docker do not."""
    file = sqlite_cli.home / "mine"
    file.write_bytes(f"{ONE}{end}".encode())
    file.chmod(0o600)
    _add(sqlite_cli, **{FILE: str(file)}).ok()


def test_a_file_is_read_again_when_it_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new key opens at once and seals when it stands first; one that is gone seals no more, and opens for a while."""
    monkeypatch.setattr(followed, "LOOK_S", 0.0)
    file = _keys(tmp_path / "keys", ONE)
    ring = FollowedKeyring(file)
    old = ring.seal("secret", PLACE)
    _keys(file, ONE, TWO)
    new = FollowedKeyring(_keys(tmp_path / "new", TWO)).seal("secret", PLACE)
    assert ring.open(new, PLACE) == ring.open(old, PLACE) == "secret"
    assert ring.seal("secret", PLACE).startswith("v1.k1.")
    _keys(file, TWO)
    assert (ring.seal("secret", PLACE), tuple(ring.keys)) == (new, ("k2",))
    assert ring.open(old, PLACE) == "secret"


@pytest.mark.parametrize("damage", ["malformed", "readable", "gone"])
def test_a_file_that_cannot_be_read_leaves_the_keys_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """Whoever is half through with writing it, or makes a mistake, stops nobody who works."""
    monkeypatch.setattr(followed, "LOOK_S", 0.0)
    file = _keys(tmp_path / "keys", ONE)
    ring = FollowedKeyring(file)
    if damage == "gone":
        file.unlink()
    else:
        _keys(file, TWO if damage == "readable" else TWO[:-9], mode=0o644 if damage == "readable" else 0o600)
    assert tuple(ring.keys) == ("k1",)
    _keys(file, ONE, TWO)
    assert tuple(ring.keys) == ("k1", "k2")


def test_a_key_that_is_not_known_may_just_have_come(tmp_path: Path) -> None:
    """A row that another process sealed a moment ago is no failure, however lately the file was looked at."""
    file = _keys(tmp_path / "keys", ONE)
    ring = FollowedKeyring(file)
    assert tuple(ring.keys) == ("k1",)
    sealed = FollowedKeyring(_keys(tmp_path / "new", TWO)).seal("secret", PLACE)
    _keys(file, TWO, ONE)
    assert ring.open(sealed, PLACE) == "secret"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("variable", ["NOTIFYCTL_DATABASE_URL", "NOTIFYCTL_API_KEY"])
def test_what_is_secret_may_stand_in_a_file(sqlite_cli: Cli, variable: str, end: str) -> None:
    """As Docker's secrets do, with a final end of a line or without one; both at once is a mistake that is named."""
    sqlite_cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    key = sqlite_cli.call("keys", "create", "anna", "--name", "ci", "-o", "secret").ok().stdout.strip()
    text = {"NOTIFYCTL_API_KEY": key}.get(variable) or sqlite_cli.env[variable]
    file = sqlite_cli.home / "secret"
    file.write_bytes(f"{text}{end}".encode())
    file.chmod(0o600)
    plain = sqlite_cli.env.pop(variable, text)
    named = {f"{variable}_FILE": str(file)}
    sqlite_cli.call("users", "list", env=named).ok()
    both = sqlite_cli.call("users", "list", env={**named, variable: plain})
    assert (both.exit_code, f"{variable}_FILE are both set" in both.stderr) == (2, True)
    file.chmod(0o644)
    assert sqlite_cli.call("users", "list", env=named).exit_code == 4
    assert sqlite_cli.call("users", "list", env={**named, "CREDENTIALS_DIRECTORY": str(sqlite_cli.home)}).exit_code == 0
    gone = sqlite_cli.call("users", "list", env={f"{variable}_FILE": "/nowhere/at/all"})
    assert (gone.exit_code, f"{variable}_FILE" in gone.stderr) == (4, True)


def test_a_key_in_an_empty_file_is_a_wrong_key(sqlite_cli: Cli) -> None:
    """It is not nobody's, which an operator is."""
    file = sqlite_cli.home / "secret"
    file.touch(0o600)
    for named in (str(file), ""):
        refused = sqlite_cli.call("users", "list", env={"NOTIFYCTL_API_KEY_FILE": named})
        assert (refused.exit_code, "NOTIFYCTL_API_KEY: " in refused.stderr) == (4, True), refused


@pytest.mark.parametrize(
    ("given", "meant"), [("p w", "p w"), ("p w\n", "p w"), ("p w \n", "p w "), ("p w\r\n", "p w"), ("p w\n\n", "p w\n")]
)
def test_one_final_line_end_is_no_part_of_a_secret(sqlite_cli: Cli, given: str, meant: str) -> None:
    """And nothing else is taken away: blanks may be part of a mail server's password."""
    ring = FollowedKeyring(_keys(sqlite_cli.home / "keys", ONE))
    sqlite_cli.env[FILE] = str(sqlite_cli.home / "keys")
    (sqlite_cli.home / "password").write_text(given, newline="")
    mail = ("--set", "host=mail.example.org", "--set", "from=a@b.example", "--set", "security=none")
    secrets = ("--api-key", "-", "--api-secret", "@password")
    sqlite_cli.call("providers", "add", "smtp", *mail, *secrets, input="user\n").ok()
    opened = Database(sqlite_cli.env["NOTIFYCTL_DATABASE_URL"])
    with opened.read() as tx:
        row = tx.execute(select(provider_configs.c.id, provider_configs.c.api_secret)).one()
    opened.close()
    assert ring.open(row.api_secret, Place("provider_configs", row.id, "api_secret")) == meant
