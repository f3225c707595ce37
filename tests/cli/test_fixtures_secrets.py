"""Providers and API keys in fixtures, on both databases: what has secrets, which stand elsewhere."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from sqlalchemy import select

from notifyctl.core import apikey
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, provider_configs
from tests.cli.test_fixtures import apply, changes, counts
from tests.support.command import Cli

KEY = apikey.generate("ci", bytes(range(32))).secret
OTHER_KEY = apikey.generate("ci", bytes(range(1, 33))).secret

NAMED = "{env: SENDGRID_KEY}"
PROVIDERS = """\
providers:
  - name: sendgrid
    api_key: {env: SENDGRID_KEY}
    settings: {from: alerts@example.org, sandbox_mode: true}
    rate_limit: 600
  - name: twilio
    enabled: no
    api_key: {env: TWILIO_ACCOUNT}
    api_secret: {file: twilio-token}
    settings: {from: +14155552345}
    priority: -1
"""
KEYS = """\
users: [{username: anna, email: anna@example.org}]
api_keys:
  - {user: anna, name: ci, secret: {env: CI_KEY}, scopes: [send, no], expires_at: 2030-10-25T09:00:00+01:00}
  - {user: anna, name: app, secret: {file: secrets/app.key}}
"""


@pytest.fixture(autouse=True)
def secrets(cli: Cli) -> None:
    """Encryption keys, and the variables and the file that the fixtures name."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = f"k1:{base64.b64encode(bytes(64)).decode()}"
    cli.env |= {"SENDGRID_KEY": "SG.sesame", "TWILIO_ACCOUNT": "AC" + "0" * 32, "CI_KEY": KEY}
    (cli.home / "twilio-token").write_text("token-1\n")


def test_providers_are_made_with_secrets_from_elsewhere(cli: Cli, database: Database) -> None:
    """Sealed, switched as said; unchanged as long as the secrets are the same, and no secret is shown or kept open."""
    first = apply(cli, PROVIDERS, "-o", "json")
    assert changes(first) == [("providers", "sendgrid", "create"), ("providers", "twilio", "create")]
    assert first.json()[0]["fields"]["api_key"] == [None, {"env": "SENDGRID_KEY"}]
    shown = {each["provider_name"]: each for each in cli.call("providers", "list", "-o", "json").ok().json()}
    assert (shown["sendgrid"]["rate_limit"], shown["sendgrid"]["config"]["sandbox_mode"]) == (600, True)
    assert (shown["twilio"]["is_active"], shown["twilio"]["priority"]) == (False, -1)
    before = counts(database)
    assert changes(apply(cli, PROVIDERS, "-o", "json")) == []
    assert counts(database) == before
    with database.read() as tx:
        rows = f"{tx.execute(select(provider_configs)).all()} {tx.execute(select(audit_logs)).all()}"
    assert "sesame" not in rows + first.stdout + first.stderr
    assert "token-1" not in rows


def test_a_changed_secret_changes_just_that(cli: Cli) -> None:
    """It is told by its reference; a setting that is taken away is taken back."""
    apply(cli, PROVIDERS).ok()
    (cli.home / "twilio-token").write_text("token-2\n")
    [changed] = apply(cli, PROVIDERS, "-o", "json").ok().json()
    assert (changed["name"], changed["fields"]) == ("twilio", {"api_secret": ["set", {"file": "twilio-token"}]})
    less = PROVIDERS.replace(", sandbox_mode: true", "").replace("    rate_limit: 600\n", "")
    less = less.replace("enabled: no", "enabled: yes")
    done = apply(cli, less, "-o", "json").ok().json()
    assert [sorted(each["fields"]) for each in done] == [["rate_limit", "settings"], ["enabled"]]
    shown = {each["provider_name"]: each for each in cli.call("providers", "list", "-o", "json").ok().json()}
    assert shown["sendgrid"]["config"] == {"from": "alerts@example.org"}
    assert shown["twilio"]["is_active"] is True


def test_a_secret_that_is_not_there_to_be_compared_stays(cli: Cli) -> None:
    """Of what is stored, with a remark; of what is new it is an error with its line."""
    refused = apply(cli, PROVIDERS.replace("SENDGRID_KEY", "NOT_SET").replace("twilio-token", "none"))
    assert refused.exit_code == 2
    assert "-:3:5: providers[0].api_key: the environment variable NOT_SET is not set" in refused.stderr
    assert "-:9:5: providers[1].api_secret: there is no file none" in refused.stderr
    apply(cli, PROVIDERS).ok()
    del cli.env["SENDGRID_KEY"]
    done = apply(cli, PROVIDERS, "-o", "json")
    assert changes(done) == []
    assert "SENDGRID_KEY is not set: api_key of sendgrid stays as it is" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (NAMED, "SG.open-sesame", "providers[0].api_key: a secret does not stand in a fixture ({env: NAME}"),
        (NAMED, "{env: SG.open-sesame}", "providers[0].api_key.env: is no name of an environment variable"),
        (NAMED, "{env: A, file: b}", "must say env or file"),
        (NAMED, "{value: SG.open-sesame}", "must say env or file"),
        ("sandbox_mode: true", "api_secret: x", "settings are not encrypted"),
        ("sandbox_mode: true", "sandbox: x", "no setting is called 'sandbox'"),
        ("name: sendgrid", "name: sendgird", "no provider is called 'sendgird'"),
        ("from: alerts@example.org", "from: nobody", "providers[0]: sendgrid: "),
        ("rate_limit: 600", "rate_limit: 0", "providers[0].rate_limit"),
        ("rate_limit: 600", "timeout: 301", "providers[0].timeout"),
        ("{file: twilio-token}", "{file: .}", "Is a directory"),
    ],
)  # fmt: skip
def test_what_no_provider_can_be_is_refused(cli: Cli, old: str, new: str, said: str) -> None:
    """A secret that stands in the file is refused with the remedy, and not repeated; nothing is made."""
    refused = apply(cli, PROVIDERS.replace(old, new))
    assert (refused.exit_code, said in refused.stderr) == (2, True), refused.stderr
    assert "open-sesame" not in refused.stderr
    assert cli.call("providers", "list", "-o", "json").ok().json() == []


def test_keys_are_those_of_variables_and_files(cli: Cli, database: Database) -> None:
    """One from the environment, one made into a file that only its owner reads; the second run changes nothing."""
    done = apply(cli, KEYS, "-o", "json")
    assert changes(done)[1:] == [("api_keys", "anna ci", "create"), ("api_keys", "anna app", "create")]
    made = cli.home / "secrets" / "app.key"
    assert made.stat().st_mode & 0o777 == 0o600
    assert KEY not in done.stdout + done.stderr
    assert made.read_text().strip() not in done.stdout + done.stderr
    for secret in (KEY, made.read_text()):
        cli.call("keys", "verify", input=secret).ok()
    shown = {each["name"]: each for each in cli.call("keys", "list", "-o", "json").ok().json()}
    assert (shown["ci"]["scopes"], shown["ci"]["expires_at"]) == (["send", "no"], "2030-10-25T08:00:00.000Z")
    before = counts(database)
    assert changes(apply(cli, KEYS, "-o", "json")) == []
    assert counts(database) == before


def test_a_dry_run_makes_no_file(cli: Cli, database: Database) -> None:
    """Nor a row; it says what the real one does."""
    before = counts(database)
    dry = apply(cli, KEYS, "--dry-run", "-o", "json")
    assert len(changes(dry)) == 3
    assert not (cli.home / "secrets").exists()
    assert counts(database) == before


def test_a_refused_fixture_leaves_no_file_and_a_lost_one_is_taken_up(cli: Cli, database: Database) -> None:
    """A key file without a row, as a crash leaves it, is used by the next run: no key is lost, none is orphaned."""
    wrong = "providers: [{name: sendgrid, api_key: {env: SENDGRID_KEY}, settings: {from: x}}]"
    refused = apply(cli, KEYS + wrong)
    assert refused.exit_code == 2
    assert not (cli.home / "secrets" / "app.key").exists()
    (cli.home / "secrets").mkdir(exist_ok=True)
    (cli.home / "secrets" / "app.key").write_text(f"{OTHER_KEY}\n")
    apply(cli, KEYS).ok()
    cli.call("keys", "verify", input=OTHER_KEY).ok()


def test_another_secret_takes_the_place_of_a_key(cli: Cli) -> None:
    """The old one is revoked; other scopes and another end change it in place."""
    apply(cli, KEYS).ok()
    cli.env["CI_KEY"] = OTHER_KEY
    [changed] = apply(cli, KEYS, "-o", "json").ok().json()
    assert changed["fields"] == {"secret": ["set", {"env": "CI_KEY"}]}
    assert cli.call("keys", "verify", input=KEY).exit_code == 7
    cli.call("keys", "verify", input=OTHER_KEY).ok()
    [changed] = apply(cli, KEYS.replace(", no]", "]").replace("2030", "2031"), "-o", "json").ok().json()
    assert sorted(changed["fields"]) == ["expires_at", "scopes"]
    cli.call("keys", "verify", input=OTHER_KEY).ok()


def test_keys_that_cannot_be_are_refused(cli: Cli) -> None:
    """No key, a mistyped one, one that two have, and one that somebody has already: each is told, none is shown."""
    cli.env |= {"NO_KEY": "sesame", "TYPO": KEY[:-1] + ("a" if KEY[-1] != "a" else "b")}
    for name in ("NO_KEY", "TYPO"):
        refused = apply(cli, KEYS.replace("CI_KEY", name))
        assert (refused.exit_code, f"${name} holds no API key" in refused.stderr) == (2, True)
        assert "sesame" not in refused.stderr
    twice = apply(cli, KEYS.replace("{file: secrets/app.key}", "{env: CI_KEY}"))
    assert (twice.exit_code, "is the secret of the API key anna ci already" in twice.stderr) == (2, True)
    apply(cli, KEYS).ok()
    moved = apply(cli, KEYS.replace("name: ci", "name: other"))
    assert (moved.exit_code, "that key is there already: ci of anna, active" in moved.stderr) == (5, True)


def test_prune_revokes_keys_and_deletes_providers(cli: Cli) -> None:
    """What a label made."""
    apply(cli, KEYS + PROVIDERS, "--label", "ci").ok()
    less = "users: [{username: anna, email: anna@example.org}]"
    gone = changes(apply(cli, less, "--label", "ci", "--prune", "--yes", "-o", "json"))
    assert gone == [
        ("api_keys", "anna app", "revoke"), ("api_keys", "anna ci", "revoke"),
        ("providers", "sendgrid", "delete"), ("providers", "twilio", "delete"),
    ]  # fmt: skip
    assert cli.call("keys", "verify", input=KEY).exit_code == 7
    assert changes(apply(cli, less, "--label", "ci", "--prune", "--yes", "-o", "json")) == []


def test_a_dump_names_variables_for_secrets(cli: Cli, postgresql_url: str) -> None:
    """Each is listed on stderr; with them the dump makes another database hold the same."""
    account = {"private_key_id": "kid", "client_email": "a@example.org", "project_id": "p", "private_key": _rsa()}
    account["token_uri"] = "https://oauth2.example.org/token"
    cli.env["FCM"] = json.dumps(account)
    apply(cli, f"{PROVIDERS}  - {{name: fcm, credentials: {{env: FCM}}}}\n{KEYS}").ok()
    dumped = cli.call("fixtures", "dump")
    names = [line.split(":")[0] for line in dumped.stderr.splitlines()]
    assert names == [
        "NOTIFYCTL_FIXTURE_FCM_CREDENTIALS", "NOTIFYCTL_FIXTURE_SENDGRID_API_KEY", "NOTIFYCTL_FIXTURE_TWILIO_API_KEY",
        "NOTIFYCTL_FIXTURE_TWILIO_API_SECRET", "NOTIFYCTL_FIXTURE_KEY_ANNA_APP", "NOTIFYCTL_FIXTURE_KEY_ANNA_CI",
    ]  # fmt: skip
    assert all(f"env: {name}\n" in dumped.stdout for name in names)
    assert changes(apply(cli, dumped.stdout, "-o", "json")) == []
    values = [cli.env["FCM"], "SG.sesame", cli.env["TWILIO_ACCOUNT"], "token-1"]
    values += [(cli.home / "secrets" / "app.key").read_text(), KEY]
    other = Cli(home=Path(cli.home), database_url=postgresql_url)
    other.env["NOTIFYCTL_ENCRYPTION_KEYS"] = cli.env["NOTIFYCTL_ENCRYPTION_KEYS"]
    other.env |= dict(zip(names, values, strict=True))
    apply(other, dumped.stdout).ok()
    assert other.call("fixtures", "dump").ok().stdout == dumped.stdout


def _rsa() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65_537, 2_048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def test_what_cannot_be_written_is_told_all_at_once(cli: Cli, database: Database) -> None:
    """Templates that cannot be published and providers that are refused, each with its line; nothing is done."""
    before = counts(database)
    text = """\
users: [{username: anna, email: anna@example.org}]
templates:
- {name: one, channel: sms, by: anna, body: "{{ name"}
- {name: two, channel: sms, by: anna, body: "{% include 'none' %}"}
providers:
- {name: sendgrid, api_key: {env: SENDGRID_KEY}, settings: {from: nobody}}
notifications:
- {user: anna, key: a, channel: sms, template: one}
"""
    refused = apply(cli, text)
    places = [line.split(": ")[:2] for line in refused.stderr.splitlines()[:-1]]
    assert places == [["-:3:3", "templates[0]"], ["-:4:3", "templates[1]"], ["-:6:3", "providers[0]"]]
    assert counts(database) == before


def test_no_two_secrets_of_a_dump_have_one_variable(cli: Cli) -> None:
    """Names that come to the same letters are numbered, also beside one that ends in that number."""
    names = ["x", "x!", "x 2", "é", "ü"]
    keys = [f"- {{user: anna, name: {json.dumps(name)}, secret: {{file: k{n}}}}}" for n, name in enumerate(names)]
    apply(cli, "users: [{username: anna, email: anna@example.org}]\napi_keys:\n" + "\n".join(keys)).ok()
    told = [line.split(":")[0] for line in cli.call("fixtures", "dump").ok().stderr.splitlines()]
    assert len(set(told)) == len(names)
