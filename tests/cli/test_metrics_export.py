"""`metrics export`: what monitoring reads, checked by the reader that Prometheus' own library has."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from notifyctl.store.db.database import Database
from tests.support import letters, seed
from tests.support.command import Cli

HOUR = 3_600_000
DAY = 24 * HOUR


def read(text: str) -> Mapping[tuple[str, ...], float]:
    """Return the samples: by name and the values of the labels, in the order of the labels' names."""
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len({*names})
    assert all(family.documentation and family.name.startswith("notifyctl_") for family in families)
    return {
        (
            sample.name.removeprefix("notifyctl_"),
            *(sample.labels[label] for label in sorted(sample.labels)),
        ): sample.value
        for family in families
        for sample in family.samples
    }


def exported(cli: Cli) -> Mapping[tuple[str, ...], float]:
    """Return what the command prints."""
    return read(cli.call("metrics", "export").ok().stdout)


def ever(cli: Cli) -> list[float]:
    """Return sent, delivered, bounced and failed of e-mail through sendgrid."""
    found = exported(cli)
    names = ("sent_total", "delivered_total", "bounced_total", "failed")
    return [found[name, "email", "sendgrid"] for name in names]


@pytest.fixture
def past(cli: Cli, database: Database) -> str:
    """Sent and failed notifications of three days, the first long ago; the user's name."""
    anna = seed.user(database, "anna")
    now = database.moment()
    for moment, count in ((now - 40 * DAY, 5), (now - 2 * DAY, 3), (now, 2)):
        seed.pending(database, anna, count=count, status="sent", created_at=moment, sent_at=moment, delivered_at=moment)
    seed.pending(database, anna, count=2, status="sent", created_at=now - DAY, sent_at=now, bounced_at=now)
    seed.pending(database, anna, count=4, status="failed", created_at=now - 40 * DAY)
    return "anna"


def test_counts_never_go_back(cli: Cli, past: str) -> None:
    """Prometheus takes a count that becomes less for one begun anew: roll-ups and deletions must not do that."""
    assert ever(cli) == [12, 10, 2, 4]
    cli.call("metrics", "rollup").ok()
    assert ever(cli) == [12, 10, 2, 4]
    cli.call("users", "delete", past, "--yes").ok()
    assert ever(cli) == [12, 10, 2, 4]
    cli.call("metrics", "rollup").ok()
    assert ever(cli) == [12, 10, 2, 4]


def test_what_changes_in_an_old_hour(cli: Cli, database: Database, past: str) -> None:
    """A change in hours that are rolled up counts before the next roll-up, and after it."""
    cli.call("metrics", "rollup").ok()
    anna = cli.call("users", "show", past, "-o", "id").ok().stdout.strip()
    [id_] = letters.dead(database, anna, created_at=database.moment() - DAY)
    cli.call("metrics", "rollup", "--since", "3d ago").ok()
    before = ever(cli)
    cli.call("dlq", "retry", id_, "--yes").ok()
    assert ever(cli) == [*before[:3], before[3] - 1]
    cli.call("metrics", "rollup").ok()
    assert ever(cli) == [*before[:3], before[3] - 1]


def test_what_waits_and_who_does_what(cli: Cli, database: Database) -> None:
    """By state and provider, zeros too, so that an alarm has something to look at; moments in seconds."""
    for name in ("sendgrid", "twilio"):
        seed.provider(database, name)
    anna = seed.user(database, "anna")
    due = database.moment() - 2 * HOUR
    seed.pending(database, anna, count=3, created_at=due, due_at=due)
    cli.call("providers", "pause", "twilio", "--reason", "works").ok()
    found = exported(cli)
    assert found["pending", "sendgrid", "due"] == 3
    assert found["pending", "twilio", "held"] == 0
    assert found["pending_first_due_timestamp_seconds", "due"] == due / 1_000
    assert (found["pending_over_1h",], found["pending_unexplained",], found["dispatchers",]) == (3, 3, 0)
    assert (found["provider_state", "sendgrid", "ok"], found["provider_state", "sendgrid", "paused"]) == (1, 0)
    assert (found["provider_state", "twilio", "ok"], found["provider_state", "twilio", "paused"]) == (0, 1)
    codes = {problem["code"] for problem in cli.call("status", "-o", "json").ok().json()["problems"]}
    assert codes == {key[1] for key in found if key[0] == "problems"}


def test_rules_and_webhooks(cli: Cli, database: Database) -> None:
    """What a rule put off, dead letters, and what webhooks still have to be told."""
    anna = seed.user(database, "anna")
    now = database.moment()
    (id_, _) = seed.pending(database, anna, count=2, due_at=now + HOUR, deferred_by="quiet_hours")
    seed.owed(database, seed.webhook(database, anna), id_, count=2, created_at=1_500)
    letters.dead(database, anna)
    found = exported(cli)
    assert found["deferred", "quiet_hours"] == 2
    assert (found["webhooks", "active"], found["webhook_deliveries_waiting",]) == (1, 2)
    assert found["webhook_first_undelivered_timestamp_seconds",] == 1.5
    assert found["dead_letters",] == 1


def test_nothing_is_there_yet(cli: Cli) -> None:
    """An empty database has numbers, too."""
    found = exported(cli)
    assert (found["dead_letters",], found["dispatchers",], found["webhooks", "failing"]) == (0, 0, 0)
    assert found["conditions", "provider_open"] == 0


def test_a_file_for_collectors(cli: Cli) -> None:
    """Whole or not at all, and readable by the collector, another user; cron hears nothing."""
    file = cli.home / "notifyctl.prom"
    file.write_text("before")
    done = cli.call("metrics", "export", "--format", "prometheus", "--output", str(file)).ok()
    assert (done.stdout, done.stderr) == ("", "")
    assert read(file.read_text())["dead_letters",] == 0
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask
    assert [each.name for each in cli.home.iterdir() if each.name.endswith(".part")] == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--format", "influx"), "prometheus"),
        (("-o", "json"), "plain"),
        (("--output", "nowhere/x.prom"), "nowhere"),
        (("--output", "json"), "--output"),
    ],
)
def test_what_cannot_be_meant(cli: Cli, args: tuple[str, ...], words: str) -> None:
    """Told with the way out, and no file is left."""
    failed = cli.call("metrics", "export", *args)
    assert (failed.exit_code, failed.stdout) == (2, "")
    assert words in failed.stderr
