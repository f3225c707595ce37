"""Keys that may submit for listed users only, or only for show: on every road on which a notification goes out."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import api_keys, notification_dlq, notifications
from tests.support import seed
from tests.support.command import Cli, Result

SMS = ("--channel", "sms", "--body", "x")
MAIL = ("--channel", "email", "--subject", "s", "--body", "b")
OUT = ("--channel", "push", "--body", "x")


@pytest.fixture(autouse=True)
def people(database: Database, cli: Cli) -> dict[str, str]:
    """Anna, who is listed, and bert, who is not, with an address on each channel."""
    for name, settings in (("twilio", '{"from":"+15005550006"}'), ("sendgrid", '{"from":"a@example.com"}')):
        seed.provider(database, name, config_json=settings)
    seed.provider(database, "fcm", config_json='{"project_id":"p"}')
    found = {name: seed.user(database, name) for name in ("anna", "bert")}
    for name, number in (("anna", "+14155552345"), ("bert", "+14155552346")):
        cli.call("users", "contacts", "add", name, "sms", number).ok()
        cli.call("users", "contacts", "add", name, "push", f"token-of-{name}").ok()
    return found


def key(cli: Cli, *more: str) -> str:
    """Make a key and return it."""
    return cli.call("keys", "create", "anna", "--name", "ci", *more, "-o", "secret").ok().stdout.strip()


@pytest.fixture
def listed(cli: Cli) -> str:
    """A key that may submit for anna only."""
    return key(cli, "--only-to", "anna")


@pytest.fixture
def showing(cli: Cli) -> str:
    """A key that may submit for show only."""
    return key(cli, "--dry-run-only")


def acting(cli: Cli, secret: str, *args: str, input: str | None = None) -> Result:
    """Run a command with a key."""
    return cli.call(*args, env={"NOTIFYCTL_API_KEY": secret}, input=input)


def refused(result: Result, *words: str) -> None:
    """Assert that it was not allowed, and says why."""
    assert (result.exit_code, result.stdout) == (4, ""), result
    assert all(word in result.stderr for word in words), result


def submitted(database: Database) -> list[str]:
    """Return for whom there are notifications."""
    with database.read() as tx:
        return list(tx.execute(select(notifications.c.user_id).order_by(notifications.c.created_at)).scalars())


def statuses(database: Database) -> dict[str, str]:
    """Return how notifications stand."""
    with database.read() as tx:
        return {row[0]: row[1] for row in tx.execute(select(notifications.c.id, notifications.c.status))}


def test_what_a_key_may_is_shown(cli: Cli, people: dict[str, str], listed: str, showing: str) -> None:
    """`restrictions` is JSON of its own beside `scopes`; both can be together."""
    key(cli, "--only-to", "anna@example.org", "--only-to", "bert", "--dry-run-only", "--scope", "users:read")
    rows = cli.call("keys", "list", "-o", "json").ok().json()
    assert [row["restrictions"] for row in rows] == [
        {"recipients": sorted(people.values()), "dry_run": True},
        {"dry_run": True},
        {"recipients": [people["anna"]]},
    ]
    assert [row["scopes"] for row in rows] == [["users:read"], None, None]
    assert cli.call("keys", "create", "anna", "--name", "x", "--only-to", "nobody").exit_code == 3


def test_send_reaches_listed_users_only(cli: Cli, database: Database, people: dict[str, str], listed: str) -> None:
    """Also for show, also later, and not to another address under a listed user's name."""
    for words in (SMS, MAIL, OUT):
        acting(cli, listed, "send", "anna", *words).ok()
        refused(acting(cli, listed, "send", "bert", *words), "ci", "may not submit for this user")
    refused(acting(cli, listed, "send", "bert", *SMS, "--dry-run"))
    refused(acting(cli, listed, "schedule", "bert", *SMS, "--in", "1h"))
    for more in (
        (*SMS, "--to", "+14155552346"),
        (*MAIL, "--to", "bert@example.org"),
        (*MAIL, "--data", '{"cc": ["bert@example.org"]}'),
        (*MAIL, "--data", '{"bcc": ["bert@example.org"]}'),
        (*MAIL, "--data", '{"mail_settings": {"bcc": {"enable": true, "email": "bert@example.org"}}}'),
        (*OUT, "--data", '{"topic": "all"}'),
        (*OUT, "--data", '{"condition": "\'all\' in topics"}'),
        (*OUT, "--to", "token-of-bert"),
    ):
        refused(acting(cli, listed, "send", "anna", *more), "own addresses only")
    assert submitted(database) == [people["anna"]] * 3


def test_a_file_reaches_listed_users_only(cli: Cli, database: Database, people: dict[str, str], listed: str) -> None:
    """Rows of others are rejected one by one, with why."""
    (cli.home / "f.csv").write_text("user,channel,body,to\nanna,sms,x,\nbert,sms,x,\nanna,sms,x,+14155552346\n")
    done = acting(cli, listed, "send", "-f", "f.csv", "--rejects", "r.csv")
    assert done.exit_code == 6
    rejects = (cli.home / "r.csv").read_text()
    assert "may not submit for this user" in rejects and "own addresses only" in rejects
    assert submitted(database) == [people["anna"]]
    estimated = acting(cli, listed, "send", "-f", "f.csv", "--dry-run", "-o", "json")
    assert (estimated.exit_code, estimated.json()["rejected"]) == (6, 2)


def test_a_fixture_reaches_listed_users_only(cli: Cli, database: Database, listed: str) -> None:
    """All of it or nothing, as with whatever is wrong in a fixture."""
    (cli.home / "f.yaml").write_text(
        "notifications:\n"
        "  - {user: anna, key: one, channel: sms, body: x}\n"
        "  - {user: bert, key: two, channel: sms, body: x}\n"
    )
    for more in ((), ("--dry-run",)):
        refused(acting(cli, listed, "fixtures", "apply", "-f", "f.yaml", *more), "may not submit for this user")
    assert submitted(database) == []
    (cli.home / "f.yaml").write_text("notifications:\n  - {user: anna, key: one, channel: sms, body: x}\n")
    acting(cli, listed, "fixtures", "apply", "-f", "f.yaml").ok()
    assert len(submitted(database)) == 1


def ended(database: Database, people: dict[str, str]) -> dict[str, str]:
    """Write a sent notification of each, to their own addresses, and one of anna's to somebody else's."""
    own = json.dumps({"v": 1, "body": "x", "from": "+15005550006"})
    other = json.dumps({"v": 1, "body": "x", "from": "+15005550006", "to": "+14155552346"})
    found = {}
    for name, user, payload in (("anna", "anna", own), ("bert", "bert", own), ("other", "anna", other)):
        (found[name],) = seed.pending(database, people[user], "twilio", payload=payload, status="sent", sent_at=1)
    return found


def bury(database: Database, id_: str) -> None:
    """Make a dead letter of a notification."""
    letter = {"id": str(uuid.uuid4()), "notification_id": id_, "failure_reason": "provider_rejected"}
    database.write(lambda tx: tx.execute(insert(notification_dlq).values(letter)))
    gone = update(notifications).where(notifications.c.id == id_).values(status="failed", sent_at=None, failed_at=2)
    database.write(lambda tx: tx.execute(gone))


def results(result: Result) -> dict[str, Any]:
    """Return what became of each id."""
    return {row["id"]: row["result"] for row in json.loads(result.stdout)}


@pytest.mark.parametrize("chosen", [("-",), ("--all", "--yes")])
def test_what_is_resent_goes_to_listed_users_only(
    cli: Cli, database: Database, people: dict[str, str], listed: str, chosen: tuple[str, ...]
) -> None:
    """A copy is a submission, whether an id or a filter named it."""
    ids = ended(database, people)
    more = ("--yes",) if chosen == ("-",) else ()
    done = acting(cli, listed, "notifications", "resend", *chosen, *more, "-o", "json", input="\n".join(ids.values()))
    assert done.exit_code == 6
    assert results(done) == {ids["anna"]: "resent", ids["bert"]: "failed", ids["other"]: "failed"}
    assert acting(cli, listed, "notifications", "resend", ids["bert"]).exit_code == 4
    assert len(submitted(database)) == 4


@pytest.mark.parametrize("chosen", [(), ("--all", "--yes")])
def test_what_is_retried_goes_to_listed_users_only(
    cli: Cli, database: Database, people: dict[str, str], listed: str, chosen: tuple[str, ...]
) -> None:
    """A dead letter that is retried goes out, as what is submitted does."""
    ids = ended(database, people)
    for id_ in ids.values():
        bury(database, id_)
    done = acting(cli, listed, "dlq", "retry", *(chosen or ids.values()), "-o", "json")
    assert done.exit_code == 6
    assert results(done) == {ids["anna"]: "retried", ids["bert"]: "failed", ids["other"]: "failed"}
    assert statuses(database) == {ids["anna"]: "pending", ids["bert"]: "failed", ids["other"]: "failed"}


def test_what_is_restored_or_put_forward_is_of_listed_users_only(
    cli: Cli, database: Database, people: dict[str, str], listed: str
) -> None:
    """What an operator had cancelled, or put off, is let go by nobody who could not submit it."""
    ids = ended(database, people)
    database.write(lambda tx: tx.execute(update(notifications).values(status="pending", sent_at=None, due_at=2**42)))
    moved = acting(cli, listed, "notifications", "reschedule", *ids.values(), "--at", "now", "-o", "json")
    assert (moved.exit_code, results(moved)[ids["anna"]], results(moved)[ids["bert"]]) == (6, "rescheduled", "failed")
    acting(cli, listed, "notifications", "cancel", *ids.values()).ok()
    back = acting(cli, listed, "notifications", "restore", *ids.values(), "--yes", "-o", "json")
    assert (back.exit_code, results(back)[ids["anna"]], results(back)[ids["other"]]) == (6, "restored", "failed")


@pytest.mark.parametrize("restriction", [("--only-to", "anna"), ("--dry-run-only",)])
def test_a_batch_is_let_go_by_nobody_who_is_restricted(cli: Cli, restriction: tuple[str, ...]) -> None:
    """What is in it was submitted by whoever could; to hold it is for anybody."""
    (cli.home / "f.csv").write_text("user,channel,body\nbert,sms,x\n")
    cli.call("send", "-f", "f.csv", "--batch", "spring").ok()
    secret = key(cli, *restriction)
    acting(cli, secret, "batches", "pause", "spring").ok()
    refused(acting(cli, secret, "batches", "resume", "spring"), "is restricted")
    (row,) = cli.call("batches", "list", "-o", "json").ok().json()
    assert row["state"] == "paused"
    cli.call("batches", "resume", "spring").ok()


RESTRICTED = pytest.mark.parametrize("restriction", [("--only-to", "anna"), ("--dry-run-only",)])


@RESTRICTED
def test_a_provider_is_let_go_by_nobody_who_is_restricted(cli: Cli, restriction: tuple[str, ...]) -> None:
    """What waits for it is anybody's; to hold it is for anybody."""
    secret = key(cli, *restriction)
    acting(cli, secret, "providers", "pause", "twilio", "--reason", "r").ok()
    refused(acting(cli, secret, "providers", "resume", "twilio"), "is restricted")
    cli.call("providers", "resume", "twilio").ok()
    acting(cli, secret, "providers", "resume", "twilio").ok()  # which changes nothing
    acting(cli, secret, "providers", "disable", "twilio").ok()
    refused(acting(cli, secret, "providers", "enable", "twilio"), "is restricted")
    assert cli.call("providers", "show", "twilio", "-o", "json").ok().json()["is_active"] is False
    cli.call("providers", "enable", "twilio").ok()


@RESTRICTED
def test_a_template_is_let_go_by_nobody_who_is_restricted(cli: Cli, restriction: tuple[str, ...]) -> None:
    """While it is disabled what is made from it waits, whoever submitted that; a fixture is no other way."""
    secret = key(cli, *restriction)
    cli.call("templates", "create", "hi", "--channel", "sms", "--body", "b", "--by", "anna").ok()
    acting(cli, secret, "templates", "disable", "hi").ok()
    refused(acting(cli, secret, "templates", "enable", "hi"), "is restricted")
    (cli.home / "f.yaml").write_text("templates:\n  - {name: hi, channel: sms, body: b, enabled: true}\n")
    by_file = acting(cli, secret, "fixtures", "apply", "-f", "f.yaml")
    assert by_file.exit_code == 4 and "is restricted" in by_file.stderr, by_file
    cli.call("templates", "enable", "hi").ok()
    acting(cli, secret, "fixtures", "apply", "-f", "f.yaml").ok()


def test_for_show_only(cli: Cli, database: Database, people: dict[str, str], showing: str) -> None:
    """With --dry-run every road says what it would do; without, nothing is stored."""
    ids = ended(database, people)
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = "k1:" + "QUJD" * 21 + "QQ=="
    (cli.home / "f.csv").write_text("user,channel,body\nanna,sms,x\nbert,sms,x\n")
    (cli.home / "f.yaml").write_text("notifications:\n  - {user: anna, key: one, channel: sms, body: x}\n")
    before = statuses(database)
    for words in (
        ("send", "anna", *SMS),
        ("schedule", "anna", *SMS, "--in", "1h"),
        ("send", "-f", "f.csv"),
        ("fixtures", "apply", "-f", "f.yaml"),
    ):
        refused(acting(cli, showing, *words), "--dry-run only")
    resent = acting(cli, showing, "notifications", "resend", ids["anna"])
    assert (resent.exit_code, "--dry-run only" in resent.stderr) == (4, True)
    for words in (
        ("send", "-f", "f.csv", "--dry-run"),
        ("fixtures", "apply", "-f", "f.yaml", "--dry-run"),
        ("notifications", "resend", ids["anna"], "--dry-run"),
    ):
        acting(cli, showing, *words).ok()
    bury(database, ids["anna"])
    assert acting(cli, showing, "dlq", "retry", ids["anna"]).exit_code == 4
    acting(cli, showing, "dlq", "retry", ids["anna"], "--dry-run").ok()
    refused(acting(cli, showing, "dispatch", "--once"), "dispatches nothing")
    assert statuses(database) == {**before, ids["anna"]: "failed"}


@pytest.mark.parametrize(
    "said", ["{", "[]", '{"recipients": "anna"}', '{"dry_run": 1}', '{"recipients": null, "only": true}', ""]
)
def test_what_a_row_says_of_restrictions_fails_closed(cli: Cli, database: Database, said: str) -> None:
    """What cannot be read, or what a newer version says, lets nobody be written to."""
    secret = key(cli)
    acting(cli, secret, "send", "anna", *SMS).ok()
    database.write(lambda tx: tx.execute(update(api_keys).values(restrictions=said)))
    refused(acting(cli, secret, "send", "anna", *SMS))
    with database.read() as tx:
        assert tx.execute(select(func.count()).select_from(notifications)).scalar_one() == 1


def test_a_fixture_says_to_whom_a_key_may_submit(cli: Cli, database: Database, people: dict[str, str]) -> None:
    """In a fixture recipients are usernames; applied again nothing changes; not said, it ends."""
    restricted = "recipients: [bert, anna], dry_run: true"
    said = f"api_keys:\n  - {{user: anna, name: ci, {restricted}, secret: {{file: k}}}}\n"
    (cli.home / "f.yaml").write_text(said)
    cli.call("fixtures", "apply", "-f", "f.yaml").ok()
    assert cli.call("fixtures", "apply", "-f", "f.yaml", "--dry-run", "--exit-code").exit_code == 0
    (row,) = cli.call("keys", "list", "-o", "json").ok().json()
    assert row["restrictions"] == {"recipients": sorted(people.values()), "dry_run": True}
    dumped = cli.call("fixtures", "dump").ok().stdout
    assert (
        all(each in dumped for each in ("dry_run: true", "recipients:", "- anna", "- bert")) or "[anna, bert]" in dumped
    )
    (cli.home / "f.yaml").write_text("api_keys:\n  - {user: anna, name: ci, secret: {file: k}}\n")
    cli.call("fixtures", "apply", "-f", "f.yaml").ok()
    (row,) = cli.call("keys", "list", "-o", "json").ok().json()
    assert row["restrictions"] is None
    (cli.home / "f.yaml").write_text(said.replace("bert", "nobody"))
    assert cli.call("fixtures", "apply", "-f", "f.yaml").exit_code == 3


@pytest.mark.parametrize(
    "road", ["send -f f.csv", "send -f f.csv --dry-run", "resend", "resend one", "retry", "fixtures"]
)
def test_refusals_among_many_are_noted_too(
    cli: Cli, database: Database, people: dict[str, str], listed: str, road: str
) -> None:
    """Where one of many rows or ids is refused, or each of them, `keys show` says so as of a single one."""
    ids = ended(database, people)
    (cli.home / "f.csv").write_text("user,channel,body\nanna,sms,x\nbert,sms,x\n")
    (cli.home / "f.yaml").write_text("notifications:\n  - {user: bert, key: two, channel: sms, body: x}\n")
    if road == "retry":
        for id_ in ids.values():
            bury(database, id_)
    words = {
        "resend": ("notifications", "resend", *ids.values()),
        "resend one": ("notifications", "resend", ids["bert"]),
        "fixtures": ("fixtures", "apply", "-f", "f.yaml"),
        "retry": ("dlq", "retry", *ids.values()),
    }.get(road, tuple(road.split()))
    assert acting(cli, listed, *words).exit_code == (4 if road in ("resend one", "fixtures") else 6)
    (key_id,) = cli.call("keys", "list", "-o", "id").ok().stdout.split()
    refusals = cli.call("keys", "show", key_id, "-o", "json").ok().json()["refusals"]
    assert [each["reason"] for each in refusals] == ["restricted"]


@pytest.fixture
def hooked(cli: Cli) -> Cli:
    """A webhook of each person's own events, and one of bert's for everybody's."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = "k1:" + "QUJD" * 21 + "QQ=="
    for name, whose, *more in (("own", "anna"), ("other", "bert"), ("all", "anna", "--all-users")):
        url = f"https://example.org/{name}"
        cli.call("webhooks", "create", whose, url, "--event", "sent", "--name", name, *more).ok()
    return cli


def test_a_key_has_nobody_told_of_others_than_it_submits_for(hooked: Cli, listed: str) -> None:
    """A webhook is told whom notifications went to: of listed users' own it may make and change, on every road."""
    new = ("--event", "sent", "--name", "new")
    refused(
        acting(hooked, listed, "webhooks", "create", "anna", "https://example.org/x", *new, "--all-users"), "listed"
    )
    refused(acting(hooked, listed, "webhooks", "create", "bert", "https://example.org/x", *new), "this user")
    refused(acting(hooked, listed, "webhooks", "update", "own", "--all-users"), "listed")
    refused(acting(hooked, listed, "webhooks", "update", "all", "--own-only"), "listed")
    for name in ("other", "all"):
        for words in (
            ("update", name, "--event", "*"),
            ("update", name, "--url", "https://example.org/y"),
            ("update", name, "--timeout", "7"),
            ("rotate-secret", name),
            ("show", name, "--reveal-url"),
        ):
            refused(acting(hooked, listed, "webhooks", *words))
        acting(hooked, listed, "webhooks", "disable", name).ok()
        refused(acting(hooked, listed, "webhooks", "enable", name))
    acting(hooked, listed, "webhooks", "create", "anna", "https://example.org/x", *new).ok()
    acting(hooked, listed, "webhooks", "update", "own", "--event", "*").ok()
    acting(hooked, listed, "webhooks", "rotate-secret", "own").ok()
    assert acting(hooked, listed, "webhooks", "show", "own", "--reveal-url").ok().stdout.count("example.org/own") == 1


@pytest.mark.parametrize("said", ["all_users: true", "user: bert"])
def test_a_fixture_has_nobody_told_of_others_either(hooked: Cli, listed: str, said: str) -> None:
    """New ones and those that are there; what of it is listed users' own is applied."""
    hooked.env["SECRET"] = "whsec_" + "QUJD" * 8
    whose = said if said.startswith("user") else f"user: anna, {said}"
    for name in ("new", "own"):
        (hooked.home / "f.yaml").write_text(
            f"webhooks:\n  - {{{whose}, name: {name}, url: 'https://example.org/x', events: [sent],"
            " secret: {env: SECRET}}\n"
        )
        done = acting(hooked, listed, "fixtures", "apply", "-f", "f.yaml")
        assert done.exit_code == 4, done
    (hooked.home / "f.yaml").write_text(
        "webhooks:\n  - {user: anna, name: own, url: 'https://example.org/x', events: [sent], secret: {env: SECRET}}\n"
    )
    acting(hooked, listed, "fixtures", "apply", "-f", "f.yaml").ok()


def test_what_a_webhook_missed_is_not_made_for_others(hooked: Cli, listed: str, people: dict[str, str]) -> None:
    """Deliveries that it would have had, had it listened: they are told of whom the key may not submit for."""
    hooked.call("send", "bert", *SMS).ok()
    for name in ("all", "other"):
        hooked.call("webhooks", "update", name, "--event", "*").ok()
        words = ("webhooks", "redeliver", "--webhook", name, "--missing", "--since", "1h", "--yes")
        refused(acting(hooked, listed, *words))
        hooked.call(*words).ok()


@RESTRICTED
def test_a_pause_for_bad_credentials_is_ended_by_nobody_who_is_restricted(
    cli: Cli, database: Database, restriction: tuple[str, ...]
) -> None:
    """Other settings end such a pause, so that what waits goes: as `providers resume` would, which it may not."""
    secret = key(cli, *restriction)
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = "k1:" + "QUJD" * 21 + "QQ=="
    (cli.home / "sid").write_text("AC" + "5a" * 16)
    (cli.home / "token").write_text("token")
    cli.call("providers", "update", "twilio", "--api-key", "@sid", "--api-secret", "@token").ok()
    seed.health(database, "twilio", pause_cause="config", paused_at=1)
    refused(acting(cli, secret, "providers", "update", "twilio", "--set", "from=+15005550007"), "is restricted")
    acting(cli, secret, "providers", "update", "twilio", "--rate-limit", "5").ok()  # which ends none
    cli.call("providers", "update", "twilio", "--set", "from=+15005550007").ok()
    acting(cli, secret, "providers", "update", "twilio", "--set", "from=+15005550006").ok()
