"""Forty secrets, and every command there is: as it is meant, and with what can go wrong with each of them.

Whatever was printed, logged at DEBUG, stored, or could be read in the process list is searched for them in every
encoding.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import make_url

from notifyctl.core import apikey
from notifyctl.core.sealing import format_key
from notifyctl.store.db.database import Database
from tests.reliability.sizes import sizes
from tests.support import canaries, seed, wiretap
from tests.support.command import Cli
from tests.support.sandbox import Sandbox
from tests.support.tree import LEAVES, NOT_HERE, line
from tests.support.world import stop
from tests.test_secrets import NASTY, SENDER, Life

HERE = sorted(path for path in LEAVES if path not in NOT_HERE)
API_KEYS, WEBHOOKS = 12, 17
NOWHERE = {f"NOTIFYCTL_{name}_URL": "http://127.0.0.1:9" for name in ("SENDGRID", "TWILIO", "FCM")}
GIVEN = (
    ("providers", "add", "sendgrid", "--api-key", "-", *SENDER),
    ("providers", "update", "twilio", "--api-secret", "-"),
    ("providers", "update", "sendgrid", "--api-key", "-", "--set", "nonsense=1"),
    ("providers", "update", "fcm", "--credentials", "/dev/stdin"),
    ("keys", "verify"),
    ("keys", "revoke", "-"),
    ("prefs", "unsubscribe", "-"),
    ("webhooks", "create", "anna", "https://hooks.example.org/x", "--event", "sent", "--name", "mine", "--secret", "-"),
    ("webhooks", "verify", "--secret", "-"),
    ("webhooks", "create", "anna", "-", "--event", "sent", "--secret", "-"),
    ("receipts", "ingest", "-", "--provider", "twilio", "--auth-token", "-"),
    ("fixtures", "apply", "-f", "-"),
    ("send", "-f", "-"),
    ("users", "import", "-f", "-"),
)
"""Commands that take something on stdin, in which a secret stands where one is asked for, or by mistake."""


class Everything:
    """A life with every kind of secret in it, and one of everything that commands look for."""

    def __init__(self, life: Life, server: Sandbox, database: Database) -> None:
        self.life, self.birds, self.database = life, life.birds, database
        self.random = random.Random(4)
        self._keys_file(life.cli)
        self.anna = seed.user(database)
        self._providers(server)
        self.keys = [self._api_key(number) for number in range(API_KEYS)]
        self.ids = self._ids()
        for number in range(WEBHOOKS):
            self._webhook(number)
        self.unknown = self.birds.add("API key, unknown", apikey.generate("live", self.random.randbytes(32)).secret)
        self.password = self.birds.add("password of the database", f"pass-{NASTY}-word")
        self.other = self._encryption_key("another")

    def _encryption_key(self, name: str) -> str:
        key = format_key("k1", self.random.randbytes(64)).partition(":")[2]
        self.birds.add(f"encryption key, {name}, its bytes", base64.b64decode(key))
        return self.birds.add(f"encryption key, {name}", key)

    def _keys_file(self, cli: Cli) -> None:
        file = cli.home / "keys"
        file.write_text("".join(f"k{n}:{self._encryption_key(f'k{n}')}\n" for n in (1, 2, 3)))
        file.chmod(0o600)
        cli.env["NOTIFYCTL_ENCRYPTION_KEYS_FILE"] = str(file)

    def _providers(self, server: Sandbox) -> None:
        facts, base = server.facts, ("--set", f"base_url={server.url}")
        pem = json.loads(Path(facts["fcm"]["credentials"]).read_text())["private_key"]
        self.birds.add("FCM private key", pem.splitlines()[9])
        self.birds.add("FCM private key, whole", pem)
        sendgrid = self.birds.add("SendGrid key", facts["sendgrid"]["api_key"])
        token = self.birds.add("Twilio token", facts["twilio"]["api_secret"])
        password = self.birds.add("SMTP password", f"mail-{NASTY}-word")
        add, both = ("providers", "add"), ("--api-key", "-", "--api-secret", "-")
        self.life.do(*add, "sendgrid", "--api-key", "-", *base, *SENDER, input=sendgrid)
        twilio = f"{facts['twilio']['api_key']}\n{token}\n"
        self.life.do(*add, "twilio", *both, *base, "--set", "from=+15005550006", input=twilio)
        self.life.do(*add, "fcm", "--credentials", facts["fcm"]["credentials"], *base)
        self.life.do(*add, "smtp", *both, *SENDER, "--set", "host=mail.example.org", input=f"user\n{password}\n")

    def _api_key(self, number: int) -> str:
        made = self.life.do("keys", "create", "anna", "--name", f"key {number}", "-o", "secret", born=True)
        return self.birds.add(f"API key {number}", made.stdout.strip())

    def _webhook(self, number: int) -> None:
        raw = self.random.randbytes(24)
        secret = self.birds.add(f"webhook's secret {number}", base64.b64encode(raw).decode())
        self.birds.add(f"webhook's secret {number}, its bytes", raw)
        named = ("https://hooks.example.org/x", "--event", "sent", "--name", f"hook {number}")
        self.life.do("webhooks", "create", "anna", *named, "--secret", "-", input=f"whsec_{secret}\n")

    def _ids(self) -> dict[str, str]:
        waiting = seed.pending(self.database, self.anna, count=2)
        return {
            "notifications": waiting[0],
            "dlq": waiting[1],
            "keys": self.life.do("keys", "list", "-o", "json").json()[0]["id"],
            "providers": self.life.do("providers", "list", "-o", "json").json()[0]["id"],
        }

    def conditions(self, port: int) -> dict[str, Mapping[str, str]]:
        """Return environments in which something is wrong, and one in which nothing is."""
        url = make_url("postgresql://notify@127.0.0.1/notify").set(password=self.password, port=port)
        config = self.life.cli.home / "broken.toml"
        config.write_text(f'[profiles.x]\napi_key = "{self.keys[1]}"\nencryption_keys = ["k1:{self.other}"]\n')
        return {
            "as it is": {},
            "with a key": {"NOTIFYCTL_API_KEY": self.keys[0]},
            "with a key that is not known": {"NOTIFYCTL_API_KEY": self.unknown},
            "with a key that is mistyped": {"NOTIFYCTL_API_KEY": self.keys[2][:-1]},
            "without the database": {"NOTIFYCTL_DATABASE_URL": url.render_as_string(hide_password=False)},
            "with other encryption keys": {"NOTIFYCTL_ENCRYPTION_KEYS": f"k1:{self.other}"},
            "with a damaged encryption key": {"NOTIFYCTL_ENCRYPTION_KEYS": f"k1:{self.other}x"},
            "with settings that are none": {"NOTIFYCTL_CONFIG": str(config), "NOTIFYCTL_PROFILE": "x"},
        }


@pytest.fixture
def everything(cli: Cli, sandbox: Sandbox, database: Database) -> Everything:
    """The life, with at least forty secrets."""
    made = Everything(Life(cli), sandbox, database)
    assert len({name.partition(", its bytes")[0] for name in made.birds.secrets}) >= 40
    return made


@pytest.mark.slow
@sizes(1, 8)
def test_no_command_shows_a_secret(everything: Everything, size: int) -> None:
    """Each with `size` of what can go wrong, at DEBUG with tracebacks; then those that read a secret; then the dump."""
    life = everything.life
    with wiretap.refusing_passwords() as (port, _):
        conditions = everything.conditions(port)
        turns = itertools.cycle(conditions.values())
        for path in HERE:
            for env in itertools.islice(turns, size):
                life.do(*line(path, everything.ids), "--debug", env={**NOWHERE, **env}, input="", code=None)
        for args in GIVEN:
            given = f"{everything.keys[3]}\n{everything.keys[4]}\n"
            for env in itertools.islice(turns, size):
                life.do(*args, "--debug", env={**NOWHERE, **env}, input=given, code=None)
    places = {**life.said, **canaries.contents(everything.database)}
    assert everything.birds.leaks(places) == {}


@pytest.mark.slow
def test_no_process_has_a_secret_in_its_arguments(everything: Everything) -> None:
    """Neither a dispatcher nor those that it starts, nor what one that is asked for a secret is called with."""
    life = everything.life
    working = life.cli.start("dispatch", "--processes", "2", "--debug", "--poll", "100ms")
    waiting = life.cli.start("providers", "update", "twilio", "--api-secret", "-", stdin=-1)
    seen: dict[str, str] = {}
    try:
        while sum("notifyctl" in each for each in seen.values()) < 4 or "worker" not in str(seen):
            seen |= canaries.arguments(os.getpid())
    finally:
        _, out, err = stop(working)
        waiting.communicate(everything.keys[5])
    assert everything.birds.leaks({**seen, "stdout": out, "stderr": err}) == {}
