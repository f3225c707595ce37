"""`fixtures` on the command line, on both databases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import func, select

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, contact_points, metadata, notification_preferences, users
from tests.support import seed
from tests.support.command import Cli, Result

PEOPLE = """\
users:
  - username: anna
    email: anna@Example.org
    language: no
    contacts:
      - {channel: sms, address: +447700900123}
    preferences:
      - {channel: sms, enabled: no, cap: 3, quiet: 22:30-07:00, timezone: Europe/London}
  - {username: bob, email: bob@example.org}
"""


def apply(cli: Cli, text: str | bytes, *args: str) -> Result:
    """Apply a fixture from stdin."""
    return cli.call("fixtures", "apply", "-f", "-", *args, input=text)


def changes(result: Result) -> list[tuple[str, str, str]]:
    """Return what changed: kind, name and action."""
    return [(each["kind"], each["name"], each["action"]) for each in result.ok().json()]


def counts(database: Database) -> dict[str, int]:
    """Return how many rows each table has."""
    with database.read() as tx:
        return {
            each.name: tx.execute(select(func.count()).select_from(each)).scalar_one()
            for each in metadata.sorted_tables
        }


def test_applied_twice_it_changes_nothing_and_says_so(cli: Cli, database: Database) -> None:
    """A fixture is declarative: the second run writes no row, no audit row among them."""
    first = changes(apply(cli, PEOPLE, "-o", "json"))
    assert first == [
        ("users", "anna", "create"),
        ("users", "bob", "create"),
        ("contacts", "anna sms +447700900123", "create"),
        ("preferences", "anna sms", "create"),
    ]
    before = counts(database)
    second = apply(cli, PEOPLE, "-o", "json")
    assert changes(second) == []
    assert second.stderr == "4 unchanged\n"
    assert counts(database) == before


def test_scalars_are_what_they_look_like(cli: Cli, database: Database) -> None:
    """What YAML 1.1 takes for booleans, sexagesimals and octals is read by the field's type."""
    apply(cli, PEOPLE).ok()
    with database.read() as tx:
        assert tx.execute(select(users.c.language).where(users.c.username == "anna")).scalar_one() == "no"
        assert tx.execute(select(contact_points.c.address)).scalar_one() == "+447700900123"
        said = tx.execute(select(notification_preferences)).one()
    assert (said.enabled, said.frequency_cap, str(said.quiet_hours_start), said.timezone) == (
        False, 3, "22:30:00", "Europe/London",
    )  # fmt: skip


def test_a_changed_file_changes_just_that_and_shows_both_values(cli: Cli, database: Database) -> None:
    """Only the field that differs is written and told, and the audit row has it as the command's would."""
    apply(cli, PEOPLE).ok()
    [changed] = apply(cli, PEOPLE.replace("cap: 3", "cap: 4"), "-o", "json").ok().json()
    assert (changed["action"], changed["fields"]) == ("update", {"cap": [3, 4]})
    shown = apply(cli, PEOPLE.replace("cap: 3", "cap: 5").replace("language: no", "language: de"))
    assert shown.stdout == "~ user anna\n    language  no -> de\n~ preference anna sms\n    cap  4 -> 5\n"
    with database.read() as tx:
        told = select(audit_logs.c.action, audit_logs.c.changes).where(audit_logs.c.resource_type == "preference")
        rows = tx.execute(told.order_by(audit_logs.c.created_at)).all()
    assert [json.loads(row.changes).get("frequency_cap") for row in rows] == [[None, 3], [3, 4], [4, 5]]
    assert {row.action for row in rows} == {"update"}


def test_a_line_that_is_taken_away_is_taken_back(cli: Cli) -> None:
    """A thing is described wholly: without its line a field has its default again."""
    apply(cli, PEOPLE).ok()
    [changed] = apply(cli, PEOPLE.replace("    language: no\n", ""), "-o", "json").ok().json()
    assert changed["fields"] == {"language": ["no", None]}


def test_a_dry_run_is_exact_and_leaves_nothing(cli: Cli, database: Database) -> None:
    """It says what the real one does, writes no row at all, and with --exit-code answers."""
    before = counts(database)
    dry = apply(cli, PEOPLE, "--dry-run", "-o", "json")
    assert counts(database) == before
    asked = apply(cli, PEOPLE, "--dry-run", "--exit-code")
    assert (asked.exit_code, "4 changes would be made" in asked.stderr) == (7, True)
    real = apply(cli, PEOPLE, "-o", "json")
    assert [each | {"id": None} for each in dry.json()] == [each | {"id": None} for each in real.ok().json()]
    assert apply(cli, PEOPLE, "--dry-run", "--exit-code").exit_code == 0
    assert apply(cli, PEOPLE, "--exit-code").exit_code == 2


def test_a_dry_run_finds_what_the_real_one_would(cli: Cli, database: Database) -> None:
    """An address that somebody else has is refused by both, with the line."""
    seed.user(database, "carol")
    text = "users:\n- username: dora\n  email: carol@example.org\n"
    for more in ((), ("--dry-run",)):
        refused = apply(cli, text, *more)
        assert refused.exit_code == 5
        assert "-:3:3: users[0].email: carol@example.org belongs to the user carol" in refused.stderr


def test_two_people_swap_addresses_in_any_order(cli: Cli) -> None:
    """One transaction, whatever order the file has: that an address is unique at any moment is no obstacle."""
    apply(cli, PEOPLE).ok()
    swapped = (
        "users:\n- {username: bob, email: anna@example.org}\n- {username: anna, email: bob@example.org, language: no}\n"
    )
    assert len(apply(cli, swapped, "-o", "json").ok().json()) == 2
    passed_on = (
        "users:\n- {username: new, email: bob@example.org}\n- {username: anna, email: a@example.org, language: no}\n"
    )
    assert len(apply(cli, passed_on, "-o", "json").ok().json()) == 2
    assert cli.call("users", "show", "new", "-o", "json").ok().json()["email"] == "bob@example.org"


def test_all_flaws_are_told_at_once_and_nothing_is_written(cli: Cli, database: Database) -> None:
    """Each with file, line and field, the probable name for one that there is not; also for programs."""
    text = """\
user: []
users:
  - username: anna
    email: nonsense
    langage: de
    preferences:
      - {channel: fax, cap: 010}
      - {channel: sms, cap: 1_000, quiet: 22:30, timezone: Europe/Londn}
  - username: bob
"""
    before = counts(database)
    refused = apply(cli, text)
    assert (refused.exit_code, refused.stdout) == (2, "")
    lines = refused.stderr.splitlines()
    assert [line.split(": ")[:2] for line in lines[:-1]] == [
        ["-:1:1", "user"],
        ["-:4:12", "users[0].email"],
        ["-:5:5", "users[0].langage"],
        ["-:7:19", "users[0].preferences[0].channel"],
        ["-:7:29", "users[0].preferences[0].cap"],
        ["-:8:29", "users[0].preferences[1].cap"],
        ["-:8:43", "users[0].preferences[1].quiet"],
        ["-:8:60", "users[0].preferences[1].timezone"],
        ["-:9:5", "users[1].email"],
    ]
    assert "did you mean users?" in lines[0]
    assert "did you mean language?" in lines[2]
    assert lines[-1] == "error: 9 things are wrong in the fixture; nothing was done"
    told = json.loads(apply(cli, text, "-o", "json").stderr)["error"]
    assert told["code"] == "usage"
    assert told["problems"][1]["line"] == 4
    assert counts(database) == before


def test_a_folder_is_one_fixture_and_names_both_places_of_what_is_there_twice(cli: Cli, tmp_path: Path) -> None:
    """Its files are read in the order of their names; others are left alone."""
    folder = tmp_path / "fixtures"
    folder.mkdir()
    (folder / "b.yml").write_text("users:\n- {username: bob, email: bob@example.org}\n")
    (folder / "a.json").write_text('{\n\t"users": [{"username": "anna", "email": "anna@example.org"}]}')
    (folder / "notes.txt").write_text("none")
    made = cli.call("fixtures", "apply", "-f", str(folder), "-o", "json")
    assert changes(made) == [("users", "anna", "create"), ("users", "bob", "create")]
    (folder / "c.yaml").write_text("users:\n- {username: anna, email: other@example.org}\n")
    refused = cli.call("fixtures", "apply", "-f", str(folder))
    assert refused.exit_code == 2
    assert (
        f"{folder}/c.yaml:2:3: users[0]: the user anna is there twice, first at {folder}/a.json:2:12" in refused.stderr
    )
    (tmp_path / "empty").mkdir()
    assert cli.call("fixtures", "apply", "-f", str(tmp_path / "empty")).exit_code == 3
    assert cli.call("fixtures", "apply", "-f", str(tmp_path / "none.yaml")).exit_code == 3


def test_prune_removes_what_the_label_made_and_nothing_else(cli: Cli, database: Database) -> None:
    """What was there before, what others made and what is still in the file stays; it asks."""
    seed.user(database, "carol")
    labelled = f"label: ci\n{PEOPLE}  - {{username: carol, email: carol@example.org}}\n"
    apply(cli, labelled).ok()
    apply(cli, "label: other\nusers: [{username: dora, email: dora@example.org}]").ok()
    less = "label: ci\nusers: [{username: anna, email: anna@example.org, language: no}]"
    assert changes(apply(cli, less, "-o", "json")) == []
    unasked = apply(cli, less, "--prune")
    assert unasked.exit_code == 2
    assert "delete user bob" in unasked.stderr
    assert apply(cli, less, "--prune", "--expect", "2").exit_code == 5
    dry = changes(apply(cli, less, "--prune", "--dry-run", "-o", "json"))
    done = changes(apply(cli, less, "--prune", "--expect", "3", "-o", "json"))
    assert done == dry == [
        ("preferences", "anna sms", "delete"),
        ("contacts", "anna sms +447700900123", "delete"),
        ("users", "bob", "delete"),
    ]  # fmt: skip
    left = cli.call("users", "list", "-o", "csv", "--fields", "username").ok().stdout.split()
    assert sorted(left) == ["anna", "carol", "dora", "username"]
    assert changes(apply(cli, less, "--prune", "-o", "json")) == []


def test_prune_needs_a_label_and_names_what_keeps_a_user(cli: Cli, database: Database) -> None:
    """Without a label nothing says what may go; a user with pending notifications stays, with the remedy."""
    assert apply(cli, PEOPLE, "--prune", "--yes").exit_code == 2
    assert apply(cli, f"label: ci\n{PEOPLE}", "--label", "cd").exit_code == 2
    apply(cli, PEOPLE, "--label", "ci").ok()
    with database.read() as tx:
        bob = tx.execute(select(users.c.id).where(users.c.username == "bob")).scalar_one()
    seed.pending(database, bob)
    refused = apply(cli, "users: []", "--label", "ci", "--prune", "--yes")
    assert refused.exit_code == 5
    assert "bob has 1 pending notification" in refused.stderr
    assert len(cli.call("users", "list", "-o", "json").ok().json()) == 2


def test_a_loosened_rule_wakes_what_it_put_off(cli: Cli, database: Database) -> None:
    """As `prefs set` does, and not in a dry run."""
    anna = seed.user(database)
    text = "users:\n- username: anna\n  email: anna@example.org\n  preferences: [{{channel: sms, cap: {cap}}}]\n"
    apply(cli, text.format(cap=3)).ok()
    seed.pending(database, anna, "twilio", due_at=2**42, deferred_by="cap")
    assert "1 deferred notification due again" in apply(cli, text.format(cap=9), "--dry-run").ok().stderr
    assert "1 deferred notification due again" in apply(cli, text.format(cap=9)).ok().stderr


def test_an_opt_out_wakes_what_it_cancels(cli: Cli, database: Database) -> None:
    """As `prefs opt-out` does."""
    anna = seed.user(database)
    [row] = seed.pending(database, anna, due_at=2**42, deferred_by="cap", category="news")
    text = "categories: [{name: news, kind: marketing}]\nopt_outs: [{user: anna, category: news}]\n"
    assert "1 deferred notification due again" in apply(cli, text).ok().stderr
    assert seed.notification(database, row).due_at < 2**42


def test_dump_apply_dump_is_the_same_text(cli: Cli, database: Database) -> None:
    """Also for names that other readers of YAML take for something else."""
    odd = [
        "no",
        "null",
        "1e3",
        "0x1F",
        "12:30",
        "ünï",
        "a:b",
        "#a",
        "2030-10-25",
        "~",
        "a'b",
        'a"b',
        "&x",
        "*x",
        "=",
        "<<",
    ]
    text = "users:\n" + "".join(
        f"- {{username: {json.dumps(name)}, email: u{number}@example.org}}\n" for number, name in enumerate(odd)
    )
    apply(cli, text).ok()
    apply(cli, PEOPLE).ok()
    dumped = cli.call("fixtures", "dump").ok().stdout
    assert changes(apply(cli, dumped, "-o", "json")) == []
    assert cli.call("fixtures", "dump").ok().stdout == dumped
    assert cli.call("fixtures", "dump", "--kind", "users").ok().stdout == dumped
    assert cli.call("fixtures", "dump", "--kind", "user").exit_code == 2


def test_an_empty_fixture_changes_nothing(cli: Cli) -> None:
    """An empty file, and one with empty sections."""
    for text in ("", "# nothing\n", "---\n", "users:\n", "users: []\n", "{}"):
        assert changes(apply(cli, text, "-o", "json")) == []


RULES = """\
categories:
  - {name: newsletter, kind: marketing, description: What is new, provider_group: 12345}
users:
  - {username: anna, email: anna@example.org}
limits:
  - {user: anna, per_minute: 10}
opt_outs:
  - {user: anna, category: newsletter}
suppressions:
  - {channel: email, address: Bob@Example.org, reason: asked by phone}
  - {channel: sms, address: +447700900123, reason: STOP, cause: opt_out}
  - {channel: email, address: bob@example.org, reason: left it, cause: opt_out, group: 12345}
"""


def test_rules_are_made_in_whatever_order_they_stand(cli: Cli, database: Database) -> None:
    """Limits, categories, opt-outs and suppressions, each as its own command would; again nothing."""
    assert len(changes(apply(cli, RULES, "-o", "json"))) == 7
    assert cli.call("limits", "show", "anna", "-o", "json").ok().json()[0]["per_minute"] == 10
    [shown] = cli.call("prefs", "show", "anna", "-o", "json").ok().json()[:1]
    assert shown["left_categories"] == ["newsletter"]
    assert len(cli.call("suppressions", "list", "-o", "json").ok().json()) == 3
    before = counts(database)
    assert changes(apply(cli, RULES, "-o", "json")) == []
    assert counts(database) == before
    with database.read() as tx:
        told = set(tx.execute(select(audit_logs.c.action, audit_logs.c.resource_type)).all())
    assert told == {
        ("create", "user"), ("create", "category"), ("update", "limit"), ("opt_out", "category"),
        ("suppress", "suppression"),
    }  # fmt: skip


def test_changed_rules_change(cli: Cli, database: Database) -> None:
    """Of a category of another kind what was put off is judged anew; a changed limit wakes."""
    apply(cli, RULES).ok()
    with database.read() as tx:
        anna = tx.execute(select(users.c.id)).scalar_one()
    seed.pending(database, anna, "twilio", due_at=2**42, deferred_by="limit")
    other = RULES.replace("per_minute: 10", "per_minute: 20").replace("kind: marketing", "kind: transactional")
    done = apply(cli, other, "-o", "json")
    assert [each["fields"] for each in done.ok().json()] == [
        {"per_minute": [10, 20]}, {"kind": ["marketing", "transactional"]},
    ]  # fmt: skip
    assert "1 deferred notification due again" in done.stderr


def test_nothing_lifts_an_opt_out_or_a_suppression(cli: Cli, database: Database) -> None:
    """A fixture without them, pruned, takes back the rest and leaves both; one that was lifted is added again."""
    apply(cli, RULES, "--label", "ci").ok()
    pruned = changes(apply(cli, "categories: []", "--label", "ci", "--prune", "--yes", "-o", "json"))
    assert [kind for kind, _, _ in pruned] == ["categories", "limits", "users"]
    assert len(cli.call("suppressions", "list", "-o", "json").ok().json()) == 3
    cli.call("suppressions", "remove", "email", "bob@example.org", "--yes").ok()
    assert len(changes(apply(cli, RULES, "-o", "json"))) == 6
    apply(cli, "users: [{username: anna, email: anna@example.org}]", "--label", "ci", "--prune", "--yes").ok()
    shown = cli.call("prefs", "show", "anna", "-o", "json").ok().json()
    assert shown[0]["left_categories"] == ["newsletter"]


def test_a_suppression_keeps_its_first_reason(cli: Cli) -> None:
    """Another word for what holds already changes nothing."""
    apply(cli, RULES).ok()
    assert changes(apply(cli, RULES.replace("asked by phone", "something else"), "-o", "json")) == []


def test_what_is_named_and_is_nowhere_is_told_with_its_line(cli: Cli, database: Database) -> None:
    """A user in the database may be named; one that is nowhere is exit 3, all of them at once."""
    seed.user(database, "carol")
    apply(cli, "limits: [{user: carol, per_minute: 3}]").ok()
    refused = apply(cli, "limits:\n- {user: dora, per_minute: 3}\nopt_outs:\n- {user: emil, category: news}\n")
    assert refused.exit_code == 3
    assert "-:2:4: limits[0].user: there is no user 'dora', neither here nor in the database" in refused.stderr
    assert "-:4:4: opt_outs[0].user: there is no user 'emil'" in refused.stderr


def test_an_opt_out_of_a_category_that_is_gone_is_kept_and_remarked(cli: Cli) -> None:
    """A dump has it, because it outlives the category, and is applied."""
    done = apply(cli, "users: [{username: anna, email: a@example.org}]\nopt_outs: [{user: anna, category: gone}]")
    assert "the category gone, which there is not" in done.ok().stderr
    assert "category: gone" in cli.call("fixtures", "dump").ok().stdout


def test_rules_that_cannot_be_meant_are_refused(cli: Cli) -> None:
    """Each with its field."""
    text = """\
categories:
- {name: A B, kind: spam, provider_group: x}
suppressions:
- {channel: sms, address: 12345, reason: ' '}
- {channel: email, address: a@example.org, reason: r, group: 5}
- {channel: email, address: a@example.org, reason: r}
- {channel: email, address: A@EXAMPLE.org, reason: s}
"""
    refused = apply(cli, text)
    fields = [line.split(": ")[1] for line in refused.stderr.splitlines()[:-1]]
    assert (refused.exit_code, fields) == (2, [
        "categories[0].name", "categories[0].kind", "categories[0].provider_group",
        "suppressions[0].reason", "suppressions[1].address", "suppressions[3]",
    ])  # fmt: skip


def test_two_that_apply_the_same_at_once_make_it_once(cli: Cli) -> None:
    """One waits for the other, and finds nothing to do."""
    path = cli.home / "people.yaml"
    path.write_text(PEOPLE)
    running = [cli.start("fixtures", "apply", "-f", str(path), "-o", "json") for _ in range(3)]
    done = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], done
    assert sorted(len(json.loads(stdout)) for stdout, _ in done) == [0, 0, 4]


def test_a_protected_profile_is_named_before_something_is_removed(cli: Cli) -> None:
    """`--yes` is no agreement there; nothing is asked where nothing is removed."""
    config = cli.home / "config.toml"
    config.write_text("[profiles.prod]\nprotected = true\n")
    options = ("--label", "ci", "--profile", "prod", "--config", str(config))
    apply(cli, PEOPLE, *options).ok()
    for agreed in (("--yes",), ("--expect", "4"), ("--confirm", "other"), ("--confirm", "prod"), ()):
        assert apply(cli, "users: []", *options, "--prune", *agreed).exit_code == 2
    agreed = ("--confirm", "prod", "--reason", "the end of the project")
    assert len(changes(apply(cli, "users: []", *options, "--prune", *agreed, "-o", "json"))) == 4


def test_a_person_at_a_terminal_is_asked(cli: Cli) -> None:
    """With what goes; only "y" is a yes."""
    apply(cli, PEOPLE, "--label", "ci").ok()
    path = cli.home / "none.yaml"
    path.write_text("label: ci\n")
    options = ("fixtures", "apply", "-f", str(path), "--prune")
    refused = cli.type(*options, keys="n\n")
    assert (refused.exit_code, "delete user bob" in refused.stderr) == (2, True)
    assert cli.type(*options, keys="y\n").exit_code == 0
    assert cli.call("users", "list", "-o", "json").ok().json() == []


@pytest.mark.parametrize("form", ["json", "yaml", "ndjson", "csv", "plain", "markdown", "table"])
def test_changes_in_every_form(cli: Cli, form: str) -> None:
    """A record for each change, where a format is asked for."""
    done = apply(cli, PEOPLE, "-o", form).ok()
    assert all(word in done.stdout for word in ("create", "users", "anna")), done.stdout
    assert apply(cli, PEOPLE, "-o", form).ok().stderr == "4 unchanged\n"
