"""Secrets are shown once, at their creation, and are in the clear nowhere else, whatever goes wrong.

A whole life is lived at the loudest log level with secrets that are canaries: everything that was printed, stored,
logged and can be read in the process list is then searched for them in every encoding.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import func, insert, make_url, select

from notifyctl.core import apikey
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs
from tests.support import canaries, seed, wiretap
from tests.support.canaries import Canaries
from tests.support.command import Cli, Result
from tests.support.sandbox import Sandbox, SandboxCommand
from tests.support.world import stop

# Every character that an encoding changes and a header may hold.
NASTY = r'"\/+%&=<>?#~'
SENDER = ("--set", "from=alerts@example.com")


class Life:
    """Runs commands and keeps every word they say, but for what a command may say of a new secret.

    They log at DEBUG, as text and as JSON in turns.
    """

    def __init__(self, cli: Cli) -> None:
        self.cli = cli
        self.birds = Canaries()
        self.said: dict[str, str] = {}
        self._forms = itertools.cycle(("text", "json"))
        cli.env["NOTIFYCTL_LOG_LEVEL"] = "DEBUG"

    def do(
        self,
        *args: str,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        code: int | None = 0,
        born: bool = False,
    ) -> Result:
        """Run a command that has to end with `code` (None: with any); stdout of one that is `born` is not kept."""
        self.cli.env["NOTIFYCTL_LOG_FORMAT"] = next(self._forms)
        result = self.cli.call(*args, input=input, env=env)
        assert code is None or result.exit_code == code, result
        self.hear(" ".join(args), "" if born else result.stdout, result.stderr)
        return result

    def hear(self, what: str, out: str, err: str) -> None:
        """Keep what a command said."""
        number = len(self.said)
        self.said |= {f"{number} stdout of {what}": out, f"{number + 1} stderr of {what}": err}


@pytest.fixture
def life(cli: Cli) -> Life:
    """A life on each database."""
    return Life(cli)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox that takes its time, so that a dispatcher can be looked at while it works, and that itself can be."""
    folder = tmp_path / "server"
    folder.mkdir()
    running = SandboxCommand(Cli(home=folder, database_url=None), "--latency", "500ms")
    yield running
    running.stop()


@pytest.mark.slow
def test_no_secret_is_ever_seen(life: Life, server: Sandbox, database: Database, database_url: str) -> None:
    """The life of an operator: keys, people, providers, sending, and all that can go wrong with each of them."""
    _encryption_keys(life)
    _api_keys(life, database)
    _providers(life, server)
    _sending(life, server)
    _rejected(life, server)
    _mail_server(life, server)
    _wrong_keys(life)
    _no_database(life, database_url)
    for noun in ("config", "users", "keys", "providers", "notifications", "dlq"):
        life.do(noun, "show" if noun == "config" else "list", "-o", "json")
    life.do("config", "show", "--origin", "--debug", env={"NOTIFYCTL_API_KEY": _secret(life, "API key")})
    life.do("status")
    places = {**life.said, **canaries.contents(database), "the sandbox's log": server.log.read_text()}
    assert len(life.birds.secrets) >= 12
    assert life.birds.leaks(places) == {}
    with database.read() as tx:
        assert tx.execute(select(func.count()).select_from(audit_logs)).scalar_one() > 10


def _secret(life: Life, name: str) -> str:
    return life.birds.secrets[name].decode()


def _encryption_keys(life: Life) -> None:
    file = life.cli.home / "keys"
    life.do("secrets", "generate-key", "--secret-file", str(file))
    printed = life.do("secrets", "generate-key", "--kid", "k2", born=True).stdout
    for name, text in (("file", file.read_text()), ("printed", printed)):
        key = life.birds.add(f"encryption key, {name}", text.strip().partition(":")[2])
        life.birds.add(f"encryption key, {name}, its bytes", base64.b64decode(key))
    life.do("secrets", "generate-key", "--secret-file", str(file), code=5)
    life.cli.env["NOTIFYCTL_ENCRYPTION_KEYS_FILE"] = str(file)


def _api_keys(life: Life, database: Database) -> None:
    life.do("users", "create", "anna", "--email", "anna@example.org")
    made = life.do("keys", "create", "anna", "--name", "ci", "-o", "json", born=True).json()
    key = life.birds.add("API key", made["key"])
    life.birds.add("API key, its random part", made["key"].rpartition("_")[2])
    life.do("keys", "rotate", made["id"], "--overlap", "1h", "--secret-file", "rotated")
    rotated = life.birds.add("API key, rotated", (life.cli.home / "rotated").read_text().strip())
    unknown = life.birds.add("API key, unknown", apikey.generate("live", bytes(range(32))).secret)
    acting = {"NOTIFYCTL_API_KEY": key}
    life.do("users", "contacts", "add", "anna", "sms", "+14155552345", env=acting)
    life.do("users", "contacts", "add", "anna", "push", "device-anna", env=acting)
    life.do("keys", "list", "-o", "json")
    life.do("keys", "show", made["id"], "-o", "json")
    for each, code in ((rotated, 0), (unknown, 7), (f"{key}x", 7)):
        life.do("keys", "verify", "-o", "json", input=each, code=code)
    for each in (unknown, key[:-1]):
        life.do("users", "list", "--debug", env={"NOTIFYCTL_API_KEY": each}, code=4)
        life.do("keys", "revoke", "-", "-o", "json", input=each, code=3)
    # In the arguments, where it should never be: refused, and not repeated.
    life.do("keys", "show", key, code=2)
    life.said.popitem(), life.said.popitem()
    refused = life.cli.call("keys", "revoke", key, "--debug")
    life.hear("keys revoke KEY", refused.stdout, refused.stderr)
    life.do("keys", "revoke", "-", "-o", "json", input=rotated)
    life.do("users", "list", env={"NOTIFYCTL_API_KEY": rotated}, code=4)


def _providers(life: Life, server: Sandbox) -> None:
    facts, base = server.facts, ("--set", f"base_url={server.url}")
    sendgrid = life.birds.add("SendGrid key", facts["sendgrid"]["api_key"])
    account, token = facts["twilio"]["api_key"], life.birds.add("Twilio token", facts["twilio"]["api_secret"])
    pem = json.loads(Path(facts["fcm"]["credentials"]).read_text())["private_key"]
    life.birds.add("FCM private key", pem.splitlines()[9])
    life.birds.add("FCM private key, whole", pem)
    (life.cli.home / "sendgrid").write_text(sendgrid)
    life.do("providers", "add", "sendgrid", "--api-key", "@sendgrid", *base, *SENDER, "-o", "json")
    twilio = ("--api-key", "-", "--api-secret", "-", *base, "--set", "from=+15005550006")
    life.do("providers", "add", "twilio", *twilio, input=f"{account}\n{token}\n")
    life.do("providers", "add", "fcm", "--credentials", facts["fcm"]["credentials"], *base)
    for name in ("sendgrid", "twilio", "fcm"):
        shown = life.do("providers", "show", name, "-o", "json").json()
        assert shown["api_key"] == "set"
    life.do("providers", "add", "sendgrid", "--api-key", "@sendgrid", *SENDER, code=5)
    life.do("providers", "test", "--debug", "-o", "json")
    untested = life.birds.add("Twilio token, refused before it was stored", f"untested-{NASTY}")
    life.do("providers", "update", "twilio", "--api-secret", "-", "--test", "--debug", input=untested, code=7)
    # Secrets in places where they do not belong.
    broken = life.cli.home / "broken.json"
    broken.write_text(json.dumps({"private_key": pem})[:-1])
    life.do("providers", "update", "fcm", "--credentials", str(broken), "--debug", code=2)
    broken.write_text(json.dumps({"private_key_id": "x", "private_key": pem.replace("-----", "")}))
    life.do("providers", "update", "fcm", "--credentials", str(broken), "--debug", code=2)
    long = life.birds.add("a key that is too long", f"SG.{NASTY}" * 20)
    life.do("providers", "update", "sendgrid", "--api-key", "-", "--debug", input=long, code=2)
    misplaced = life.birds.add("a password in an address", "pass-word-in-an-address")
    address = f"http://me:{misplaced}@127.0.0.1:9"
    life.do("config", "show", "-o", "json", "--debug", env={"NOTIFYCTL_TWILIO_URL": address}, code=2)
    for setting in (f"base_url={address}", f"auth_token={misplaced}", f"Password={misplaced}"):
        refused = life.cli.call("providers", "update", "twilio", "--set", setting, "--debug")
        assert refused.exit_code == 2
        life.hear("providers update --set", refused.stdout, refused.stderr)
    refused = life.cli.call("providers", "update", "sendgrid", "--api-key", sendgrid, "--debug")
    assert refused.exit_code == 2
    life.hear("providers update KEY", refused.stdout, refused.stderr)


def _sending(life: Life, server: Sandbox) -> None:
    mail = ("send", "anna", "--channel", "email", "--subject", "Hello", "--body", "x")
    sms, push = (("send", "anna", "--channel", channel, "--body", "x") for channel in ("sms", "push"))
    for args in (mail, sms, (*push, "--subject", "x")):
        life.do(*args, "--dry-run", "-o", "json")
        life.do(*args, "--dry-run")
        life.do(*args)
    asked = len(server.requests())
    dispatcher = life.cli.start("dispatch", "--debug", "--poll", "100ms")
    _until(lambda: len(server.requests()) == asked + 3)
    seen = canaries.arguments(os.getpid())
    assert all(any(f"notifyctl {noun}" in line for line in seen.values()) for noun in ("dispatch", "sandbox"))
    life.said |= seen
    exit_code, out, err = stop(dispatcher)
    assert exit_code == 0
    life.hear("dispatch", out, err)
    assert [line["status"] for line in server.requests()[asked:]].count(200) == 1


def _rejected(life: Life, server: Sandbox) -> None:
    """Credentials that the provider refuses, an address where nobody is, a body that is not what it should be."""
    wrong = life.birds.add("SendGrid key, wrong", f"SG.wrong-{NASTY}-{NASTY}")
    life.do("providers", "update", "sendgrid", "--api-key", "-", "--debug", input=wrong)
    token = life.birds.add("Twilio token, wrong", f"wrong-{NASTY}-{NASTY}")
    life.do("providers", "update", "twilio", "--api-secret", "-", "--debug", input=token)
    mail = ("send", "anna", "--channel", "email", "--subject", "Hello", "--body", "x", "-o", "id")
    ids = [
        life.do(*args).stdout.strip()
        for args in (mail, ("send", "anna", "--channel", "sms", "--body", "x", "-o", "id"))
    ]
    for args in (mail[:-2], ("send", "anna", "--channel", "sms", "--body", "x")):
        life.do(*args, "--dry-run", "--debug")
    asked = len(server.requests())
    life.do("dispatch", "--once", "--debug", "-o", "json")
    assert {line["state"] for line in life.do("providers", "list", "-o", "json").json()} == {"paused", "active"}
    assert {line["status"] for line in server.requests()[asked:]} == {401}
    for name in ("sendgrid", "twilio"):
        life.do("providers", "resume", name)
    nowhere = {f"NOTIFYCTL_{name}_URL": "http://127.0.0.1:9" for name in ("SENDGRID", "TWILIO", "FCM")}
    life.do("send", "anna", "--channel", "push", "--subject", "x", "--body", "x")
    life.do("dispatch", "--once", "--debug", env=nowhere)
    for id_ in ids:
        life.do("notifications", "show", id_, "-o", "json")
    life.do("status", env=nowhere)


def _mail_server(life: Life, server: Sandbox) -> None:
    """A mail server's password: right, wrong, and looked at in a request."""
    facts = server.facts["smtp"]
    password = life.birds.add("SMTP password", facts["api_secret"])
    settings = [part for key in ("host", "port", "security") for part in ("--set", f"{key}={facts[key]}")]
    login = ("--api-key", "-", "--api-secret", "-")
    life.do("providers", "add", "smtp", *settings, *SENDER, *login, input=f"{facts['api_key']}\n{password}\n")
    mail = ("send", "anna", "--channel", "email", "--subject", "x", "--body", "x", "--provider", "smtp", "--debug")
    life.do(*mail, "--dry-run", "-o", "json")
    life.do(*mail)
    life.do("dispatch", "--once", "--debug")
    wrong = life.birds.add("SMTP password, wrong", f"wrong-{NASTY}-mail")
    life.do("providers", "update", "smtp", "--api-secret", "-", "--debug", input=wrong)
    life.do("providers", "test", "smtp", "--debug", code=7)
    life.do(*mail)
    life.do("dispatch", "--once", "--debug")
    assert [line["status"] for line in server.requests("smtp")] == [250]


def _wrong_keys(life: Life) -> None:
    """Encryption keys that are wrong, malformed, readable by others."""
    printed = _secret(life, "encryption key, printed")
    for text, code in ((f"k1:{printed}", 4), (f"k1:{printed}x", 2), (f"k1:{printed},k1:{printed}", 2), (printed, 2)):
        life.do("dispatch", "--once", "--debug", env={"NOTIFYCTL_ENCRYPTION_KEYS": text}, code=code)
    life.do("providers", "show", "sendgrid", env={"NOTIFYCTL_ENCRYPTION_KEYS": f"k1:{printed}"})
    open_to_all = life.cli.home / "open"
    open_to_all.write_text(f"k1:{printed}")
    open_to_all.chmod(0o644)
    life.do("dispatch", "--once", "--debug", env={"NOTIFYCTL_ENCRYPTION_KEYS_FILE": str(open_to_all)}, code=4)
    config = life.cli.home / "broken.toml"
    config.write_text(f'encryption_keys = "k1:{printed}\n')
    life.do("config", "show", "--config", str(config), "--debug", code=2)
    config.write_text(f'encryption_keys = ["k1:{printed}"]\n')
    life.do("config", "show", "--config", str(config), "--debug", code=2)


def _no_database(life: Life, database_url: str) -> None:
    """A password in the URL of a database that works, is down, refuses it, or is not understood."""
    password = life.birds.add("database password", f"pass-{NASTY}-word")
    with wiretap.refusing_passwords() as (port, heard):
        url = make_url("postgresql://notify@127.0.0.1/notify").set(password=password, port=port)
        written = url.render_as_string(hide_password=False)
        life.do("users", "list", "--debug", env={"NOTIFYCTL_DATABASE_URL": written}, code=10)
        assert password in heard
    in_query = url.set(password=None).update_query_dict({"password": password}).render_as_string(hide_password=False)
    malformed = written.replace(f":{port}", ":port")
    twice = written.replace("notify:", "notify:pass-word@")
    for each in (written, in_query, malformed, twice, f"{written}?frobnicate=1", f"{written}?connect_timeout=x"):
        env = {"NOTIFYCTL_DATABASE_URL": each}
        for args in (("users", "list"), ("migrate", "status"), ("dispatch", "--once")):
            assert life.do(*args, "--debug", env=env, code=None).exit_code in (2, 10)
        for verb in ("show", "path"):
            life.do("config", verb, "-o", "json", env=env)
    for each in (written, in_query, malformed, twice):
        refused = life.cli.call("users", "list", "--debug", "--database-url", each)
        assert refused.exit_code == 2
        life.hear("users list --database-url", refused.stdout, refused.stderr)
    if database_url.startswith("postgresql"):
        works = make_url(database_url)
        works = works if works.password else works.set(password=password)
        env = {"NOTIFYCTL_DATABASE_URL": works.render_as_string(hide_password=False)}
        life.birds.add("database password, in use", str(works.password))
        life.do("users", "list", "--debug", env=env)
        life.do("migrate", "status", "-o", "json", env=env)
        life.do("status", env=env)


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


# The search itself


@pytest.mark.parametrize("around", ["{}", "Basic {}=", 'x"{}"y', "/{}/"])
def test_the_search_finds_every_encoding(around: str) -> None:
    """A search that finds nothing proves nothing unless it can find."""
    secret = f"SG.{NASTY}é-canary"
    birds = Canaries()
    birds.add("bird", secret)
    for encoding, needle in canaries.encodings(secret.encode()).items():
        assert f"bird ({encoding})" in birds.found_in(around.format(needle)), encoding
    for user in ("", "a", "ab", "abc"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            assert birds.found_in(f"Authorization: Basic {encode(f'{user}:{secret}'.encode()).decode()}")
    assert birds.found_in("eyJ" + "a" * 20 + "." + "b" * 20 + "." + "c" * 20) == ["assertion"]
    assert birds.found_in("SG.sandbox and other words") == []


def test_the_search_finds_what_leaks(life: Life, database: Database) -> None:
    """The same search, where secrets are let out on purpose: on stdout, in a column, in the process list."""
    key = life.birds.add("new key", "not known yet")
    life.do("users", "create", "anna", "--email", "anna@example.org")
    key = life.birds.add("new key", life.do("keys", "create", "anna", "--name", "ci", "-o", "json").json()["key"])
    encoded = base64.b64encode(f"anna:{key}".encode()).decode()
    row = {"id": "1", "action": "x", "resource_type": "x", "changes": json.dumps({"key": encoded})}
    database.write(lambda tx: tx.execute(insert(audit_logs).values(row)))
    seed.pending(database, seed.user(database, "omar"), payload=json.dumps({"v": 1, "body": key}))
    with ExitStack() as stack:
        careless = life.cli.start("send", key, "--channel", "sms", "--body", "x", "--body-file", "-", stdin=-1)
        stack.callback(careless.communicate)
        stack.callback(careless.kill)
        _until(lambda: "send" in str(canaries.arguments(os.getpid())))
        places = {**life.said, **canaries.contents(database), **canaries.arguments(os.getpid())}
    leaks = life.birds.leaks(places)
    assert any("keys create" in place for place in leaks)
    assert {"audit_logs.changes", "notifications.payload", f"arguments of {careless.pid}"} <= set(leaks)
    assert not any(place.startswith(("users.", "api_keys.")) for place in leaks)
