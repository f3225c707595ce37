"""`providers` on the command line, on both databases."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import select, update

from notifyctl.cli.output import iso
from notifyctl.core.health import Cause
from notifyctl.core.sealing import parse_keys
from notifyctl.providers.unseal import open_credentials
from notifyctl.services import credentials
from notifyctl.store import providers as store
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, provider_configs, provider_states
from tests.support import seed
from tests.support.command import Cli, Result
from tests.support.scripted import service_account
from tests.support.terminal import on_terminal
from tests.support.world import KEYS

ACCOUNT = service_account("http://127.0.0.1:1") | {"private_key_id": "canary-key-id"}
PEM = ACCOUNT["private_key"]
SID = f"AC{'0' * 31}1"


@pytest.fixture(autouse=True)
def keys(cli: Cli) -> None:
    """An encryption key in the environment."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS


@pytest.fixture
def key_file(cli: Cli) -> Path:
    """A service account's key file."""
    path = cli.home / "account.json"
    path.write_text(json.dumps(ACCOUNT))
    return path


def _providers(cli: Cli, *args: str, input: str | None = None) -> Result:
    return cli.call("providers", *args, input=input)


def _sendgrid(cli: Cli, *args: str, key: str = "SG.canary-api-key") -> Result:
    args = ("providers", "add", "sendgrid", "--api-key", "-", "--set", "from=alerts@example.org", *args)
    return cli.call(*args, input=f"{key}\n")


def _opened(database: Database, name: str) -> Any:
    with database.read() as tx:
        config = store.get(tx, name)
    assert config is not None
    return open_credentials(config, parse_keys(KEYS, "test"), {})


def test_each_of_the_three(cli: Cli, database: Database, key_file: Path) -> None:
    """Credentials from stdin and from a file, opened again as they were given; stored only sealed."""
    _sendgrid(cli, "--rate-limit", "600", "--timeout", "7", "--priority", "3").ok()
    secrets = f"{SID}\ncanary-token\n"
    both = ("--api-key", "-", "--api-secret", "-", "--set", "from=+15005550006")
    _providers(cli, "add", "twilio", *both, input=secrets).ok()
    _providers(cli, "add", "fcm", "--credentials", str(key_file)).ok()

    assert _opened(database, "sendgrid").api_key == "SG.canary-api-key"
    twilio = _opened(database, "twilio")
    assert (twilio.api_key, twilio.api_secret, dict(twilio.config)) == (SID, "canary-token", {"from": "+15005550006"})
    fcm = _opened(database, "fcm")
    assert (fcm.api_key, fcm.service_account, dict(fcm.config)) == ("canary-key-id", ACCOUNT, {})
    with database.read() as tx:
        stored = str(tx.execute(select(provider_configs)).all()) + str(tx.execute(select(audit_logs)).all())
    assert "canary" not in stored and PEM[40:80] not in stored

    rows = _providers(cli, "list", "-o", "json").ok().json()
    assert [(row["provider_name"], row["channel"]) for row in rows] == [
        ("fcm", "push"),
        ("twilio", "sms"),
        ("sendgrid", "email"),
    ]
    assert (rows[2]["rate_limit"], rows[2]["timeout_seconds"], rows[2]["priority"]) == (600, 7, 3)


@pytest.mark.parametrize("form", ["table", "plain", "json", "csv", "markdown"])
def test_secrets_are_never_shown(cli: Cli, key_file: Path, form: str) -> None:
    """Neither at creation nor later, neither in plain nor sealed; only that they are set."""
    added = _providers(cli, "add", "fcm", "--credentials", str(key_file), "-o", form).ok()
    seen = added.stdout + "".join(
        _providers(cli, *args, "-o", form).ok().stdout
        for args in (("list",), ("show", "fcm"), ("update", "fcm", "--priority", "4"), ("delete", "fcm", "--yes"))
    )
    assert "canary" not in seen and PEM[40:80] not in seen
    assert "v1.k1." not in seen


def test_what_an_adapter_refuses_is_not_stored(cli: Cli, key_file: Path) -> None:
    """Unknown names, missing settings, keys in arguments, files that are none: exit 2 and no row."""
    unknown = _providers(cli, "add", "pigeon", "--api-key", "-", input="x")
    assert (unknown.exit_code, "installed are: fcm, sendgrid, smtp, twilio" in unknown.stderr) == (2, True)
    missing = _providers(cli, "add", "sendgrid", "--api-key", "-", input="SG.canary")
    assert (missing.exit_code, 'the sender "from" is missing' in missing.stderr) == (2, True)
    for args in (
        ("sendgrid", "--set", "from=a@example.org"),
        ("sendgrid", "--api-key", "SG.canary", "--set", "from=a@example.org"),
        ("sendgrid", "--api-key", "@/nowhere", "--set", "from=a@example.org"),
        ("sendgrid", "--api-key", "-", "--credentials", str(key_file)),
        ("sendgrid", "--api-key", "-", "--set", "api_key=canary"),
        ("sendgrid", "--api-key", "-", "--set", "nothing"),
        ("sendgrid", "--api-key", "-", "--set", "from=a@example.org", "--timeout", "301"),
        ("sendgrid", "--api-key", "-", "--set", "from=a@example.org", "--rate-limit", "99999999999"),
        ("fcm",),
        ("fcm", "--credentials", "/nowhere"),
        ("fcm", "--credentials", __file__),
    ):
        refused = _providers(cli, "add", *args, input="SG.key\n")
        assert (args, refused.exit_code) == (args, 2)
        assert "canary" not in refused.stderr
    assert _providers(cli, "list", "-o", "json").ok().json() == []


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_key_file_that_is_nested_without_end(cli: Cli, key_file: Path) -> None:
    """What no parser follows is no key file, not a defect."""
    key_file.write_text("[" * 100_000)
    refused = _providers(cli, "add", "fcm", "--credentials", str(key_file))
    assert refused.exit_code == 2 and "is no key file of a service account" in refused.stderr


_ELLIPTIC = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize(
    ("key", "hint"),
    [
        (PEM.replace("\n", "\\n"), r"its line breaks became \n in letters"),
        (PEM[:300], "it is cut, changed"),
        (PEM.replace("-----", ""), "it is cut, changed"),
        (PEM[:100] + "A" * 40 + PEM[140:], "it is cut, changed"),
        (_ELLIPTIC, "it is cut, changed, encrypted or of another kind"),
    ],
)
def test_a_service_account_whose_key_does_not_parse(cli: Cli, key_file: Path, key: str, hint: str) -> None:
    """It is refused when it is entered, with what probably happened to it, and nothing of it is shown or stored."""
    key_file.write_text(json.dumps(ACCOUNT | {"private_key": key}))
    refused = _providers(cli, "add", "fcm", "--credentials", str(key_file))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"{key_file}: the private_key is no RSA key in PEM" in refused.stderr and hint in refused.stderr
    assert not [line for line in key.replace("\\n", "\n").split() if len(line) > 20 and line in refused.stderr]
    assert _providers(cli, "show", "fcm").exit_code == 3
    key_file.write_text("\ufeff" + json.dumps(ACCOUNT))
    _providers(cli, "add", "fcm", "--credentials", str(key_file)).ok()
    key_file.write_text(json.dumps(ACCOUNT | {"private_key": key}))
    assert _providers(cli, "update", "fcm", "--credentials", str(key_file)).exit_code == 2


def test_what_is_no_setting(cli: Cli, database: Database) -> None:
    """A mistyped name is refused with the one that was meant and all there are; `--help` says what they are for."""
    for verb in (_sendgrid, lambda cli, *args: _providers(cli, "update", "sendgrid", *args)):
        refused = verb(cli, "--set", "frm=a@example.org", "--set", "recipts=poll")
        assert refused.exit_code == 2
        assert "no setting is called 'frm', perhaps from; no setting is called 'recipts', perhaps receipts" in (
            refused.stderr
        )
        assert "hint: sendgrid has: from, reply_to, sandbox_mode, receipts," in refused.stderr
        if verb is _sendgrid:
            assert _providers(cli, "list", "-o", "json").ok().json() == []
            _sendgrid(cli).ok()
    for verb in ("add", "update"):
        text = _providers(cli, verb, "--help").ok().stdout
        assert all(f"Settings of {name}" in text for name in ("fcm", "sendgrid", "smtp", "twilio"))
        assert "messaging_service_sid  MG" in text


def test_an_unknown_setting_that_is_stored_can_be_removed(cli: Cli, database: Database) -> None:
    """What came into the database in another way does not keep a provider from being changed."""
    _sendgrid(cli).ok()
    stored = provider_configs.update().values(config_json='{"from": "a@example.org", "frm": "x"}')
    database.write(lambda tx: tx.execute(stored))
    assert _providers(cli, "update", "sendgrid", "--priority", "4", "--set", "reply_to=r@example.org").exit_code == 0
    changed = _providers(cli, "update", "sendgrid", "--set", "frm=", "-o", "json").ok().json()
    assert changed["config"] == {"from": "a@example.org", "reply_to": "r@example.org"}


@pytest.mark.parametrize("value", ["True", "yes", "1", "on"])
def test_sandbox_mode_is_true_or_false(cli: Cli, value: str) -> None:
    """Where somebody wants no mail to go out, none does for want of the right word."""
    refused = _sendgrid(cli, "--set", f"sandbox_mode={value}")
    assert (refused.exit_code, "sandbox_mode must be true or false" in refused.stderr) == (2, True)
    assert _providers(cli, "list", "-o", "json").ok().json() == []


def test_secrets_that_everybody_can_read(cli: Cli) -> None:
    """One line warns where they would go over a network unencrypted; to this machine itself they may."""
    warned = _sendgrid(cli, "--set", "base_url=http://proxy.example.org/mail").ok()
    line = "warning: sendgrid: the credentials go to proxy.example.org unencrypted; an https address prevents that\n"
    assert warned.stderr == line
    assert _providers(cli, "update", "sendgrid", "--priority", "1").ok().stderr == line
    for base in ("https://proxy.example.org", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", ""):
        to = ("--set", f"base_url={base}", "--api-key", "-")
        assert _providers(cli, "update", "sendgrid", *to, input="SG.again").ok().stderr == ""
    cli.env["NOTIFYCTL_SENDGRID_URL"] = "http://proxy.example.org/mail"
    assert _providers(cli, "update", "sendgrid", "--priority", "2").ok().stderr == line

    # What came into the database in another way may be no address at all.
    assert credentials.exposed("sendgrid", {"base_url": "http://[::1"}, {}, secrets=True) is None

    plain = ("--set", "host=192.0.2.1", "--set", "from=a@example.org", "--set", "security=none")
    assert _providers(cli, "add", "smtp", *plain).ok().stderr == ""
    told = _providers(cli, "update", "smtp", "--api-key", "-", input="anna\n").ok().stderr
    assert told.startswith("warning: smtp: the credentials go to 192.0.2.1 unencrypted; --set security=starttls")


def test_a_key_that_does_not_fit_is_refused(cli: Cli) -> None:
    """167 bytes are what the column holds once sealed, with the longest key id; more is exit 2."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS.replace("k1:", "kidkid:")
    refused = _sendgrid(cli, key="x" * 168)
    assert refused.exit_code == 2
    assert "at most 167 fit" in refused.stderr
    _sendgrid(cli, key="x" * 167).ok()


def test_without_an_encryption_key_nothing_is_stored(cli: Cli) -> None:
    """Exit 4 and the command that makes one."""
    del cli.env["NOTIFYCTL_ENCRYPTION_KEYS"]
    refused = _sendgrid(cli)
    assert refused.exit_code == 4
    assert refused.stderr.endswith("hint: notifyctl secrets generate-key --save\n")
    assert _providers(cli, "list", "-o", "json").ok().json() == []


def test_if_not_exists(cli: Cli) -> None:
    """The same credentials and settings change nothing; other ones are a conflict."""
    first = _sendgrid(cli, "--priority", "2", "-o", "json").ok().json()
    again = _sendgrid(cli, "--if-not-exists", "-o", "json").ok().json()
    assert again == {**first, "created": False}
    assert _sendgrid(cli).exit_code == 5
    assert _sendgrid(cli, "--if-not-exists", key="SG.other").exit_code == 5
    assert _sendgrid(cli, "--if-not-exists", "--set", "reply_to=r@example.org").exit_code == 5
    assert _sendgrid(cli, "--if-not-exists", "--priority", "3").exit_code == 5


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"paused_at": 1_000, "pause_cause": "throttled", "pause_reason": "429", "probe_at": 9}, "a throttle (429)"),
        ({"paused_at": 1_000, "pause_cause": "breaker", "pause_reason": "65 of 65"}, "an open breaker (65 of 65)"),
        ({"paused_at": 1_000, "pause_cause": "operator", "pause_reason": "quiet"}, "a pause (quiet)"),
        ({"ceiling": 4, "probes": 3}, "a limit of 4 in flight after a throttle"),
        ({"held_senders": '{"+1": [1, 2, false]}'}, "what is known of senders whose queue was full: 1"),
        ({"window_started_at": 1_000, "window_failures": 7, "window_attempts": 9}, "failures that the breaker had"),
    ],
    ids=["throttle", "breaker", "pause", "ceiling", "senders", "failures"],
)
def test_what_resume_clears_is_said_and_audited(cli: Cli, database: Database, state: dict[str, Any], said: str) -> None:
    """Also where no pause is in force: what was counted, and how carefully it is asked, is gone as well."""
    id_ = seed.provider(database, "sendgrid")
    c = provider_states.c
    database.write(lambda tx: tx.execute(update(provider_states).where(c.provider_id == id_).values(state)))
    done = _providers(cli, "resume", "sendgrid", "-o", "json").ok()
    assert done.json()["state"] == "active"
    assert f"sendgrid: cleared {said}" in done.stderr
    with database.read() as tx:
        (row,) = tx.execute(select(audit_logs).where(audit_logs.c.action == "resume")).all()
    assert (row.resource_type, row.resource_id, said in json.loads(row.changes)["cleared"][0]) == (
        "provider",
        id_,
        True,
    )
    assert _providers(cli, "resume", "sendgrid").ok().stderr == "sendgrid was not paused\n"
    with database.read() as tx:
        assert len(tx.execute(select(audit_logs)).all()) == 1


def test_what_slows_a_provider_is_shown(cli: Cli, database: Database) -> None:
    """Until when it is throttled, how few calls are in flight after that, and which senders wait until when."""
    _sendgrid(cli).ok()
    with database.read() as tx:
        until = tx.now + 3 * 86_400_000
    of_throttle = {"paused_at": 1_000, "pause_cause": "throttled", "pause_reason": "429", "probe_at": until}
    seed.health(database, "sendgrid", **of_throttle)
    day = iso(until)[:16].replace("T", " ")
    [found] = _providers(cli, "list", "-o", "json").ok().json()
    assert (found["state"], found["throttled_until"], found["held_senders"]) == ("throttled", iso(until), {})
    shown = on_terminal(cli, "providers", "list", "--utc", "--fields", "provider_name,pause_reason").stdout
    assert f"until {day}: 429" in shown
    shown = on_terminal(cli, "providers", "list").stdout
    assert max(map(len, re.sub("\x1b\\[[0-9;]*m", "", shown).splitlines())) <= 80
    assert f"throttled_until  {day}" in on_terminal(cli, "providers", "show", "sendgrid", "--utc").stdout
    _providers(cli, "resume", "sendgrid").ok()
    seed.health(database, "sendgrid", ceiling=4, held_senders=json.dumps({"+1": [until, 1, False]}))
    [found] = _providers(cli, "list", "-o", "json").ok().json()
    assert (found["state"], found["throttled_until"], found["ceiling"]) == ("active", None, 4)
    assert found["held_senders"] == {"+1": iso(until)}
    assert "4 at once, 1 sender held" in on_terminal(cli, "providers", "list", columns=120).stdout
    shown = on_terminal(cli, "providers", "show", "sendgrid", "--utc").stdout
    assert re.search(r"^ceiling +4$", shown, re.MULTILINE)
    assert f"held_senders     +1 until {day}" in shown
    for form in ("plain", "csv", "yaml", "ndjson", "markdown"):
        assert iso(until) in _providers(cli, "list", "-o", form, "--fields", "held_senders").ok().stdout


def test_stored_credentials_do_not_go_to_another_address(cli: Cli, database: Database) -> None:
    """Whoever repoints a provider gives its credentials again: else a user of a key would read them elsewhere."""
    _sendgrid(cli, "--set", "base_url=https://mail.example.org").ok()
    login = ("--api-key", "-", "--api-secret", "-", "--set", "from=a@example.org")
    _providers(cli, "add", "smtp", "--set", "host=mail.example.org", *login, input="anna\nsecret\n").ok()
    _providers(cli, "add", "twilio", *login[:4], "--set", "from=+15005550006", input="AC" + "0" * 32 + "\nx\n").ok()
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    key = cli.call("keys", "create", "anna", "--name", "ci", "-o", "secret").ok().stdout.strip()
    before = _providers(cli, "list", "-o", "json").ok().json()
    for name, setting in (
        ("sendgrid", "base_url=http://127.0.0.1:9"),
        ("sendgrid", "base_url=https://mail.example.org.evil.example"),
        ("sendgrid", "base_url="),
        ("twilio", "base_url=https://evil.example"),
        ("smtp", "host=evil.example"),
        ("smtp", "port=2525"),
        ("smtp", "security=none"),
    ):
        words = ("update", name, "--set", setting)
        for more in ((), ("--test",)):
            refused = _providers(cli, *words, *more)
            assert (refused.exit_code, "--keep-credentials" in refused.stderr) == (2, True), (words, more)
        assert cli.call("providers", *words, "--keep-credentials", env={"NOTIFYCTL_API_KEY": key}).exit_code == 4
    half = ("update", "twilio", "--set", "base_url=https://evil.example", "--api-key", "-")
    assert _providers(cli, *half, input="AC" + "1" * 32).exit_code == 2  # the other secret would go there
    assert _providers(cli, "list", "-o", "json").ok().json() == before
    _providers(cli, "update", "sendgrid", "--set", "base_url=https://mail.example.org/").ok()
    _providers(cli, "update", "smtp", "--set", "host=b.example.org", "--keep-credentials").ok()
    given = ("--set", "base_url=https://b.example.org", "--api-key", "-")
    _providers(cli, "update", "sendgrid", *given, input="SG.again").ok()


def test_update(cli: Cli, database: Database) -> None:
    """What is given changes, the rest stays; an empty setting goes, and so does a limit of 0."""
    _sendgrid(cli, "--rate-limit", "600").ok()
    args = ("--set", "reply_to=r@example.org", "--set", "sandbox_mode=true", "--priority", "9", "-o", "json")
    changed = _providers(cli, "update", "sendgrid", *args).ok().json()
    assert changed["config"] == {"from": "alerts@example.org", "reply_to": "r@example.org", "sandbox_mode": True}
    assert (changed["priority"], changed["rate_limit"]) == (9, 600)
    changed = _providers(cli, "update", "sendgrid", "--set", "reply_to=", "--rate-limit", "0", "-o", "json").ok().json()
    assert changed["config"] == {"from": "alerts@example.org", "sandbox_mode": True}
    assert changed["rate_limit"] is None
    assert _providers(cli, "update", "sendgrid", "--set", "from=").exit_code == 2
    assert _providers(cli, "update", "sendgrid").exit_code == 2
    assert _providers(cli, "update", "twilio", "--priority", "1").exit_code == 3
    _providers(cli, "update", "sendgrid", "--api-key", "-", input="SG.canary-second").ok()
    assert _opened(database, "sendgrid").api_key == "SG.canary-second"


def test_a_lost_encryption_key_can_be_got_over(cli: Cli, database: Database) -> None:
    """A credential that does not open can be entered again; settings beside it can still be changed."""
    _sendgrid(cli).ok()
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS.replace("k1:", "k2:")
    assert _providers(cli, "update", "sendgrid", "--set", "reply_to=r@example.org").exit_code == 4
    _providers(cli, "update", "sendgrid", "--priority", "1").ok()
    _providers(cli, "update", "sendgrid", "--api-key", "-", input="SG.new").ok()
    with database.read() as tx:
        assert tx.execute(select(provider_configs.c.api_key)).scalar_one().startswith("v1.k2.")


@pytest.mark.parametrize(
    ("cause", "args", "state", "actions"),
    [
        (Cause.CONFIG, ("--api-key", "-"), "active", ["resume", "update"]),
        (Cause.CONFIG, ("--set", "from=b@example.org"), "active", ["resume", "update"]),
        (Cause.BREAKER, ("--api-key", "-"), "active", ["close", "update"]),
        (Cause.CONFIG, ("--priority", "7"), "paused", ["update"]),
        (Cause.OPERATOR, ("--api-key", "-"), "paused", ["update"]),
    ],
)
def test_new_credentials_or_settings_are_tried_at_once(
    cli: Cli, database: Database, cause: Cause, args: tuple[str, ...], state: str, actions: list[str]
) -> None:
    """They end the pause that the old ones caused, but never a person's own; the timeline says so."""
    _sendgrid(cli).ok()
    database.write(lambda tx: store.pause(tx.at(1), "sendgrid", "401", cause=cause))
    updated = _providers(cli, "update", "sendgrid", *args, "-o", "json", input="SG.new").ok().json()
    assert updated["state"] == state
    shown = _providers(cli, "show", "sendgrid", "-o", "json").ok().json()
    assert sorted(entry["action"] for entry in shown["timeline"]) == sorted(["create", *actions])
    assert (shown["pause_cause"], shown["pause_reason"]) == (
        (cause.value, "401") if state == "paused" else (None, None)
    )


def test_what_was_submitted_for_a_provider_stays_with_it(cli: Cli, database: Database) -> None:
    """Whoever names the provider gets that one; else another one may take over, and a copy is as its original."""
    _sendgrid(cli).ok()
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    mail = ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b", "-o", "id")
    any_, pinned = (cli.call(*mail, *more).ok().stdout.strip() for more in ((), ("--provider", "sendgrid")))
    assert [seed.notification(database, id_).fails_over for id_ in (any_, pinned)] == [True, False]
    cli.call("notifications", "cancel", pinned).ok()
    (copy,) = cli.call("notifications", "resend", pinned, "-o", "json").ok().json()
    assert seed.notification(database, copy["new_id"]).fails_over is False


def test_the_timeline(cli: Cli) -> None:
    """What became of a provider: when, what, why and who, the newest first, and no more than ten."""
    _sendgrid(cli).ok()
    for number in range(10):
        _providers(cli, "pause", "sendgrid", "--reason", f"reason {number}").ok()
    timeline = _providers(cli, "show", "sendgrid", "-o", "json").ok().json()["timeline"]
    assert len(timeline) == 10
    assert {entry["action"] for entry in timeline} == {"pause"}
    assert all(entry["user_agent"] and entry["created_at"].endswith("Z") for entry in timeline)
    shown = _providers(cli, "show", "sendgrid", "-o", "table").ok().stdout
    assert f"  pause      reason 9  ({timeline[0]['actor']})" in shown and "@" in timeline[0]["actor"]


def test_pause_and_resume(cli: Cli) -> None:
    """A pause is told from being disabled, ends by itself or by resuming, and survives an update."""
    _sendgrid(cli).ok()
    paused = _providers(cli, "pause", "sendgrid", "--for", "30m", "--reason", "key revoked", "-o", "json").ok().json()
    assert (paused["state"], paused["is_active"], paused["pause_reason"]) == ("paused", True, "key revoked")
    assert paused["paused_until"] > paused["paused_at"]
    forever = _providers(cli, "pause", "sendgrid", "--reason", "again", "-o", "json").ok().json()
    assert (forever["paused_until"], forever["pause_reason"]) == (None, "again")

    updated = _providers(cli, "update", "sendgrid", "--priority", "1").ok()
    assert updated.stderr == "sendgrid stays paused (again): notifyctl providers resume sendgrid\n"
    resumed = _providers(cli, "update", "sendgrid", "--priority", "2", "--resume", "-o", "json").ok()
    assert (resumed.json()["state"], resumed.stderr) == ("active", "sendgrid: cleared a pause (again)\n")
    assert _providers(cli, "resume", "sendgrid").ok().stderr == "sendgrid was not paused\n"
    _providers(cli, "pause", "sendgrid", "--for", "1ms", "--reason", "short").ok()
    assert _providers(cli, "show", "sendgrid", "-o", "json").ok().json()["state"] == "active"
    for args in (("pause", "sendgrid"), ("pause", "sendgrid", "--reason", ""), ("pause", "twilio", "--reason", "x")):
        assert _providers(cli, *args).exit_code in (2, 3)


def test_disable_and_enable(cli: Cli, database: Database) -> None:
    """Switching twice changes nothing and leaves no second audit row."""
    _sendgrid(cli).ok()
    for verb, state in (("disable", "disabled"), ("disable", "disabled"), ("enable", "active"), ("enable", "active")):
        assert _providers(cli, verb, "sendgrid", "-o", "json").ok().json()["state"] == state
    with database.read() as tx:
        actions = tx.execute(select(audit_logs.c.action).order_by(audit_logs.c.created_at)).scalars().all()
    assert actions == ["create", "disable", "enable"]


def test_delete(cli: Cli, database: Database) -> None:
    """It asks, and refuses while something waits for the provider; its id names it as well."""
    added = _sendgrid(cli, "-o", "json").ok().json()
    assert _providers(cli, "delete", "sendgrid").exit_code == 2
    anna = seed.user(database)
    seed.pending(database, anna)
    refused = _providers(cli, "delete", "sendgrid", "--yes")
    assert refused.exit_code == 5
    assert "notifications cancel --provider sendgrid" in refused.stderr
    cli.call("users", "delete", "anna", "--cancel-pending", "--yes").ok()
    _providers(cli, "remove", added["id"][:8], "--yes").ok()
    assert _providers(cli, "show", "sendgrid").exit_code == 3
    for ref in ("ffffffff", "NOPE", "a\x00b", ""):
        assert _providers(cli, "show", ref).exit_code == 3
