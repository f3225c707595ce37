"""`templates`: made, changed as a draft, published, taken back, deleted."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from sqlalchemy import insert, select

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, notification_templates, template_versions
from tests.support import seed
from tests.support.command import Cli

CREATE = ("templates", "create", "welcome", "--channel", "email", "--by", "anna", "-o", "json")
FIRST = (*CREATE, "--subject", "Hi {{ name }}", "--body", "Welcome, {{ name }}", "--variables", "name")


@pytest.fixture
def anna(cli: Cli, database: Database) -> Cli:
    """Somebody who makes templates."""
    seed.user(database)
    return cli


@pytest.fixture
def welcome(anna: Cli) -> Cli:
    """A template, published."""
    anna.call(*FIRST).ok()
    return anna


def shown(cli: Cli, *more: str) -> Any:
    """Return what `show` says."""
    return cli.call("templates", "show", "welcome", *more, "-o", "json").ok().json()


def row(database: Database) -> Any:
    """Return the template's row."""
    with database.read() as tx:
        return tx.execute(select(notification_templates)).one()


def test_create_publishes_version_1(anna: Cli, database: Database) -> None:
    """The row has what was published, as the schema says it: variables a JSON array, active, with its creator."""
    made = anna.call(*FIRST).ok().json()
    assert (made["published_version"], made["draft_version"], made["state"]) == (1, None, "active")
    found = row(database)
    assert (found.name, found.message_type, found.subject, found.body, found.is_active) == (
        "welcome", "email", "Hi {{ name }}", "Welcome, {{ name }}", True
    )  # fmt: skip
    assert json.loads(found.variables) == ["name"]
    assert (found.created_by, made["created"]) == (made["created_by"], True)
    said = shown(anna)
    assert [(each["number"], each["state"], each["username"]) for each in said["versions"]] == [
        (1, "published", "anna")
    ]


def test_a_draft_waits_until_it_is_published(anna: Cli, database: Database) -> None:
    """`--draft` publishes nothing; an update is a draft, which changes with the next one and holds when published."""
    made = anna.call(*FIRST, "--draft").ok().json()
    assert (made["published_version"], made["draft_version"], made["state"]) == (0, 1, "draft")
    assert anna.call("templates", "publish", "welcome", "-o", "json").ok().json()["published_version"] == 1
    assert anna.call("templates", "publish", "welcome").exit_code == 5
    for body in ("second", "third"):
        done = anna.call("templates", "update", "welcome", "--body", body, "-o", "json").ok().json()
        assert (done["published_version"], done["draft_version"]) == (1, 2)
    assert (row(database).body, shown(anna)["body"], shown(anna, "--draft")["body"]) == (
        "Welcome, {{ name }}", "Welcome, {{ name }}", "third"
    )  # fmt: skip
    anna.call("templates", "publish", "welcome").ok()
    assert (row(database).body, row(database).published_version) == ("third", 2)
    assert shown(anna, "--version", "1")["body"] == "Welcome, {{ name }}"
    assert shown(anna)["subject"] == "Hi {{ name }}"


def test_rollback_goes_to_the_version_before_or_to_any(welcome: Cli, database: Database) -> None:
    """What is published is never lost: one can go back and forth, and a draft survives that."""
    for body in ("second", "third"):
        welcome.call("templates", "update", "welcome", "--body", body).ok()
        welcome.call("templates", "publish", "welcome").ok()
    welcome.call("templates", "update", "welcome", "--body", "fourth").ok()
    assert welcome.call("templates", "rollback", "welcome", "-o", "json").ok().json()["published_version"] == 2
    assert row(database).body == "second"
    welcome.call("templates", "rollback", "welcome", "--to", "3").ok()
    assert row(database).body == "third"
    assert welcome.call("templates", "rollback", "welcome", "--to", "4").exit_code == 5
    assert welcome.call("templates", "rollback", "welcome", "--to", "9").exit_code == 3
    welcome.call("templates", "rollback", "welcome", "--to", "1").ok()
    assert welcome.call("templates", "rollback", "welcome").exit_code == 5
    assert welcome.call("templates", "publish", "welcome", "-o", "json").ok().json()["published_version"] == 4
    assert row(database).body == "fourth"


def test_the_same_again(welcome: Cli) -> None:
    """A name is there once; with --if-not-exists the same is no conflict, something else is."""
    assert welcome.call(*FIRST).exit_code == 5
    assert welcome.call(*FIRST, "--if-not-exists").ok().json()["created"] is False
    other = (*CREATE, "--subject", "Hi", "--body", "else", "--if-not-exists")
    assert welcome.call(*other).exit_code == 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--channel", "sms", "--body", "b", "--subject", "s"), "subject"),
        (("--channel", "push", "--body", "b", "--subject", "s"), "subject"),
        (("--channel", "sms", "--body", "b", "--title", "s"), "title"),
        (("--channel", "email", "--subject", "s"), "body"),
        (("--channel", "email", "--body", "b", "--subject", "s" * 256), "subject"),
        (("--channel", "push", "--body", "b", "--data", "[1]"), "data"),
        (("--channel", "push", "--body", "b", "--data", "{"), "--data"),
        (("--channel", "sms", "--body", "b", "--variables", "a b"), "a b"),
        (("--channel", "sms", "--body", "b", "--variables", "a,a"), "twice"),
        (("--channel", "sms", "--body", "b", "--variables", '[{"nam": "a"}]'), "--variables"),
        (("--channel", "sms", "--body", "b", "--language", "not a tag"), "language"),
        (("--channel", "sms", "--body", "a\x00b"), "NUL"),
        (("--channel", "fax", "--body", "b"), "fax"),
    ],
)
def test_what_a_channel_does_not_have_is_refused(anna: Cli, given: tuple[str, ...], said: str) -> None:
    """By name, with exit 2, and nothing is written."""
    done = anna.call("templates", "create", "t", "--by", "anna", *given)
    assert done.exit_code == 2, done
    assert said in done.stderr
    assert anna.call("templates", "list", "-o", "json").ok().json() == []


@pytest.mark.parametrize(
    "name", ["", "a b", "../x", "-x", "ä", "x" * 101, "3f9c2a71-0000-4000-8000-000000000000", "a//b", "x."]
)
def test_names_are_such_that_files_can_have_them(anna: Cli, name: str) -> None:
    """And that nobody takes them for an id or an option."""
    assert (
        anna.call("templates", "create", "--channel", "sms", "--body", "b", "--by", "anna", "--", name).exit_code == 2
    )


def test_who_makes_it(anna: Cli) -> None:
    """`--by`, else the profile's operator; nobody at all is exit 2, and somebody unknown is exit 3."""
    nobody = ("templates", "create", "t", "--channel", "sms", "--body", "b", "-o", "json")
    assert anna.call(*nobody).exit_code == 2
    assert anna.call(*nobody, "--by", "eve").exit_code == 3
    (anna.home / "c.toml").write_text('operator = "anna"\n')
    assert anna.call(*nobody, "--config", "c.toml").ok().json()["username"] == "anna"


def test_push_has_title_image_and_data(anna: Cli, database: Database) -> None:
    """They are the version's; the row's subject stays null."""
    data = json.dumps({"order": "{{ order }}"})
    given = ("--title", "T {{ x }}", "--body", "b", "--image", "https://example.org/i.png", "--data", data)
    anna.call("templates", "create", "welcome", "--channel", "push", "--by", "anna", *given).ok()
    said = shown(anna)
    assert (said["title"], said["image"], said["data"]) == ("T {{ x }}", "https://example.org/i.png", json.loads(data))
    assert row(database).subject is None


def test_variants_are_parts_in_other_languages(welcome: Cli) -> None:
    """An update of a variant changes that language's parts alone; an empty part is taken away."""
    anna = welcome
    anna.call("templates", "update", "welcome", "--variant", "pt-br", "--subject", "Oi", "--body", "Oi {{ name }}").ok()
    anna.call("templates", "update", "welcome", "--variant", "de", "--body", "Hallo {{ name }}").ok()
    said = shown(anna, "--draft")
    assert said["variants"] == {"pt-BR": {"subject": "Oi", "body": "Oi {{ name }}"}, "de": {"body": "Hallo {{ name }}"}}
    anna.call("templates", "update", "welcome", "--variant", "de", "--body", "").ok()
    assert set(shown(anna, "--draft")["variants"]) == {"pt-BR"}
    assert anna.call("templates", "update", "welcome", "--variant", "x y", "--body", "b").exit_code == 2
    assert anna.call("templates", "update", "welcome").exit_code == 2


def test_an_update_that_changes_nothing_makes_no_draft(welcome: Cli) -> None:
    """Nor an audit row."""
    same = ("templates", "update", "welcome", "--body", "Welcome, {{ name }}", "-o", "json")
    assert welcome.call(*same).ok().json()["draft_version"] is None


def test_list_filters(welcome: Cli) -> None:
    """By channel, kind and state; newest first."""
    by = ("--by", "anna")
    welcome.call("templates", "create", "base", "--channel", "email", "--kind", "layout", "--body", "x", *by).ok()
    welcome.call("templates", "create", "code", "--channel", "sms", "--body", "x", "--draft", *by).ok()
    welcome.call("templates", "disable", "base").ok()

    def found(*options: str) -> list[str]:
        return [each["name"] for each in welcome.call("templates", "list", *options, "-o", "json").ok().json()]

    assert sorted(found()) == ["base", "code", "welcome"]
    assert found("--channel", "sms") == found("--state", "draft") == ["code"]
    assert found("--kind", "layout") == found("--state", "disabled") == ["base"]
    assert found("--state", "active") == ["welcome"]
    assert welcome.call("templates", "list", "-o", "id").ok().stdout.count("\n") == 3


def test_enable_and_disable(welcome: Cli, database: Database) -> None:
    """The row says so, and doing it twice is no trouble."""
    for _ in range(2):
        assert welcome.call("templates", "disable", "welcome", "-o", "json").ok().json()["state"] == "disabled"
    assert row(database).is_active is False
    welcome.call("templates", "enable", "welcome").ok()
    assert row(database).is_active is True


def test_delete_asks_and_takes_the_versions_along(welcome: Cli, database: Database) -> None:
    """Nobody is there to say yes: nothing is done."""
    assert welcome.call("templates", "delete", "welcome").exit_code == 2
    welcome.call("templates", "delete", "welcome", "--yes").ok()
    with database.read() as tx:
        assert tx.execute(select(template_versions)).all() == []
    for act in ("show", "publish", "rollback", "enable", "disable"):
        assert welcome.call("templates", act, "welcome").exit_code == 3


def test_what_is_needed_is_not_deleted(welcome: Cli, database: Database) -> None:
    """A pending notification keeps its template."""
    seed.provider(database)
    template = shown(welcome)["id"]
    whom = seed.user(database, "bob")
    seed.pending(database, whom, template_id=template, template_version=1)
    done = welcome.call("templates", "delete", "welcome", "--yes")
    assert (done.exit_code, "1 pending notification" in done.stderr) == (5, True)


def test_every_act_is_in_the_audit_trail(welcome: Cli, database: Database) -> None:
    """With what changed, not with the texts."""
    for words in (
        ("update", "--body", "b"),
        ("publish",),
        ("rollback",),
        ("disable",),
        ("enable",),
        ("delete", "--yes"),
    ):
        welcome.call("templates", words[0], "welcome", *words[1:]).ok()
    with database.read() as tx:
        a = audit_logs.c
        rows = tx.execute(select(a.action, a.changes).where(a.resource_type == "template")).all()
    told = {action: json.loads(changes) for action, changes in rows}
    assert set(told) == {"create", "update", "publish", "rollback", "disable", "enable", "delete"}
    assert told["update"] == {"draft": 2, "changed": ["body"]}
    assert told["publish"] == {"published_version": [1, 2]}
    assert told["rollback"] == {"published_version": [2, 1]}


def test_a_row_of_another_program_is_a_template(anna: Cli, database: Database) -> None:
    """It has no version of its own: it is version 1, and stays that when another one is published."""
    with database.read() as tx:
        who = tx.execute(select(notification_templates.metadata.tables["users"].c.id)).scalar_one()
    row_ = {"id": str(uuid.uuid4()), "name": "welcome", "message_type": "sms", "body": "old", "variables": '["x"]'}
    database.write(lambda tx: tx.execute(insert(notification_templates).values(**row_, created_by=who)))
    assert (shown(anna)["body"], shown(anna)["variables"]) == ("old", ["x"])
    anna.call("templates", "update", "welcome", "--body", "new").ok()
    anna.call("templates", "publish", "welcome").ok()
    assert [each["number"] for each in shown(anna)["versions"]] == [2, 1]
    assert shown(anna, "--version", "1")["body"] == "old"


def test_a_user_who_made_templates(welcome: Cli, database: Database) -> None:
    """Is deleted only when somebody takes them over; versions stay."""
    seed.user(database, "bob")
    assert welcome.call("users", "delete", "anna", "--yes").exit_code == 5
    welcome.call("users", "delete", "anna", "--yes", "--reassign-templates-to", "bob").ok()
    assert shown(welcome)["username"] == "bob"


@pytest.mark.parametrize(
    ("default", "said"),
    [
        ("1e400", "too large"),
        ("NaN", "too large, or none"),
        ('"\\ud800"', "half a character"),
        ('"a\\u0000b"', "NUL"),
        ("[" * 51 + "]" * 51, "deeper than 50"),
        ("[" * 5000 + "]" * 5000, ""),
    ],
)
def test_a_default_is_what_a_template_can_be_given(anna: Cli, default: str, said: str) -> None:
    """Else nothing could be stored, or nothing sent by it."""
    made = ("templates", "create", "t", "--channel", "sms", "--body", "{{ a|length }}", "--by", "anna", "--variables")
    done = anna.call(*made, f'[{{"name": "a", "default": {default}}}]')
    assert (done.exit_code, said in done.stderr) == (2, True), done
    fits = '{"b\\\\u0000": ' + "[" * 49 + "]" * 49 + "}"
    anna.call(*made, f'[{{"name": "a", "default": {fits}}}]').ok()
    assert anna.call("templates", "preview", "t", "--part", "body").ok().stdout == "1"


def test_a_preview_is_for_a_language_that_there_can_be(welcome: Cli) -> None:
    """As everywhere else."""
    for verb in ("preview", "diff"):
        done = welcome.call("templates", verb, "welcome", "--var", "name=A", "--language", "??")
        assert (done.exit_code, "no language tag" in done.stderr) == (2, True), done
