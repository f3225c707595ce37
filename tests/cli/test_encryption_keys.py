"""Where encryption keys come from: a private file, what systemd and Docker hand over, a file that changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from notifyctl.core.sealing import Place, format_key
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
