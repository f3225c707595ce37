"""Each gate through the command line: `explain` says what `dispatch` then does.

Rules are set after the notifications were submitted, and the claim goes by them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import categories
from tests.support import midday, oracle, seed
from tests.support.command import Cli
from tests.support.scripted import Asked, Peer, Scripted, reply
from tests.support.threefold import add_providers

pytestmark = pytest.mark.slow

SPREAD_MS = 15 * 60_000
MINUTE_MS = 60_000


@dataclass(frozen=True)
class Case:
    """A user with two notifications that are alike, and what stands against them."""

    zone: str = "Etc/UTC"
    expired: bool = False
    no_address: bool = False
    suppressed: bool = False
    disabled: bool = False
    left: bool = False
    category: str | None = None
    quiet: bool = False
    cap: bool = False
    limit: bool = False
    critical: bool = False


@dataclass(frozen=True)
class Fate:
    """What is to become of a notification; `until` is the first moment at which it may go out."""

    status: str
    rule: str | None = None
    reason: str = ""
    until: int = 0
    allowed: Sequence[oracle.Condition] = field(default=(), compare=False)


SENT = Fate("sent")
ALONE = (
    Case(),
    Case(expired=True),
    Case(no_address=True),
    Case(suppressed=True),
    Case(disabled=True),
    Case(left=True, category="news"),
    Case(left=True, category="bills"),
    Case(category="news", zone="Asia/Kolkata"),
    Case(category="bills", zone="Asia/Kolkata"),
    Case(category="news", zone="Asia/Kolkata", critical=True),
    Case(quiet=True, zone="Asia/Kathmandu"),
    Case(quiet=True, critical=True),
    Case(cap=True),
    Case(cap=True, critical=True),
    Case(limit=True),
    Case(limit=True, critical=True),
)
"""Each gate alone, and who passes it."""


def hours(at: int, zone: str, begin: int, end: int) -> tuple[int, int]:
    """Return the minutes of the day that are so many hours from a moment, by a zone's clock."""
    wall = oracle.moment(at).astimezone(oracle.zone(zone))
    first, last = ((wall + timedelta(hours=each)).replace(second=0, microsecond=0) for each in (begin, end))
    return first.hour * 60 + first.minute, last.hour * 60 + last.minute


class Flow:
    """The program on a database, with a provider of mails."""

    def __init__(self, cli: Cli, database: Database) -> None:
        self.cli = cli
        self.database = database
        self.taken: list[bytes] = []
        self.now = int(time.time() * 1_000)
        self.window = oracle.ContactHours(((0, 6, *hours(self.now, "Etc/UTC", -2, 2)),))
        text = str(self.window).split(" ")[1]
        path = cli.home / "config.toml"
        path.write_text(f'[policy.contact_windows]\n"*" = {{ email = "{text}" }}\n')
        cli.env["NOTIFYCTL_CONFIG"] = str(path)

    def answer(self, asked: Asked) -> Callable[[Peer], Any]:
        """Take a mail."""
        self.taken.append(asked.body)
        return lambda peer: peer.say(reply(202))

    def ok(self, *args: str) -> str:
        """Run a command that has to succeed, and return what it printed."""
        return self.cli.call(*args).ok().stdout.strip()

    def submit(self, number: int, case: Case) -> list[str]:
        """Make a user, and submit what the user is to get."""
        name, sms = f"user{number}", case.no_address
        self.ok("users", "create", name, "--email", f"{name}@example.org")
        if sms:
            self.ok("users", "contacts", "add", name, "sms", self.number(number))
        what = ("sms",) if sms else ("email", "--subject", "s")
        more = [*(["--expires-in", "1s"] if case.expired else []), *(["--critical"] if case.critical else [])]
        more += ["--category", case.category] if case.category else []
        return [self.ok("send", name, "--channel", *what, "--body", "b", *more, "-o", "id") for _ in range(2)]

    def explain(self, *ids: str) -> list[dict[str, Any]]:
        """Return what is explained of notifications."""
        return [dict(each) for each in json.loads(self.ok("notifications", "explain", *ids, "-o", "json"))]

    def rule(self, number: int, case: Case) -> None:
        """Set the rules of a user."""
        name, channel = f"user{number}", "sms" if case.no_address else "email"
        begin, end = hours(self.now, case.zone, -2, 3) if case.quiet else hours(self.now, case.zone, 3, 6)
        wishes = ["--timezone", case.zone, "--quiet", str(oracle.QuietHours(begin, end))]
        wishes += ["--cap", "1"] if case.cap else []
        self.ok("prefs", "set", name, channel, *wishes, *(["--disable"] if case.disabled else []))
        if case.limit:
            self.ok("limits", "set", name, "--per-minute", "1")
        if case.left and case.category:
            self.ok("prefs", "opt-out", name, case.category)
        if case.suppressed:
            self.ok("suppressions", "add", "email", f"{name}@example.org", "--reason", "asked")
        if case.no_address:
            self.ok("users", "contacts", "remove", name, "sms", self.number(number))

    @staticmethod
    def number(number: int) -> str:
        """Return the telephone number of a user."""
        return f"+1415555{2300 + number}"

    # What the oracle says

    def fates(self, case: Case, at: int) -> list[Fate]:
        """Return what is to become of both, judged at a moment."""
        ended = self._ended(case)
        if ended is not None:
            return [ended, ended]
        windows: list[oracle.Condition] = [(case.zone, self.window)] if case.category == "news" else []
        begin, end = hours(self.now, case.zone, -2, 3)
        quiet: list[oracle.Condition] = (
            [(case.zone, oracle.QuietHours(begin, end))] if case.quiet and not case.critical else []
        )
        if not oracle.allows(windows, at):
            return [self._later("contact_window", "outside the contact window", [*windows, *quiet], at)] * 2
        if quiet:
            return [self._later("quiet_hours", "quiet hours", [*windows, *quiet], at)] * 2
        if case.cap and not case.critical:
            today = oracle.moment(at).astimezone(oracle.zone(case.zone)).date()

            def tomorrow(wall: datetime) -> bool:
                return wall.date() > today

            awake: oracle.Condition = (case.zone, oracle.QuietHours(*hours(self.now, case.zone, 3, 6)))
            rules = [*windows, awake, (case.zone, tomorrow)]
            return [SENT, self._later("cap", "the user's cap of 1 a day is reached", rules, at)]
        if case.limit:
            return [SENT, Fate("pending", "limit", "the user's limit of 1 a minute is reached", at)]
        return [SENT, SENT]

    @staticmethod
    def _ended(case: Case) -> Fate | None:
        left = case.left and case.category is not None
        for stands, status, reason in (
            (case.expired, "cancelled", "expired before it was sent"),
            (case.no_address, "failed", "no address"),
            (case.suppressed, "cancelled", "the address is suppressed"),
            (case.disabled, "cancelled", "the user has disabled"),
            (left, "cancelled", f"the user has left the category {case.category}"),
        ):
            if stands:
                return Fate(status, None, reason)
        return None

    @staticmethod
    def _later(rule: str, reason: str, rules: Sequence[oracle.Condition], at: int) -> Fate:
        until = oracle.first_allowed(rules, at, days=3)
        assert until is not None
        return Fate("pending", rule, reason, until, rules)


@pytest.fixture
def flow(cli: Cli, database: Database) -> Iterator[Flow]:
    """The program with a provider of mails, one of texts that is never asked, and two categories."""
    made = Flow(cli, database)
    with ExitStack() as stack:
        server = stack.enter_context(Scripted(made.answer))
        add_providers(cli, server.url, "sendgrid", "twilio")
        made.ok("categories", "create", "news", "--kind", "marketing")
        made.ok("categories", "create", "bills")
        yield made


def test_dispatch_does_what_explain_says(flow: Flow, database: Database) -> None:
    """Of two notifications of each user it is what an oracle says: status, rule, moment and reason."""
    cases = [case for case in ALONE if not _nearly_midnight(case.zone)]
    ids = [flow.submit(number, case) for number, case in enumerate(cases)]
    for number, case in enumerate(cases):
        flow.rule(number, case)
    time.sleep(1.1)  # what expires within a second has
    before = int(time.time() * 1_000)
    said = flow.explain(*(first for first, _ in ids))
    flow.ok("dispatch", "--once")
    after = int(time.time() * 1_000)
    sent = 0
    for case, pair, told in zip(cases, ids, said, strict=True):
        wanted = flow.fates(case, before)
        rows = sorted((seed.notification(database, each) for each in pair), key=lambda row: row.status != "sent")
        _check_said(told, wanted[0], rows[0])
        sent += sum(fate is SENT for fate in wanted)
        assert [(row.status, row.deferred_by) for row in rows] == [(each.status, each.rule) for each in wanted], case
        for fate, row in zip(wanted, rows, strict=True):
            assert fate is SENT or fate.reason in (row.error_message or ""), (case, row.error_message)
            _check_moment(fate, row, case, after)
    assert len(flow.taken) == sent


def _check_said(told: dict[str, Any], fate: Fate, row: Any) -> None:
    """Of the one that was judged first `explain` had the verdict, with the reason that was then written down."""
    words = {"sent": "send", "pending": "defer", "cancelled": "cancel", "failed": "fail"}
    assert told["verdict"] == words[fate.status], told
    if fate.reason:
        assert told["reason"] == row.error_message, told
    if fate.until:
        assert oracle.ms(datetime.fromisoformat(told["until"])) == fate.until, told


def _check_moment(fate: Fate, row: Any, case: Case, after: int) -> None:
    """The stored moment is the first allowed one, or up to a quarter of an hour later and allowed as well."""
    if fate.rule == "limit":
        assert fate.until < row.due_at <= after + MINUTE_MS + 2_000, case
    elif fate.rule is not None:
        assert fate.until <= row.due_at < fate.until + SPREAD_MS, case
        assert oracle.allows(fate.allowed, row.due_at), case


def _nearly_midnight(zone: str) -> bool:
    """Return whether another day may begin there before the test has ended."""
    wall = datetime.now(oracle.zone(zone))
    return (wall.hour, wall.minute) >= (23, 45)


def test_a_loosened_rule_lets_out_what_it_put_off(flow: Flow) -> None:
    """Of quiet hours, of a cap and of a limit: taken back, the next run sends the rest."""
    cases = (Case(quiet=True), Case(cap=True, zone=midday.zone()), Case(limit=True))
    for number, case in enumerate(cases):
        flow.submit(number, case)
        flow.rule(number, case)
    flow.ok("dispatch", "--once")
    assert len(flow.taken) == 2
    flow.ok("prefs", "set", "user0", "email", "--quiet", "none")
    flow.ok("prefs", "set", "user1", "email", "--cap", "none")
    flow.ok("limits", "set", "user2", "--per-minute", "none")
    flow.ok("dispatch", "--once")
    assert len(flow.taken) == 6


def test_another_contact_window_lets_out_what_the_old_one_put_off(flow: Flow) -> None:
    """The next dispatcher has another policy: what that put off by the old one is judged by the new one and sent."""
    case = Case(category="news", zone="Asia/Tokyo")
    flow.submit(0, case)
    flow.rule(0, case)
    flow.ok("dispatch", "--once")
    assert flow.taken == []
    (flow.cli.home / "config.toml").write_text('[policy.contact_windows]\n"*" = { email = "00:00-24:00" }\n')
    flow.ok("dispatch", "--once")
    assert len(flow.taken) == 2


def test_of_a_category_that_is_gone_windows_hold_until_its_kind_is_said_again(flow: Flow, database: Database) -> None:
    """What another program wrote, or is tried again, of a name that there is no more: the stricter kind's rules."""
    case = Case(category="bills", zone="Asia/Tokyo")
    ids = flow.submit(0, case)
    flow.rule(0, case)
    database.write(lambda tx: tx.execute(delete(categories).where(categories.c.name == "bills")))
    flow.ok("dispatch", "--once")
    assert flow.taken == []
    assert {seed.notification(database, each).deferred_by for each in ids} == {"contact_window"}
    flow.ok("categories", "create", "bills")
    flow.ok("dispatch", "--once")
    assert len(flow.taken) == 2


def test_a_category_of_another_kind_lets_out_what_its_windows_put_off(flow: Flow) -> None:
    """What is no marketing any more obeys no contact window; another description changes nothing."""
    case = Case(category="news", zone="Asia/Tokyo")
    flow.submit(0, case)
    flow.rule(0, case)
    flow.ok("dispatch", "--once")
    flow.ok("categories", "update", "news", "--description", "What is new")
    flow.ok("dispatch", "--once")
    assert flow.taken == []
    flow.ok("categories", "update", "news", "--kind", "transactional")
    flow.ok("dispatch", "--once")
    assert len(flow.taken) == 2
