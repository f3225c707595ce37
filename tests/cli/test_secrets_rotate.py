"""The rotation of encryption keys as an operator does it: four steps, each of which looks whether it may be done."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from sqlalchemy import func, select

from notifyctl.core.presence import Heartbeat
from notifyctl.core.sealing import format_key
from notifyctl.services import rotating
from notifyctl.store import dispatchers
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs
from tests.support.command import Cli, Result

FILE = "NOTIFYCTL_ENCRYPTION_KEYS_FILE"


@pytest.fixture
def keys(cli: Cli) -> Path:
    """The file of keys, with one; two providers whose credentials it sealed."""
    file = cli.home / "keys"
    cli.env[FILE] = str(file)
    cli.call("secrets", "generate-key", "--add").ok()
    cli.call("providers", "add", "sendgrid", "--api-key", "-", "--set", "from=a@b.example", input="SG.canary").ok()
    twilio = ("providers", "add", "twilio", "--api-key", "-", "--api-secret", "-", "--set", "from=+15005550006")
    cli.call(*twilio, input=f"AC{'5a' * 16}\ncanary\n").ok()
    return file


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for."""
    monkeypatch.setattr(rotating, "PATIENCE_S", 0.0)


def _ids(file: Path) -> list[str]:
    return [line.partition(":")[0] for line in file.read_text().splitlines()]


def _rotate(cli: Cli, *args: str) -> Result:
    return cli.call("secrets", "rotate", *args)


def _status(cli: Cli) -> dict[str | None, tuple[str, int]]:
    return {
        each["kid"]: (each["role"], each["rows"]) for each in cli.call("secrets", "status", "-o", "json").ok().json()
    }


def test_the_four_steps(cli: Cli, keys: Path, database: Database) -> None:
    """Each of them changes what it says and nothing else; at the end the first key is gone and everything opens."""
    assert cli.call("secrets", "generate-key", "--add").ok().stdout == ""
    assert (_ids(keys), _status(cli)) == (["k1", "k2"], {"k1": ("seals", 3), "k2": ("opens", 0)})
    _rotate(cli, "--activate", "k2").ok()
    assert (_ids(keys), _status(cli)) == (["k2", "k1"], {"k2": ("seals", 0), "k1": ("opens", 3)})
    assert _rotate(cli, "--re-encrypt", "-o", "json").ok().json()["resealed"] == 3
    assert _rotate(cli, "-o", "json").ok().json()["resealed"] == 0  # by itself the same
    assert _status(cli) == {"k2": ("seals", 3), "k1": ("opens", 0)}
    _rotate(cli, "--forget", "k1", "--yes").ok()
    assert (_ids(keys), _status(cli)) == (["k2"], {"k2": ("seals", 5)})  # two are the audit trail's
    assert keys.stat().st_mode & 0o777 == 0o600
    assert [each for each in keys.parent.iterdir() if each.name.startswith(".keys-")] == []
    assert cli.call("secrets", "generate-key", "--add").ok() and _ids(keys) == ["k2", "k3"]
    with database.read() as tx:
        acts = select(audit_logs.c.action, func.count()).where(audit_logs.c.resource_type == "encryption_key")
        found = {row[0]: row[1] for row in tx.execute(acts.group_by(audit_logs.c.action))}
    assert found == {"rotate": 4, "delete": 1}  # one that lets it seal, one for each value


def test_a_key_that_is_used_is_not_forgotten(cli: Cli, keys: Path) -> None:
    """Neither the one that seals nor one that values are sealed with: their number and columns are told."""
    cli.call("secrets", "generate-key", "--add").ok()
    refused = _rotate(cli, "--forget", "k1", "--yes")
    assert (refused.exit_code, "the one that seals" in refused.stderr) == (5, True)
    _rotate(cli, "--activate", "k2").ok()
    refused = _rotate(cli, "--forget", "k1", "--yes")
    assert refused.exit_code == 5
    assert "3 values are sealed with key k1: 2 in provider_configs.api_key, 1 in" in refused.stderr
    _rotate(cli).ok()
    asked = _rotate(cli, "--forget", "k1")
    assert (asked.exit_code, "in backups" in asked.stderr, _ids(keys)) == (2, True, ["k2", "k1"])


@pytest.mark.parametrize(
    ("has", "step", "said"),
    [
        ((), ("--activate", "k2"), "does not have encryption key k2"),
        (("k1",), ("--activate", "k2"), "does not have encryption key k2"),
        (("k1",), ("--re-encrypt",), "does not have encryption key k2"),
        (("k1", "k2"), ("--forget", "k1", "--yes"), "seals with encryption key k1"),
    ],
)
@pytest.mark.usefixtures("hasty")
def test_a_dispatcher_at_work_holds_a_step_up(
    cli: Cli, keys: Path, database: Database, has: tuple[str, ...], step: tuple[str, ...], said: str
) -> None:
    """It would fail, or seal with a key that is gone: it is named, nothing is changed; once it is gone it goes on."""
    cli.call("secrets", "generate-key", "--add").ok()
    if step[0] != "--activate":
        _rotate(cli, "--activate", "k2").ok()
    if step[0] == "--forget":
        _rotate(cli).ok()
    before, id_ = keys.read_bytes(), str(uuid.uuid4())
    database.write(lambda tx: dispatchers.beat(tx, Heartbeat(id_, "web1", 4711, 0, 0, keys=has)))
    counted = _status(cli)
    refused = _rotate(cli, *step)
    assert (refused.exit_code, f"dispatcher web1:4711 {said}" in refused.stderr) == (5, True), refused.stderr
    assert (keys.read_bytes(), _status(cli)) == (before, counted)
    database.write(lambda tx: dispatchers.leave(tx, id_))
    _rotate(cli, *step).ok()


def test_a_dispatcher_that_was_killed_is_waited_for_until_it_counts_no_more() -> None:
    """Nobody has to repeat a step for one that is dead: the patience is longer than it counts as living."""
    assert rotating.PATIENCE_S * 1_000 > dispatchers.ALIVE_MS


def test_a_lost_key_is_exit_4_and_names_the_rows(cli: Cli, keys: Path) -> None:
    """By status, by a rotation, and by whatever needs the credentials; what opens is sealed anew all the same."""
    shown = cli.call("providers", "list", "-o", "json").ok().json()
    rows = {each["id"] for each in shown}
    lost = keys.read_text()
    keys.write_text(format_key("k7", bytes(range(64))) + "\n")
    told = cli.call("secrets", "status")
    assert told.exit_code == 4 and all(row in told.stderr for row in rows), told.stderr
    assert "k1 (3 values)" in told.stderr and "k1\tmissing\t3" in told.stdout
    told = cli.call("secrets", "status", "-o", "json")
    assert '"id": "' in told.stderr.split('"problems"')[1]
    cli.call("providers", "update", "sendgrid", "--api-key", "-", input="SG.new").ok()
    told = _rotate(cli)
    sendgrid = next(each["id"] for each in shown if each["provider_name"] == "sendgrid")
    assert told.exit_code == 4 and all(row in told.stderr for row in rows - {sendgrid}), told.stderr
    assert sendgrid not in told.stderr
    (twilio,) = rows - {sendgrid}
    used = cli.call("dispatch", "--once")
    assert used.exit_code == 4 and twilio in used.stderr and "'k1'" in used.stderr
    keys.write_text(keys.read_text() + lost)
    assert _rotate(cli, "-o", "json").ok().json()["resealed"] == 2


def test_keys_in_a_variable_are_not_ours_to_change(cli: Cli, keys: Path) -> None:
    """The remedy is told; values are sealed anew with them all the same."""
    one, two = keys.read_text().strip(), format_key("k2", bytes(range(64)))
    env = {"NOTIFYCTL_ENCRYPTION_KEYS": f"{two},{one}"}
    for args in (("generate-key", "--add"), ("rotate", "--activate", "k1"), ("rotate", "--forget", "k1", "--yes")):
        refused = cli.call("secrets", *args, env=env)
        assert (refused.exit_code, "NOTIFYCTL_ENCRYPTION_KEYS" in refused.stderr) == (2, True), refused
    assert cli.call("secrets", "rotate", "-o", "json", env=env).ok().json()["resealed"] == 3
    assert keys.read_text().strip() == one


@pytest.mark.parametrize("args", [("--activate", "k9"), ("--forget", "k9", "--yes")])
def test_a_key_that_is_not_there_is_named(cli: Cli, keys: Path, args: tuple[str, ...]) -> None:
    """With those that are."""
    before = keys.read_bytes()
    refused = _rotate(cli, *args)
    assert (refused.exit_code, "no key k9; it has: k1" in refused.stderr) == (4, True)
    assert keys.read_bytes() == before


@pytest.mark.parametrize(
    "args",
    [
        ("rotate", "--activate", "k1", "--forget", "k1"),
        ("rotate", "--re-encrypt", "--forget", "k1"),
        ("generate-key", "--add", "--save"),
        ("generate-key", "--add", "--kid", "k1"),
        ("generate-key", "--add", "--kid", "too-long"),
    ],
)
def test_what_cannot_be_meant(cli: Cli, keys: Path, args: tuple[str, ...]) -> None:
    """Two steps at once, an id that is taken: exit 2, and the keys stay."""
    before = keys.read_bytes()
    assert cli.call("secrets", *args).exit_code == 2
    assert keys.read_bytes() == before


def test_a_keys_file_that_cannot_be_written_is_said_to_be(cli: Cli, keys: Path) -> None:
    """Whoever deploys it changes it; nothing is left beside it."""
    folder = cli.home / "sealed"
    folder.mkdir()
    (folder / "keys").write_text(keys.read_text())
    (folder / "keys").chmod(0o600)
    folder.chmod(0o500)
    try:
        done = cli.call("secrets", "generate-key", "--add", env={FILE: str(folder / "keys" / "below")})
        assert (done.exit_code, "nothing was changed" in done.stderr) == (2, True), done
        assert [each.name for each in folder.iterdir()] == ["keys"]
    finally:
        folder.chmod(0o700)


def test_the_audit_trail_is_verified_without_the_key_that_is_gone(cli: Cli, keys: Path) -> None:
    """Rows that were written under the old key are as good as before, and one that is changed is still found."""
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    cli.call("secrets", "generate-key", "--add").ok()
    for step in (("--activate", "k2"), ("--re-encrypt",), ("--forget", "k1", "--yes")):
        _rotate(cli, *step).ok()
    assert _ids(keys) == ["k2"]
    told = cli.call("audit", "verify")
    assert told.exit_code == 0, told
    assert "unknown" not in told.stderr and "key" not in told.stderr, told


def test_status_says_once_what_several_lack(cli: Cli, keys: Path) -> None:
    """Two providers whose key is not here are one problem."""
    keys.write_text(format_key("k7", bytes(range(64))) + "\n")
    problems = cli.call("status", "-o", "json").ok().json()["problems"]
    (found,) = [each["message"] for each in problems if each["code"] == "credentials"]
    assert found.startswith("sendgrid, twilio: ") and "'k1'" in found, found


def test_keys_that_are_there_are_not_written_over(cli: Cli, keys: Path) -> None:
    """And the way to another one is told."""
    before = keys.read_bytes()
    refused = cli.call("secrets", "generate-key", "--save")
    assert (refused.exit_code, "--add" in refused.stderr, keys.read_bytes()) == (5, True, before)


def test_the_id_of_a_key_is_used_again(cli: Cli, keys: Path) -> None:
    """What the first key of that id wrote and sealed is verified as before, and the second one is kept as well."""

    def written(name: str) -> None:
        cli.call("users", "create", name, "--email", f"{name}@example.org").ok()
        cli.call("audit", "seal").ok()

    cli.call("secrets", "generate-key", "--add").ok()
    _rotate(cli, "--activate", "k2").ok()
    written("anna")
    for step in (("--activate", "k1"), ("--re-encrypt",), ("--forget", "k2", "--yes")):
        _rotate(cli, *step).ok()
    cli.call("secrets", "generate-key", "--add").ok()
    assert _ids(keys) == ["k1", "k2"]
    assert cli.call("audit", "verify").exit_code == 0
    _rotate(cli, "--activate", "k2").ok()
    written("omar")
    for step in (("--re-encrypt",), ("--activate", "k1"), ("--re-encrypt",), ("--forget", "k2", "--yes")):
        _rotate(cli, *step).ok()
    told = cli.call("audit", "verify")
    assert told.exit_code == 0, told


@pytest.mark.parametrize("id_", ["k1", "k7"])
def test_a_trail_is_not_called_forged_for_want_of_a_key(cli: Cli, keys: Path, id_: str) -> None:
    """The keys of somewhere else, of whatever id, say nothing about it: exit 4, and which is lacking."""
    cli.call("audit", "seal").ok()
    keys.write_text(format_key(id_, bytes(range(64))) + "\n")
    told = cli.call("audit", "verify")
    assert (told.exit_code, "encryption key k1 " in told.stderr) == (4, True), told


def test_a_lost_key_whose_id_another_one_has_is_lost_all_the_same(cli: Cli, keys: Path) -> None:
    """Status does not take the id for the key: exit 4, and the rows that do not open."""
    rows = {each["id"] for each in cli.call("providers", "list", "-o", "json").ok().json()}
    keys.write_text(format_key("k1", bytes(range(64))) + "\n")
    told = cli.call("secrets", "status")
    assert told.exit_code == 4 and all(row in told.stderr for row in rows), told
    assert "k1\tmissing\t3" in told.stdout and "k1\tseals\t0" in told.stdout and "k1 (3 values)" in told.stderr, told
