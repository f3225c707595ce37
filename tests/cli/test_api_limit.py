"""How many calls a minute a user may make with API keys: counted by the second, over it exit 9, on both databases."""

from __future__ import annotations

import json
import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text, update

from notifyctl.core.errors import RateLimited
from notifyctl.core.model import Actor
from notifyctl.core.scope import Scope
from notifyctl.services.admission import Ask, admit
from notifyctl.store import calls
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, rate_limits
from tests.support import callers, seed
from tests.support.command import Cli, Result

LIMIT = 100
CALLERS = 16
MINUTE_MS = 60_000


@pytest.fixture(autouse=True)
def anna(database: Database) -> str:
    """A user anna."""
    return seed.user(database)


@pytest.fixture
def key(cli: Cli) -> str:
    """A key of hers for everything."""
    return made(cli)


def made(cli: Cli, user: str = "anna", *more: str) -> str:
    """Make a key and return it."""
    return cli.call("keys", "create", user, "--name", "ci", *more, "-o", "secret").ok().stdout.strip()


def acting(cli: Cli, secret: str, *args: str) -> Result:
    """Run a command with a key."""
    return cli.call(*(args or ("users", "list", "-o", "id")), env={"NOTIFYCTL_API_KEY": secret})


def limited(cli: Cli, number: int, user: str = "anna") -> None:
    """Limit a user's calls."""
    cli.call("limits", "set", user, "--type", "api", "--per-minute", str(number)).ok()


def slots(database: Database) -> list[tuple[int, int]]:
    """Return what is counted of calls."""
    r = rate_limits.c
    with database.read() as tx:
        found = select(r.window_start, r.request_count).where(r.limit_type == "api").order_by(r.window_start)
        return [(row[0], row[1]) for row in tx.execute(found)]


def moved(database: Database, by_ms: int) -> None:
    """Let the calls so far have been so much earlier."""
    r = rate_limits.c
    database.write(lambda tx: tx.execute(update(rate_limits).values(window_start=r.window_start - by_ms)))


def test_what_is_over_the_limit_is_refused(cli: Cli, database: Database, key: str) -> None:
    """Exit 9 with when to try again, nothing done, nothing counted; a command is one call, whatever it does."""
    limited(cli, 3)
    for name in ("b", "c", "d"):
        acting(cli, key, "users", "create", name, "--email", f"{name}@example.org").ok()
    with database.read() as tx:
        trail = tx.execute(select(func.count()).select_from(audit_logs)).scalar_one()
    for _ in range(3):
        refused = acting(cli, key, "users", "create", "e", "--email", "e@example.org", "-o", "json")
        assert (refused.exit_code, refused.stdout) == (9, "")
        problem = json.loads(refused.stderr)["error"]
        assert problem["code"] == "rate_limited" and "anna may make 3 calls a minute" in problem["message"]
        assert 0 < problem["retry_after_ms"] <= 61_000 and "try again in" in problem["hint"]
    assert acting(cli, key).stderr.startswith("error: anna may make 3 calls a minute")
    assert sum(number for _, number in slots(database)) == 3
    with database.read() as tx:
        assert tx.execute(select(func.count()).select_from(audit_logs)).scalar_one() == trail
    (shown,) = (row for row in cli.call("limits", "show", "anna", "-o", "json").json() if row["limit_type"] == "api")
    assert (shown["per_minute"], shown["source"], shown["used"]) == (3, "user", 3)


def test_the_current_second_and_the_sixty_before_it_decide(cli: Cli, database: Database, key: str, anna: str) -> None:
    """Sixty in all would let twice the limit through in 59 s: what is 60 seconds old still counts, 61 no more."""
    limited(cli, 2)
    acting(cli, key).ok()
    acting(cli, key).ok()
    assert acting(cli, key).exit_code == 9
    moved(database, 59_000)
    assert acting(cli, key).exit_code == 9
    moved(database, 10_000)
    acting(cli, key).ok()
    with database.read() as tx:
        now, found = tx.now, calls.slots(tx.at(tx.now), anna)
    assert [number for second, number in found if now // 1_000 - second > 60] == []


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_the_edge_is_exact(database_url: str, key: str) -> None:
    """With the clock in hand: at 60.999 s it still counts, at 61.000 s no more, and the refusal said so."""
    clock = Clock(1_900_000_000_000)
    database = Database(database_url, clock=clock)
    assert let_in(database, key, 1)
    clock.now += 60_999
    with pytest.raises(RateLimited) as refused:
        admit(database, key, Actor(agent="test"), Ask(Scope.STATUS_READ, 1), demanded=False)
    assert refused.value.facts == {"retry_after_ms": 1}
    clock.now += 1
    assert let_in(database, key, 1)
    database.close()


def test_whose_calls_count(cli: Cli, database: Database, key: str) -> None:
    """All keys of a user together, nobody else's; no operator's, and none that is refused for anything else."""
    seed.user(database, "bert")
    other, narrow = made(cli, "bert"), made(cli, "anna", "--scope", "keys:read")
    limited(cli, 2)
    assert acting(cli, narrow).exit_code == 4
    assert slots(database) == []
    acting(cli, narrow, "keys", "list").ok()
    acting(cli, key).ok()
    assert (acting(cli, key).exit_code, acting(cli, narrow, "keys", "list").exit_code) == (9, 9)
    for _ in range(4):
        acting(cli, other).ok()
        cli.call("users", "list").ok()
    assert acting(cli, key, "keys", "scopes").exit_code == 0  # works on no database


def test_the_profile_limits_who_has_no_limit_of_their_own(cli: Cli, database: Database, key: str) -> None:
    """A user's own limit stands above it; taken back, the profile's holds again."""
    (cli.home / "c.toml").write_text("[policy]\napi_limit = 1\n")
    given = ("users", "list", "--config", "c.toml")
    acting(cli, key, *given).ok()
    assert acting(cli, key, *given).exit_code == 9
    limited(cli, 3)
    acting(cli, key, *given).ok()
    acting(cli, key, *given).ok()
    assert acting(cli, key, *given).exit_code == 9
    back = cli.call(
        "limits", "set", "anna", "--type", "api", "--per-minute", "none", "--config", "c.toml", "-o", "json"
    )
    assert (back.ok().json()["per_minute"], back.json()["source"]) == (1, "profile")
    acting(cli, key).ok()  # of another configuration, which has none
    for text_, words in (("0", "calls a minute"), ("'9'", "not '9'"), ("true", "not True")):
        (cli.home / "c.toml").write_text(f"[policy]\napi_limit = {text_}\n")
        refused = cli.call(*given)
        assert (refused.exit_code, words in refused.stderr) == (2, True)


def test_a_fixture_says_it_too(cli: Cli, key: str) -> None:
    """A limit of calls is a limit as any other: applied, listed, dumped, and applied again it changes nothing."""
    (cli.home / "f.yaml").write_text("limits:\n  - {user: anna, type: api, per_minute: 2}\n")
    cli.call("fixtures", "apply", "-f", "f.yaml").ok()
    (row,) = cli.call("limits", "list", "-o", "json").ok().json()
    assert (row["username"], row["limit_type"], row["per_minute"]) == ("anna", "api", 2)
    assert "type: api" in cli.call("fixtures", "dump").ok().stdout
    assert cli.call("fixtures", "apply", "-f", "f.yaml", "--dry-run", "--exit-code").exit_code == 0
    codes = [acting(cli, key).exit_code for _ in range(3)]
    assert codes == [0, 0, 9]


def test_old_slots_are_removed(cli: Cli, database: Database, key: str, anna: str) -> None:
    """A user who calls for years leaves a minute's rows; so does one who never comes again, after a sweep."""
    limited(cli, LIMIT)
    with database.read() as tx:
        second = tx.now // 1_000 * 1_000
    rows = [(second - ago * 1_000, kind) for ago in (61, 130, 9_000, -9_000) for kind in ("api", "notification")]
    values = [
        {"id": str(uuid.uuid4()), "user_id": anna, "window_start": at, "limit_type": kind, "request_count": 5}
        for at, kind in rows
    ]
    database.write(lambda tx: tx.execute(insert(rate_limits), values))
    acting(cli, key).ok()
    assert [at for at, _ in slots(database) if at < second - 122_000 or at > second + 122_000] == []
    assert sum(number for at, number in slots(database) if at >= second) == 1
    database.write(lambda tx: calls.drop_forgotten(tx.at(tx.now + 3_600_000)))
    assert slots(database) == []


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_standby_answers_though_it_cannot_count(cli: Cli, database: Database, key: str) -> None:
    """Where nothing can be written nothing can be changed either: who may look is let in."""
    limited(cli, 1)
    name = database.url.database
    database.write(lambda tx: tx.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')))
    assert [acting(cli, key).exit_code for _ in range(2)] == [0, 0]


# Together


@dataclass
class Clock:
    """A clock that a test sets, in milliseconds."""

    now: int

    def __call__(self) -> int:
        return self.now


def let_in(database: Database, secret: str, limit: int = LIMIT) -> bool:
    """Call once; return whether it was let in."""
    try:
        admit(database, secret, Actor(agent="test"), Ask(Scope.STATUS_READ, limit), demanded=False)
    except RateLimited:
        return False
    return True


def most_in_a_minute(moments: list[int]) -> int:
    """Return how many there were at most within any 60 seconds."""
    ordered, first, most = sorted(moments), 0, 0
    for last, at in enumerate(ordered):
        while at - ordered[first] >= MINUTE_MS:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_callers_at_once_do_not_exceed_it(cli: Cli, database_url: str, database: Database, key: str) -> None:
    """Who counts holds the user's lock: of 16 that ask at the same moment as many get in as may."""
    with ThreadPoolExecutor(CALLERS) as pool:
        databases = [Database(database_url) for _ in range(CALLERS)]
        done = list(pool.map(lambda one: [let_in(one, key, 40) for _ in range(4)], databases))
    for each in databases:
        each.close()
    assert sum(map(sum, done)) == 40 == sum(number for _, number in slots(database))


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_ten_minutes_of_sixteen_callers(database_url: str, key: str) -> None:
    """Never over the limit in any 60 s, and no less than 95 of 100 a minute: what they wait for is what there is."""
    clock, chance = Clock(1_900_000_000_123), random.Random(4)
    database, began = Database(database_url, clock=clock), clock.now
    let, due = [], [clock.now + chance.randrange(60_000) for _ in range(CALLERS)]
    while min(due) < began + 10 * MINUTE_MS:
        who = due.index(min(due))
        clock.now = due[who]
        try:
            admit(database, key, Actor(agent="test"), Ask(Scope.STATUS_READ, LIMIT), demanded=False)
        except RateLimited as error:
            due[who] += error.facts["retry_after_ms"] + chance.randrange(50)
        else:
            let.append(clock.now)
            due[who] += chance.randrange(1, 400)
    database.close()
    assert most_in_a_minute(let) <= LIMIT
    assert len(let) >= 95 * 10


@pytest.mark.full
def test_ten_minutes_of_sixteen_processes(cli: Cli, database_url: str, key: str, tmp_path: Path) -> None:
    """The same for real: by the database's own clock, with processes that ask as often as they like."""
    processes = [callers.start(database_url, key, LIMIT, 10 * 60) for _ in range(CALLERS)]
    let = [int(at) for each in processes for at in each.communicate(timeout=11 * 60)[0].split()]
    seconds = [at // 1_000 * 1_000 for at in let]
    assert most_in_a_minute(seconds) <= LIMIT
    assert len(let) >= 95 * 10
