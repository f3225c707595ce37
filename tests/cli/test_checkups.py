"""`providers test`: whether credentials work, found out over a real socket without sending anything."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from notifyctl.core.provider import SECRET_WIDTH
from notifyctl.core.sealing import Place, parse_keys
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import provider_configs
from tests.support import seed
from tests.support.command import Cli, Result
from tests.support.scripted import Answer, Asked, Peer, Scripted, reply, token
from tests.support.threefold import ACCOUNT, SECRETS, add_providers
from tests.support.world import KEYS

SCOPES = reply(200, {"scopes": ["mail.send", "sender_verification_eligible"]})
ACTIVE = reply(200, {"sid": ACCOUNT, "status": "active", "auth_token": "the-account's-own-token"})
VALIDATED = reply(200, {"name": "projects/shop/messages/fake_message_id"})
FINE: dict[str, Answer] = {"sendgrid": SCOPES, "twilio": ACTIVE, "fcm": VALIDATED, "token": token()}


def whose(asked: Asked) -> str:
    """Return which of the providers is asked."""
    if asked.path.startswith("/2010-04-01/"):
        return "twilio"
    return {"/token": "token", "/v3/scopes": "sendgrid", "/v1/projects/shop/messages:send": "fcm"}[asked.path]


class Providers:
    """The three, all well until told otherwise."""

    def __init__(self, server: Scripted, cli: Cli) -> None:
        self.server, self.cli = server, cli
        self.answers = dict(FINE)
        server.script = lambda asked: self.answers[whose(asked)]

    def test(self, *args: str, **answers: Answer) -> Result:
        """Run the command while some answer differently."""
        self.answers = FINE | answers
        return self.cli.call("providers", "test", *args)


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that is all three."""
    with Scripted(lambda _: b"") as running:
        yield running


@pytest.fixture
def providers(cli: Cli, server: Scripted) -> Providers:
    """The three providers, on both databases."""
    add_providers(cli, server.url, timeout=5)
    return Providers(server, cli)


@pytest.fixture
def on_sqlite(sqlite_url: str, tmp_path: Path, server: Scripted) -> Providers:
    """The three providers, on SQLite: what they answer has nothing to do with the database."""
    cli = Cli(tmp_path, sqlite_url)
    add_providers(cli, server.url, timeout=5)
    return Providers(server, cli)


def errors(message: str, field: str | None = None) -> dict[str, Any]:
    return {"errors": [{"message": message, "field": field}]}


def code(number: int, message: str = "what is wrong") -> dict[str, Any]:
    return {"code": number, "message": message, "status": 0}


def google(status: int, name: str, message: str = "what is wrong", *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": status, "status": name, "message": message, "details": list(details)}}


def info(reason: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}


def test_credentials_that_everybody_can_read(on_sqlite: Providers) -> None:
    """A check-up that is fine warns where the credentials go over a network unencrypted."""
    to = ("--set", "base_url=http://192.0.2.1:9", "--keep-credentials")
    plain = on_sqlite.cli.call("providers", "update", "sendgrid", *to).ok().stderr
    assert plain.startswith("warning: sendgrid: the credentials go to 192.0.2.1 unencrypted")
    on_sqlite.cli.env["NOTIFYCTL_SENDGRID_URL"] = on_sqlite.server.url
    assert on_sqlite.test("sendgrid").ok().stderr == ""
    on_sqlite.cli.env["NOTIFYCTL_SENDGRID_URL"] = "http://unknown.test"
    assert on_sqlite.test("sendgrid").stderr.startswith("warning: sendgrid: the credentials go to unknown.test ")


ADAPTER = """
from notifyctl.core.model import Channel

class Carrier:
    name, channel, default_url = "{name}", Channel.SMS, ""
    check = lambda self, credentials: []
    build = read = None.__class__
    {question}
"""
REFUSED = "the access token is refused"
SENDGRID = [
    (reply(200, {"scopes": ["mail.batch.read"]}), "refused", "give it the scope Mail Send"),
    (reply(401, errors("authorization required")), "refused", "the API key is refused"),
    (reply(403, errors("access forbidden")), "refused", "the API key may not send mail"),
    (reply(404, errors("not found")), "refused", "check base_url"),
    (reply(200, b"<html>Please log in</html>"), "refused", "check base_url"),
    (reply(429, errors("too many requests")), "unreachable", "HTTP 429"),
    (reply(503), "unreachable", "HTTP 503"),
    (reply(302, Location="http://127.0.0.1:9/"), "unreachable", "a redirect (HTTP 302), which is never followed"),
    (b"no HTTP at all\r\n\r\n", "unreachable", "no whole answer"),
]
TWILIO = [
    (reply(200, {"sid": ACCOUNT, "status": "suspended"}), "refused", "the account is suspended"),
    (reply(200, {"sid": ACCOUNT, "status": "closed"}), "refused", "the account is closed"),
    (reply(401, code(20003, "Authenticate")), "refused", "20003 the login is refused"),
    (reply(403, code(20008)), "refused", "20008 these are test credentials"),
    (reply(404, code(20404)), "refused", "20404 there is no such account"),
    (reply(403, code(20005)), "refused", "20005 the account is not active"),
    (reply(200, b"<html>"), "refused", "check base_url"),
    (reply(500, code(20500)), "unreachable", "HTTP 500"),
]
FCM = [
    (reply(401, google(401, "UNAUTHENTICATED")), "refused", REFUSED),
    (reply(403, google(403, "PERMISSION_DENIED")), "refused", "may not send for this project"),
    (reply(403, google(403, "PERMISSION_DENIED", "x", info("SERVICE_DISABLED"))), "refused", "API is switched off"),
    (reply(404, google(404, "NOT_FOUND")), "refused", "there is no such project"),
    (reply(200, b"<html>"), "refused", "check base_url"),
    (reply(503, google(503, "UNAVAILABLE")), "unreachable", "HTTP 503"),
]
TOKEN = [
    ({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, "make a new key file"),
    ({"error": "invalid_grant", "error_description": "Invalid grant: account not found"}, "no such service account"),
    ({"error": "invalid_grant", "error_description": "Token must be in a reasonable timeframe"}, "clock is wrong"),
]


def test_all_is_well(providers: Providers) -> None:
    """Each is asked what sends nothing, with its own credentials; one record each, exit 0."""
    rows = {row["provider_name"]: row for row in providers.test("-o", "json").ok().json()}
    assert set(rows) == {"sendgrid", "twilio", "fcm"}
    for row in rows.values():
        assert (row["ok"], row["result"], row["checked"]) == (True, "ok", "settings, credentials")
        assert (row["problem"], row["hint"]) == (None, None)
        assert row["duration_ms"] >= 0
    asked = {whose(each): each for each in providers.server.asked}
    assert asked["sendgrid"].headers["authorization"] == f"Bearer {SECRETS['sendgrid']}"
    assert (asked["twilio"].method, asked["twilio"].path) == ("GET", f"/2010-04-01/Accounts/{ACCOUNT}.json")
    assert json.loads(asked["fcm"].body)["validate_only"] is True
    assert [row["provider_name"] for row in providers.test("twilio", "-o", "json").ok().json()] == ["twilio"]


def test_what_each_answer_means(on_sqlite: Providers) -> None:
    """What is refused is said in words with what to do, apart from who was not reached."""
    tables = {"sendgrid": SENDGRID, "twilio": TWILIO, "fcm": FCM}
    for rows in zip_longest(*tables.values()):
        told = {name: row for name, row in zip(tables, rows, strict=True) if row is not None}
        done = on_sqlite.test(*told, "-o", "json", **{name: row[0] for name, row in told.items()})
        assert done.exit_code == 7
        for found in done.json():
            _, result, words = told[found["provider_name"]]
            assert (found["result"], found["ok"]) == (result, False), (found, words)
            assert words in found["problem"], (found, words)
            assert found["hint"]


def test_no_access_token(on_sqlite: Providers) -> None:
    """Why Google gives no token is said in words; a token endpoint in trouble is not taken for a refusal."""
    for body, words in TOKEN:
        done = on_sqlite.test("fcm", "-o", "json", token=reply(400, body))
        (found,) = done.json()
        assert (done.exit_code, found["result"]) == (7, "refused")
        assert words in found["problem"]
        assert found["hint"] == "notifyctl providers update fcm --credentials FILE"
    (found,) = on_sqlite.test("fcm", "-o", "json", token=reply(200, {})).json()
    assert found["result"] == "unreachable"


def test_an_api_key_asks_what_it_may(on_sqlite: Providers) -> None:
    """Twilio lets no API key of the usual kind see the account: it lists the messages of a day without any."""
    key = f"SK{'0' * 31}2"
    on_sqlite.cli.call(
        *("providers", "update", "twilio", "--api-key", "-", "--set", f"account_sid={ACCOUNT}"), input=key
    ).ok()
    on_sqlite.test("twilio", twilio=reply(200, {"messages": []})).ok()
    (asked,) = on_sqlite.server.asked
    assert asked.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json?PageSize=1&DateSent=2000-01-01"


def test_each_has_its_time_and_no_more(on_sqlite: Providers) -> None:
    """One that says nothing costs its own time limit, and the others nothing: all are asked at once."""
    for name in ("sendgrid", "fcm"):
        on_sqlite.cli.call("providers", "update", name, "--timeout", "4").ok()

    async def hang(peer: Peer) -> None:
        await peer.reader.read()

    began = time.monotonic()
    done = on_sqlite.test("-o", "json", sendgrid=hang, token=hang)
    rows = {row["provider_name"]: row for row in done.json()}
    assert time.monotonic() - began < 20  # one limit and a slow machine, not the default limit of 30 s
    for name in ("sendgrid", "fcm"):
        assert rows[name]["result"] == "unreachable"
        assert rows[name]["duration_ms"] >= 3_900
    assert re.search(r"within (4|3\.\d+) s$", rows["sendgrid"]["problem"])  # what is left of it when the call begins
    assert "no access token" in rows["fcm"]["problem"]
    assert rows["twilio"]["ok"]


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_third_partys_adapter(cli: Cli, database: Database, tmp_path: Path) -> None:
    """One that offers no question gets its settings checked and says so; one whose question fails harms itself only."""
    folder = tmp_path / "packages"
    for name, question in (("silent", ""), ("clumsy", "checkup = read_checkup = lambda *_: 1 / 0")):
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{name}.py").write_text(ADAPTER.format(name=name, question=question))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[notifyctl.providers]\n{name} = {name}:Carrier\n")
        _seal(database, seed.provider(database, name))
    cli.env |= {"PYTHONPATH": str(folder), "NOTIFYCTL_ENCRYPTION_KEYS": KEYS}
    done = cli.run("providers", "test", "-o", "json")
    rows = {row["provider_name"]: row for row in done.json()}
    assert done.exit_code == 7
    assert (rows["silent"]["ok"], rows["silent"]["checked"]) == (True, "settings; the adapter can check no more")
    assert (rows["clumsy"]["ok"], rows["clumsy"]["result"]) == (False, "unavailable")
    assert rows["clumsy"]["problem"] == "its adapter failed: ZeroDivisionError"


def _seal(database: Database, provider_id: str) -> None:
    place = Place("provider_configs", provider_id, "api_key")
    sealed = parse_keys(KEYS, "test").seal("a-key-of-theirs", place, SECRET_WIDTH)
    row = update(provider_configs).where(provider_configs.c.id == provider_id).values(api_key=sealed)
    database.write(lambda tx: tx.execute(row))


def test_settings_come_first(on_sqlite: Providers) -> None:
    """What the settings lack is said without asking anybody."""
    wrong = {"NOTIFYCTL_SENDGRID_URL": "https://nowhere:99999"}
    done = on_sqlite.cli.call("providers", "test", "sendgrid", "-o", "json", env=wrong)
    (found,) = done.json()
    assert (done.exit_code, found["result"], found["checked"]) == (7, "settings", "settings")
    assert "base_url must be" in found["problem"]
    assert on_sqlite.server.asked == []


def test_credentials_that_do_not_open(providers: Providers) -> None:
    """Another encryption key: exit 4, said of each, and nobody is asked."""
    env = {"NOTIFYCTL_ENCRYPTION_KEYS": providers.cli.env["NOTIFYCTL_ENCRYPTION_KEYS"].replace("k1:", "k2:")}
    done = providers.cli.call("providers", "test", "-o", "json", env=env)
    assert (done.exit_code, {row["result"] for row in done.json()}) == (4, {"unreadable"})
    assert providers.cli.call("providers", "test", "twilio", env=env).exit_code == 4
    assert providers.server.asked == []


def test_who_is_tested(providers: Providers) -> None:
    """The active ones, paused ones among them; a disabled one by its name; an unknown one is exit 3."""
    providers.cli.call("providers", "disable", "fcm").ok()
    providers.cli.call("providers", "pause", "twilio", "--reason", "holiday").ok()
    done = providers.test("-o", "json").ok()
    assert {row["provider_name"] for row in done.json()} == {"sendgrid", "twilio"}
    assert done.stderr == "twilio stays paused (holiday): notifyctl providers resume twilio\n"
    providers.test("fcm").ok()
    assert providers.test("pigeon").exit_code == 3
    for name in ("sendgrid", "twilio"):
        providers.cli.call("providers", "disable", name).ok()
    assert providers.test("-o", "json").ok().stdout == "[]\n"


def test_what_a_person_reads(on_sqlite: Providers) -> None:
    """The problem with the command that helps; of several, each; and no secret, not even one that was answered."""
    one = on_sqlite.test(sendgrid=reply(401, errors("bad")))
    assert one.stderr == (
        "error: sendgrid: the API key is refused: it is mistyped, revoked or of another region (bad)\n"
        "hint: notifyctl providers update sendgrid --api-key -\n"
    )
    both = on_sqlite.test("-o", "table", sendgrid=reply(401, errors("bad")), twilio=reply(503))
    assert both.stderr.endswith("error: 2 of 3 providers do not work\n")
    assert "twilio: answered HTTP 503: it is in trouble itself\nhint: " in both.stderr
    for form in ("table", "plain", "json", "ndjson", "csv", "markdown", "id"):
        shown = on_sqlite.test("sendgrid", "twilio", "-o", form, "--debug").ok()
        for secret in (*SECRETS.values(), "the-account's-own-token"):
            assert secret not in shown.stdout + shown.stderr


def test_new_credentials_are_tested_before_they_are_stored(providers: Providers) -> None:
    """`update --test`: refused ones change nothing, exit 7; good ones are stored; settings are checked first."""
    update = ("providers", "update", "sendgrid", "--api-key", "-", "--test")

    def key_is_asked_with() -> str:
        providers.test("sendgrid").ok()
        return providers.server.asked[-1].headers["authorization"]

    providers.answers = FINE | {"sendgrid": reply(401, errors("bad"))}
    refused = providers.cli.call(*update, input="SG.refused")
    assert refused.exit_code == 7
    assert refused.stderr.startswith("error: nothing was changed: sendgrid: the API key is refused")
    assert providers.server.asked[-1].headers["authorization"] == "Bearer SG.refused"
    assert key_is_asked_with() == f"Bearer {SECRETS['sendgrid']}"
    providers.cli.call(*update, input="SG.better").ok()
    assert key_is_asked_with() == "Bearer SG.better"
    assert providers.cli.call(*update, "--set", "from=", input="SG.x").exit_code == 2
    assert providers.cli.call(*update, input="SG.x", env={"NOTIFYCTL_ENCRYPTION_KEYS": ""}).exit_code == 4
