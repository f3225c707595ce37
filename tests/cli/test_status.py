"""`status`: what it says is true, names each problem with the command that helps, and always exits 0."""

from __future__ import annotations

import json
import re
import time
import uuid
from typing import Any

import pytest
from sqlalchemy import insert, text

from notifyctl.cli.output import iso
from notifyctl.core.health import Cause
from notifyctl.core.model import Channel
from notifyctl.core.presence import Heartbeat
from notifyctl.core.sealing import format_key
from notifyctl.core.suppression import Refusal, SuppressionCause
from notifyctl.store import providers as provider_store
from notifyctl.store import suppressions
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.dispatchers import beat
from notifyctl.store.schema.tables import dispatchers
from notifyctl.store.suppressions import AddressNews
from tests.support import letters, seed
from tests.support.command import Cli
from tests.support.terminal import on_terminal

HOUR = 3_600_000
DAY = 24 * HOUR
FROM = ("--set", "from=alerts@example.com")
KEYS = {"NOTIFYCTL_ENCRYPTION_KEYS": format_key("k1", bytes(64))}


@pytest.fixture
def now(database: Database) -> int:
    """The database's moment when the test began."""
    with database.read() as tx:
        return tx.now


def report(cli: Cli, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the status as a document."""
    found: dict[str, Any] = cli.call("status", "-o", "json", env=env).ok().json()
    return found


def problems(cli: Cli, env: dict[str, str] | None = None) -> dict[str, dict[str, str]]:
    """Return the problems by their kind."""
    return {problem["code"]: problem for problem in report(cli, env)["problems"]}


def beating(db: Database, at: int) -> None:
    """Write a dispatcher whose last heartbeat was at that moment."""
    row = {"id": str(uuid.uuid4()), "host": "web1", "pid": 7, "started_at": at, "heartbeat_at": at}
    db.write(lambda tx: tx.execute(insert(dispatchers).values(row)))


def add_provider(cli: Cli) -> None:
    """Add a provider with credentials that open."""
    cli.call("providers", "add", "sendgrid", "--api-key", "-", *FROM, input="SG.key\n", env=KEYS).ok()


def test_an_empty_system(cli: Cli) -> None:
    """A new database has nothing wrong and nothing to count; the document has all its parts."""
    found = report(cli)
    assert set(found) == {
        "profile", "database", "schema_ok", "now", "problems", "dispatchers", "last_24h", "pending", "over_1h", "dlq",
        "providers_1h", "receipts", "receivers", "receivers_1h", "conditions",
    }  # fmt: skip
    assert found["problems"] == []
    assert found["last_24h"] == {"sent": 0, "failed": 0, "cancelled": 0, "pending": 0}
    assert set(found["pending"]) == {"in_flight", "unknown", "scheduled", "deferred", "retrying", "held", "due"}
    assert found["dlq"] == {"unresolved": 0, "last_hour": 0}
    shown = cli.call("status").ok()
    assert shown.stderr == ""
    assert "schema ok  0 dispatchers" in shown.stdout


def test_every_state_is_counted(cli: Cli, database: Database, now: int) -> None:
    """Each pending notification is in one state, with its oldest or next moment."""
    add_provider(cli)
    database.write(lambda tx: provider_store.pause(tx.at(now), "fcm", "x"))
    anna = seed.user(database)
    lease = str(uuid.uuid4())
    seed.pending(database, anna, count=1, lease_id=lease, leased_until=now + 60_000, due_at=now, created_at=now)
    seed.pending(
        database, anna, count=2, lease_id=lease, leased_until=now - 60_000, due_at=now - 60_000, created_at=now
    )
    seed.pending(database, anna, count=3, send_at=now + HOUR, due_at=now + HOUR, created_at=now)
    seed.pending(database, anna, count=4, attempt_count=1, due_at=now + 50_000, created_at=now)
    seed.pending(database, anna, count=5, due_at=now - 2 * HOUR, created_at=now - 2 * HOUR)
    seed.pending(database, anna, "twilio", count=6, due_at=now - 1, created_at=now - 3 * HOUR)
    for rule, count in (("quiet_hours", 4), ("cap", 3)):
        seed.pending(database, anna, count=count, due_at=now + HOUR, created_at=now, deferred_by=rule)
    found = report(cli, KEYS)
    counts = {state: each["count"] for state, each in found["pending"].items()}
    assert counts == {
        "in_flight": 1, "unknown": 2, "scheduled": 3, "deferred": 7, "retrying": 4, "due": 5, "held": 6,
    }  # fmt: skip
    assert found["pending"]["deferred"]["by_rule"] == {"quiet_hours": 4, "cap": 3}
    assert found["pending"]["held"]["by_provider"] == {"twilio": 6}
    assert found["over_1h"] == {"count": 11, "unexplained": 5}
    shown = cli.call("status", env=KEYS).ok().stdout
    assert re.search(r"due +5   oldest 2h", shown)
    assert re.search(r"retrying +4   next in \d+s", shown)
    assert re.search(r"scheduled +3   next \d\d:\d\d", shown)
    assert re.search(r"held +6   twilio", shown)
    assert re.search(r"deferred +7   4 quiet hours, 3 cap", shown)
    assert re.search(r"unknown +2   oldest 1m", shown)


def test_it_answers_the_monitoring_queries(cli: Cli, database: Database, now: int) -> None:
    """The schema document's four monitoring queries, run as they stand there, say the same."""
    anna = seed.user(database)
    for age in (10_000, 30 * 60_000, 2 * HOUR, 20 * HOUR, 30 * HOUR):
        for status, count in (("sent", 3), ("failed", 2), ("cancelled", 1), ("pending", 2)):
            moment = now - age
            seed.pending(
                database, anna, "twilio", count, status=status, created_at=moment, due_at=moment,
                last_attempted=moment + 100, sent_at=moment + 350 if status == "sent" else None,
            )  # fmt: skip
    letters.dead(database, anna, count=4, at=now - 2 * HOUR)
    letters.dead(database, anna, count=3, at=now - 60_000)

    def queries(tx: Tx) -> tuple[Any, ...]:
        by_status = "SELECT status, COUNT(*) FROM notifications WHERE created_at > :since GROUP BY status"
        stuck = "SELECT count(*) FROM notifications WHERE status = 'pending' AND created_at < :since"
        dlq = "SELECT COUNT(*) FROM notification_dlq WHERE resolved = false"
        performance = (
            "SELECT provider, COUNT(*) as total, SUM(CASE WHEN status = 'sent' THEN 1 ELSE 0 END) as sent,"
            " SUM(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) as failed"
            " FROM notifications WHERE created_at > :since GROUP BY provider"
        )
        return (
            {row[0]: row[1] for row in tx.execute(text(by_status), {"since": now - DAY})},
            tx.execute(text(stuck), {"since": now - HOUR}).scalar_one(),
            tx.execute(text(dlq)).scalar_one(),
            {tuple(row) for row in tx.execute(text(performance), {"since": now - HOUR})},
        )

    with database.read() as tx:
        by_status, stuck, dlq, performance = queries(tx)
    found = report(cli)
    assert found["last_24h"] == by_status
    assert found["over_1h"]["count"] == stuck
    assert found["dlq"] == {"unresolved": dlq, "last_hour": 3}
    lines = found["providers_1h"]
    assert {(line["provider"], line["total"], line["sent"], line["failed"]) for line in lines} == performance
    assert [line["p50_ms"] for line in lines if line["provider"] == "twilio"] == [250]


def test_a_provider_at_work(cli: Cli, database: Database, now: int) -> None:
    """The provider's line: what it sent and failed in the last hour, the rate, and the median of its calls."""
    add_provider(cli)
    anna = seed.user(database)
    for took in (*[80] * 60, *[90] * 61, *[5_000] * 60):
        began = now - 60_000
        seed.pending(database, anna, status="sent", created_at=began, last_attempted=began, sent_at=began + took)
    seed.pending(database, anna, count=7, status="failed", created_at=now - 60_000)
    assert cli.call("status", env=KEYS).ok().stdout.splitlines()[-1].split() == [
        "sendgrid", "ok", "181", "7", "3", "90ms"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cause", "state", "hint"),
    [
        (Cause.OPERATOR, "paused", "notifyctl providers resume sendgrid"),
        (Cause.CONFIG, "paused", "notifyctl providers update sendgrid --api-key -"),
        (Cause.BREAKER, "open", "notifyctl providers show sendgrid"),
    ],
)
def test_a_paused_provider(cli: Cli, database: Database, now: int, cause: Cause, state: str, hint: str) -> None:
    """It says since when, why, how much it holds and when the next probe is, with the command that helps."""
    add_provider(cli)
    seed.pending(database, seed.user(database), count=9, created_at=now, due_at=now)
    ago = now - 4 * 60_000
    database.write(lambda tx: provider_store.pause(tx.at(ago), "sendgrid", "401 bad key", cause=cause))
    problem = problems(cli, KEYS)[f"provider_{state}"]
    probe = "" if cause is Cause.OPERATOR else "; a probe is due"
    assert re.fullmatch(rf"sendgrid {state} 4m(\d+s)?: 401 bad key; 9 held{probe}", problem["message"])
    assert problem["hint"] == hint
    shown = cli.call("status", env=KEYS).ok().stdout
    assert f"    {hint}\n" in shown
    assert re.search(rf"^sendgrid +{state} +0 +0 +- +-$", shown, re.MULTILINE)


def test_a_throttled_provider(cli: Cli, database: Database, now: int) -> None:
    """It says until when and why; afterwards how few calls are in flight at once."""
    add_provider(cli)
    seed.pending(database, seed.user(database), count=9, created_at=now, due_at=now)
    until = now + 3 * DAY
    of_throttle = {"paused_at": now, "pause_cause": "throttled", "pause_reason": "429", "probe_at": until}
    seed.health(database, "sendgrid", **of_throttle)
    found = report(cli, KEYS)
    [problem] = [each for each in found["problems"] if each["code"] == "provider_throttled"]
    assert re.fullmatch(rf"sendgrid throttled until {iso(until)} \(in [\dmhd]+\): 429; 9 held", problem["message"])
    assert problem["hint"] == "notifyctl providers show sendgrid"
    [line] = found["providers_1h"]
    assert (line["throttled_until"], line["ceiling"], line["held_senders"]) == (iso(until), None, {})
    day = iso(until)[:16].replace("T", " ")
    assert f"sendgrid throttled until {day} (in " in cli.call("status", "--utc", env=KEYS).ok().stdout
    seed.health(database, "sendgrid", probe_at=now - 1)
    assert problems(cli, KEYS)["provider_throttled"]["message"] == "sendgrid throttled: 429; 9 held; a probe is due"
    cli.call("providers", "resume", "sendgrid").ok()
    seed.health(database, "sendgrid", ceiling=4)
    found = report(cli, KEYS)
    assert (found["providers_1h"][0]["state"], found["providers_1h"][0]["ceiling"]) == ("ok", 4)
    assert "provider_throttled" not in problems(cli, KEYS)
    shown = cli.call("status", env=KEYS).ok().stdout
    assert re.search(r"^sendgrid +ok, 4 at once +0", shown, re.MULTILINE)


def test_senders_that_are_held(cli: Cli, database: Database, now: int) -> None:
    """Each sender whose queue is full is named with the time until which it waits; one whose time is over is not."""
    add_provider(cli)
    until = now + 3 * DAY
    held = {"": [until, 1, False], "b@example.com": [until + HOUR, 2, False], "over@example.com": [now - 1, 1, False]}
    seed.health(database, "sendgrid", held_senders=json.dumps(held))
    found = report(cli, KEYS)
    [problem] = [each for each in found["problems"] if each["code"] == "senders_held"]
    names = rf"alerts@example.com until {iso(until)} \(in \w+\), b@example.com until {iso(until + HOUR)} \(in \w+\)"
    assert re.fullmatch(f"sendgrid holds senders whose queue is full: {names}", problem["message"])
    [line] = found["providers_1h"]
    assert line["held_senders"] == {"alerts@example.com": iso(until), "b@example.com": iso(until + HOUR)}
    assert "alerts@example.com until " in cli.call("status", env=KEYS).ok().stdout
    many = {f"{number}@example.com": [until, 1, False] for number in range(9)}
    seed.health(database, "sendgrid", held_senders=json.dumps(many))
    assert problems(cli, KEYS)["senders_held"]["message"].endswith(" and 6 more")


def test_disabled_and_missing_providers(cli: Cli, database: Database, now: int) -> None:
    """What waits for a provider that nobody will use is a problem, with the command that ends it."""
    add_provider(cli)
    anna = seed.user(database)
    seed.pending(database, anna, count=2, created_at=now, due_at=now)
    seed.pending(database, anna, "twilio", count=3, created_at=now, due_at=now)
    cli.call("providers", "disable", "sendgrid").ok()
    found = problems(cli)
    assert found["provider_disabled"]["message"] == "sendgrid disabled; 2 held"
    assert found["provider_disabled"]["hint"] == "notifyctl providers enable sendgrid"
    assert found["provider_missing"]["message"] == "twilio is not configured; 3 held"
    assert found["provider_missing"]["hint"] == "notifyctl providers add twilio"


def test_no_dispatcher(cli: Cli, database: Database, now: int) -> None:
    """Without a living dispatcher nothing moves: a problem only while something is due."""
    add_provider(cli)
    beating(database, now - 31_000)
    assert "no_dispatcher" not in problems(cli, KEYS)
    seed.pending(database, seed.user(database), count=12, created_at=now - 10_000, due_at=now - 10_000)
    problem = problems(cli, KEYS)["no_dispatcher"]
    assert re.fullmatch(r"no dispatcher is running; 12 due, the oldest for \d+s", problem["message"])
    assert problem["hint"] == "notifyctl dispatch"
    beating(database, now)
    found = report(cli, KEYS)
    assert [each["code"] for each in found["problems"]] == ["dispatcher_vanished"]
    assert [each["host"] for each in found["dispatchers"]] == ["web1"]
    assert "1 dispatcher " in cli.call("status", env=KEYS).ok().stdout


def test_dispatchers(cli: Cli, database: Database, now: int) -> None:
    """Each living dispatcher has its line: where it runs, since when, its last heartbeat, how fast it is."""
    quick = Heartbeat(str(uuid.uuid4()), "web1", 4711, 40, 24_720)
    idle = Heartbeat(str(uuid.uuid4()), "a-pod-with-a-long-name-7d9f8b6c5-x2x9z", 1, 0, 0)
    for dispatcher, at in ((quick, now - 2 * HOUR), (quick, now), (idle, now - HOUR), (idle, now)):
        database.write(lambda tx, heart=dispatcher, at=at: beat(tx.at(at), heart))
    first, second = report(cli)["dispatchers"]
    assert (first["host"], first["pid"], first["per_minute"], first["in_flight"]) == ("web1", 4711, 24_720, 40)
    assert first["started_at"] < first["heartbeat_at"]
    assert second["pid"] == 1
    heads, one, other = cli.call("status").ok().stdout.splitlines()[-3:]
    assert heads.split() == ["DISPATCHER", "UP", "HEARTBEAT", "/MIN", "IN", "FLIGHT"]
    assert re.fullmatch(r"web1:4711 +2h(\d+m)? +\d+s ago +24,720 +40", one)
    assert re.fullmatch(r"a-pod\S+:1 +1h(\d+m)? +\d+s ago +0 +0", other)
    assert max(map(len, (heads, one, other))) <= 80


def test_different_policies(cli: Cli, database: Database, now: int) -> None:
    """What one dispatcher puts off another would send: those at work have to agree; who is gone or silent does not."""

    def works(host: str, policy: str | None, at: int = now) -> None:
        heart = Heartbeat(str(uuid.uuid4()), host, 1, 0, 0, policy=policy)
        database.write(lambda tx: beat(tx.at(at), heart))

    works("web1", "a" * 64)
    works("web2", "a" * 64)
    works("old", "b" * 64, now - 2 * DAY)
    works("web3", None)
    assert "different_policies" not in problems(cli)
    works("web4", "c" * 64)
    problem = problems(cli)["different_policies"]
    assert "2 different policies" in problem["message"]
    assert "web4:1" in problem["message"]
    assert "notifyctl config show --origin" in problem["hint"]


def test_stuck_beside_a_dispatcher(cli: Cli, database: Database, now: int) -> None:
    """What is due for over an hour though a dispatcher runs is named as unexplained."""
    add_provider(cli)
    beating(database, now)
    seed.pending(database, seed.user(database), count=2, created_at=now - 2 * HOUR, due_at=now - 2 * HOUR)
    assert problems(cli, KEYS)["unexplained"]["message"] == "2 due for over an hour, and nothing holds them"


def test_dead_letters(cli: Cli, database: Database, now: int) -> None:
    """Unresolved dead letters are a problem; resolved ones are not."""
    anna = seed.user(database)
    letters.dead(database, anna, count=2, at=now - 2 * HOUR)
    ids = letters.dead(database, anna, count=1, at=now)
    assert problems(cli)["dead_letters"] == {
        "code": "dead_letters",
        "message": "DLQ 3 unresolved, 1 in the last hour",
        "hint": "notifyctl dlq list",
    }
    cli.call("dlq", "resolve", *ids, "--by", "anna").ok()
    assert problems(cli)["dead_letters"]["message"] == "DLQ 2 unresolved, 0 in the last hour"


def test_a_burst_of_suppressions(cli: Cli, database: Database, now: int) -> None:
    """Far more than usual in an hour is named, with the causes; as many as on other days are no problem."""

    def suppress(count: int, at: int, name: str, cause: SuppressionCause = SuppressionCause.BOUNCE) -> None:
        said = [Refusal(f"{name}{number}@example.org", cause, "550", at=at) for number in range(count)]
        database.write(lambda tx: suppressions.learn(tx, [AddressNews(Channel.EMAIL, each) for each in said]))

    suppress(19, now - 60_000, "a")
    suppress(500, now - 30 * HOUR, "longago")
    assert "suppression_burst" not in problems(cli)
    suppress(6, now - 60_000, "b", SuppressionCause.COMPLAINT)
    found = problems(cli)["suppression_burst"]
    assert found["message"] == "25 addresses suppressed in the last hour, usual is 0: bounce 19, complaint 6"
    assert found["hint"] == "notifyctl suppressions list --since 1h"
    suppress(24 * 7, now - 5 * HOUR, "usual")
    assert "suppression_burst" not in problems(cli)


@pytest.mark.parametrize("by_operator", [True, False])
def test_a_burst_of_cancellations(cli: Cli, database: Database, now: int, by_operator: bool) -> None:
    """By policy or by an operator's act on many, also of what was submitted long ago."""
    anna = seed.user(database)
    facts = {"send_at": now + DAY, "created_at": now - 40 * HOUR} if by_operator else {"status": "cancelled"}
    created = {"created_at": now - 1_000, **facts}
    seed.pending(database, anna, count=25, **created)
    if by_operator:
        assert "cancellation_burst" not in problems(cli)
        cli.call("notifications", "cancel", "--user", "anna", "--yes").ok()
    assert problems(cli)["cancellation_burst"]["message"].startswith("25 notifications cancelled in the last hour")


def test_overridden_urls(cli: Cli) -> None:
    """That a provider's calls go elsewhere is shown, whether the environment or the provider's settings say so."""
    elsewhere = {"NOTIFYCTL_TWILIO_URL": "http://127.0.0.1:9/"}
    assert problems(cli, elsewhere)["provider_url"]["message"] == "twilio goes to http://127.0.0.1:9"
    base = ("--set", "base_url=https://proxy.example.org")
    cli.call("providers", "add", "sendgrid", "--api-key", "-", *base, *FROM, input="SG.key\n", env=KEYS).ok()
    assert problems(cli, KEYS)["provider_url"]["message"] == "sendgrid goes to https://proxy.example.org"


def test_missing_keys(cli: Cli) -> None:
    """Credentials that cannot be opened are a problem before anything is sent, and no reason to fail."""
    add_provider(cli)
    assert "credentials" not in problems(cli, KEYS)
    assert "k1" in problems(cli)["credentials"]["message"]
    other = {"NOTIFYCTL_ENCRYPTION_KEYS": format_key("k1", bytes([1]) * 64)}
    damaged = problems(cli, other)["credentials"]
    assert damaged["message"].startswith("sendgrid: ")
    assert damaged["hint"] == "notifyctl providers update sendgrid --api-key -"
    readable = cli.home / "keys"
    readable.write_text(KEYS["NOTIFYCTL_ENCRYPTION_KEYS"])
    readable.chmod(0o644)
    found = problems(cli, {"NOTIFYCTL_ENCRYPTION_KEYS_FILE": str(readable)})["credentials"]
    assert found["hint"] == f"chmod 600 {readable}"


def test_no_password_in_the_heading(bare_cli: Cli, postgresql_url: str) -> None:
    """The heading names the database, never its password."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = postgresql_url.replace("postgres@", "postgres:hunter2@")
    for args in ([], ["-o", "json"], ["-o", "table"]):
        shown = bare_cli.call("status", *args).ok().stdout
        assert "hunter2" not in shown
        assert "postgresql://" in shown
        assert "psycopg" not in shown


def test_profile_and_clock(cli: Cli) -> None:
    """The heading has the profile and the local time, or UTC."""
    path = cli.home / "config.toml"
    path.write_text("[profiles.staging]\n")
    args = ("status", "--config", str(path), "--profile", "staging")
    heading = cli.call(*args).ok().stdout.splitlines()[0]
    assert heading.startswith("staging  ")
    assert heading.endswith(" UTC")
    local = cli.run(*args, env={"TZ": "Asia/Kolkata"}).ok().stdout.splitlines()[0]
    assert local.endswith(" IST")
    assert cli.run(*args, "--utc", env={"TZ": "Asia/Kolkata"}).ok().stdout.splitlines()[0].endswith(" UTC")


def test_it_fits_80_columns(cli: Cli, database: Database, now: int) -> None:
    """On a terminal of 80 columns no line of the numbers is longer, and a pipe gets the same lines."""
    add_provider(cli)
    seed.pending(database, seed.user(database), count=30, created_at=now - 2 * HOUR, due_at=now - 2 * HOUR)
    shown = on_terminal(cli, "status", env={"NO_COLOR": "1", **KEYS}).stdout
    lines = [line.rstrip() for line in re.sub("\x1b\\[[0-9;]*m", "", shown).splitlines()]
    assert max(map(len, lines)) <= 80
    piped = cli.call("status", env=KEYS).ok().stdout.splitlines()
    assert (
        lines[lines.index("LAST 24 H              PENDING NOW") :]
        == piped[piped.index("LAST 24 H              PENDING NOW") :]
    )


@pytest.mark.parametrize("form", ["csv", "id", "markdown"])
def test_it_is_no_list(cli: Cli, form: str) -> None:
    """Formats for lists are refused rather than filled with something."""
    failed = cli.call("status", "-o", form)
    assert (failed.exit_code, failed.stdout) == (2, "")


def test_watch(cli: Cli, database: Database, now: int) -> None:
    """--watch draws again and shows what changed since; Ctrl-C leaves with 130."""
    anna = seed.user(database)
    written: list[str] = []

    def changed(shown: str) -> bool:
        if not written and "LAST 24 H" in shown:
            written.extend(seed.pending(database, anna, count=5, created_at=now))
        return re.search(r"pending +5 ", shown) is not None

    ended = on_terminal(cli, "status", "--watch", "200ms", interrupt_after=changed, env={"NO_COLOR": "1"})
    assert written
    assert ended.exit_code == 130
    assert "Traceback" not in ended.stdout


def test_watch_in_a_pipe(cli: Cli) -> None:
    """In a pipe --watch writes one document after the other."""
    process = cli.start("status", "--watch", "100ms", "-o", "json")
    assert process.stdout is not None
    first, second = (json.loads(process.stdout.readline()) for _ in range(2))
    assert first["now"] < second["now"]
    process.terminate()
    assert process.wait(10) == -15
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()


def test_without_a_database(bare_cli: Cli) -> None:
    """What cannot be read is an error: no database yet exits 8, an unreachable one 10, soon."""
    assert bare_cli.call("status").exit_code == 8
    began = time.monotonic()
    failed = bare_cli.call("status", env={"NOTIFYCTL_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"})
    assert failed.exit_code == 10
    assert time.monotonic() - began < 20


def test_what_became_of_messages_and_dispatchers_is_a_problem(cli: Cli, database: Database, now: int) -> None:
    """A dispatcher that vanished, receipts nobody asks for, mails that come back, a provider that mostly fails."""
    add_provider(cli)
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    anna = str(cli.call("users", "show", "anna", "-o", "json").ok().json()["id"])
    quiet = {"provider_failing", "dispatcher_vanished", "receipts_overdue", "bounced"}
    sent = {"status": "sent", "sent_at": now - 2 * HOUR, "created_at": now - 2 * HOUR}
    seed.pending(database, anna, count=6, **sent, receipt_due_at=now - 60_000)
    beating(database, now)
    assert not quiet & set(problems(cli))
    seed.pending(database, anna, count=6, **sent, receipt_due_at=now - HOUR)
    seed.pending(database, anna, count=6, **sent, bounced_at=now - HOUR)
    seed.pending(database, anna, count=7, status="failed", failed_at=now, created_at=now)
    beating(database, now - 2 * HOUR)
    found = problems(cli)
    assert quiet <= set(found)
    assert found["dispatcher_vanished"]["message"].startswith("dispatcher web1:7 vanished 2h")
    assert found["receipts_overdue"] | {"code": ""} == {
        "code": "",
        "message": "6 receipts are not asked for, the first for 1h",
        "hint": "notifyctl receipts poll",
    }
    assert found["bounced"]["message"] == "6 came back within 24 h, of 18 sent"
    assert found["provider_failing"]["message"] == "sendgrid: of the last hour's notifications 7 failed and 0 were sent"
    assert report(cli)["receipts"] == {"bounced_24h": 6, "overdue": 6}


def test_a_long_place_breaks_no_words(bare_cli: Cli) -> None:
    """Where the database's path leaves no room beside it, what is said of the database has a line of its own."""
    place = f"sqlite:///{bare_cli.home}/{'d' * (60 - len(str(bare_cli.home)) % 50)}.db"
    bare_cli.run("migrate", "up", env={"NOTIFYCTL_DATABASE_URL": place}).ok()
    wide = len(place) + 10
    shown = on_terminal(bare_cli, "status", columns=wide, env={"NOTIFYCTL_DATABASE_URL": place, "NO_COLOR": "1"})
    first, second = re.sub(r"\x1b\[\d*m", "", shown.stdout).splitlines()[:2]
    assert first.strip() == place
    assert re.fullmatch(r"schema ok  0 dispatchers  \w{3} \d\d:\d\d UTC", second.strip())
