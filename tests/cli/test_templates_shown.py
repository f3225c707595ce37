"""`templates preview`, `diff`, and what is included: what is shown is what is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import update

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import users
from tests.support import seed
from tests.support.command import Cli
from tests.support.threefold import add_providers

BY = ("--by", "anna")


@pytest.fixture
def welcome(cli: Cli, database: Database) -> Cli:
    """A template for mails, with an example, in two languages, and who made it."""
    seed.user(database)
    variables = json.dumps([{"name": "name", "example": "Ada"}, "count"])
    made = ("templates", "create", "welcome", "--channel", "email", *BY, "--variables", variables, "--language", "en")
    (cli.home / "page.html").write_text("<p>Hi {{ name }}</p>")
    cli.call(*made, "--subject", "Hi {{ name }}", "--body", "{{ count }} for {{ name }}\n").ok()
    cli.call("templates", "update", "welcome", "--variant", "de", "--subject", "Hallo {{ name }}").ok()
    cli.call("templates", "publish", "welcome").ok()
    return cli


def preview(cli: Cli, *more: str) -> Any:
    """Return what `preview` shows."""
    return cli.call("templates", "preview", "welcome", *more, "-o", "json").ok().json()


def test_preview_of_variables(welcome: Cli) -> None:
    """What is given, else the examples; what has neither is named, with exit 2."""
    shown = preview(welcome, "--var", "count=2")
    assert (shown["subject"], shown["text"], shown["version"], shown["language"]) == ("Hi Ada", "2 for Ada\n", 2, None)
    assert preview(welcome, "--var", "count=2", "--var", "name=Bob")["subject"] == "Hi Bob"
    done = welcome.call("templates", "preview", "welcome")
    assert (done.exit_code, "hint: --var count=VALUE" in done.stderr) == (2, True)


def test_what_is_of_another_type_is_told_as_what_it_was_written_as(welcome: Cli) -> None:
    """A number with a fraction is no text, and how a list is written on a command line is told."""
    declared = '[{"name": "name", "type": "array"}, {"name": "count", "type": "integer"}]'
    welcome.call("templates", "update", "welcome", "--variables", declared).ok()
    draft = ("templates", "preview", "welcome", "--draft", "--var", "count=1.5", "--var", "name:=[]")
    assert "count is a number, not an integer" in welcome.call(*draft).stderr
    done = welcome.call("templates", "preview", "welcome", "--draft", "--var", "count=3.0", "--var", "name=[1]")
    assert "name is text, not an array" in done.stderr and "hint: --var 'name:=JSON'" in done.stderr
    assert preview(welcome, "--draft", "--var", "count=3.0", "--var", "name:=[1]")["text"] == "3 for [1]\n"


def test_preview_for_a_user_is_in_their_language(welcome: Cli, database: Database) -> None:
    """By look-up: de-AT reads de; a language can be asked for."""
    database.write(lambda tx: tx.execute(update(users).values(language="de-AT")))
    assert preview(welcome, "anna", "--var", "count=2")["subject"] == "Hallo Ada"
    assert preview(welcome, "--language", "de", "--var", "count=2")["subject"] == "Hallo Ada"
    assert preview(welcome, "anna", "--language", "fr", "--var", "count=2")["subject"] == "Hi Ada"
    assert welcome.call("templates", "preview", "welcome", "nobody").exit_code == 3


def test_a_part_alone_is_there_byte_for_byte(welcome: Cli) -> None:
    """On stdout and in a file; without a line end that the template does not have."""
    assert welcome.call("templates", "preview", "welcome", "--var", "count=2", "--part", "subject").stdout == "Hi Ada"
    welcome.call("templates", "preview", "welcome", "--var", "count=2", "--save", "out.txt").ok()
    assert (welcome.home / "out.txt").read_bytes() == b"2 for Ada\n"
    assert welcome.call("templates", "preview", "welcome", "--var", "count=2", "--part", "html").exit_code == 2


def test_preview_as_a_notification_was(welcome: Cli, database: Database) -> None:
    """With its values, its version and its reader's language; another version can be asked for."""
    seed.provider(database, config_json=json.dumps({"from": "a@example.org"}))
    send = ("send", "anna", "--channel", "email", "--template", "welcome", "--var", "name=Bob", "--var", "count=3")
    id_ = welcome.call(*send, "-o", "id").ok().stdout.strip()
    welcome.call("templates", "update", "welcome", "--body", "new").ok()
    welcome.call("templates", "publish", "welcome").ok()
    assert (preview(welcome, "--from-notification", id_)["text"], preview(welcome)["text"]) == ("3 for Bob\n", "new")
    assert preview(welcome, "--from-notification", id_, "--version", "3")["text"] == "new"
    assert welcome.call("templates", "preview", "welcome", "--from-notification", "0" * 8).exit_code == 3


def test_diff_renders_both_from_the_same(welcome: Cli) -> None:
    """The draft against what holds, or any two; only what differs."""
    welcome.call("templates", "update", "welcome", "--body", "{{ count }} to {{ name }}\n").ok()
    given = ("templates", "diff", "welcome", "--var", "count=2")
    told = welcome.call(*given).ok().stdout
    assert "-2 for Ada" in told and "+2 to Ada" in told and "subject" not in told
    [only] = welcome.call(*given, "-o", "json").ok().json()
    assert (only["field"], only["before"], only["after"]) == ("text", "2 for Ada\n", "2 to Ada\n")
    assert welcome.call(*given, "--from", "1", "--to", "2", "-o", "json").ok().json() == []
    assert welcome.call(*given, "--from", "9").exit_code == 3


@pytest.mark.parametrize("body", ["Hi {{ name", "{% if x %}", "{{ 1 + }}"])
def test_what_is_no_template_is_refused_with_its_place(welcome: Cli, body: str) -> None:
    """By create and by update, with line and column; nothing is written."""
    bad = ("templates", "create", "bad", "--channel", "sms", *BY, "--body", f"first\n{body}")
    for done in (welcome.call(*bad), welcome.call("templates", "update", "welcome", "--body", f"first\n{body}")):
        assert (done.exit_code, "line " in done.stderr) == (2, True), done
    assert welcome.call("templates", "show", "bad").exit_code == 3
    assert welcome.call("templates", "show", "welcome", "--draft").exit_code == 3


def test_a_version_is_pinned_to_what_it_includes(welcome: Cli, database: Database) -> None:
    """A layout that changes changes nothing that was published, until that is published anew."""
    more = ("--channel", "email", *BY)
    welcome.call(
        "templates", "create", "base", *more, "--kind", "layout", "--body", "[{% block x %}{% endblock %}]"
    ).ok()
    inside = "{% extends 'base' %}{% block x %}in{% endblock %}"
    welcome.call("templates", "create", "page", *more, "--subject", "s", "--body", inside).ok()

    def text(*options: str) -> str:
        return str(welcome.call("templates", "preview", "page", *options, "-o", "json").ok().json()["text"])

    assert text() == "[in]"
    welcome.call("templates", "update", "base", "--body", "<{% block x %}{% endblock %}>").ok()
    welcome.call("templates", "publish", "base").ok()
    assert text() == "[in]"
    done = welcome.call("templates", "publish", "page", "-o", "json").ok().json()
    assert (done["published_version"], text(), text("--version", "1")) == (2, "<in>", "[in]")
    assert welcome.call("templates", "publish", "page").exit_code == 5
    refused = welcome.call("templates", "delete", "base", "--yes")
    assert (refused.exit_code, "page" in refused.stderr) == (5, True)


@pytest.mark.parametrize(("name", "code"), [("nothing", 3), ("code", 2), ("later", 5), ("loop", 2)])
def test_what_cannot_be_included(welcome: Cli, name: str, code: int) -> None:
    """What is not there, is of another channel, a draft, or itself; nothing is written."""
    welcome.call("templates", "create", "code", "--channel", "sms", *BY, "--kind", "partial", "--body", "x").ok()
    more = ("--channel", "email", *BY)
    welcome.call("templates", "create", "later", *more, "--kind", "partial", "--body", "x", "--draft").ok()
    done = welcome.call("templates", "create", "loop", *more, "--body", f"{{% include '{name}' %}}")
    assert done.exit_code == code, done
    assert welcome.call("templates", "show", "loop").exit_code == 3


def test_what_would_be_included_too_deep_is_not_published(cli: Cli, database: Database) -> None:
    """All that was sent by it would become dead letters."""
    seed.user(database)
    new = ("--channel", "sms", *BY)
    cli.call("templates", "create", "p0", *new, "--kind", "partial", "--body", "x").ok()
    for number in range(1, 9):
        body = f"{{% include 'p{number - 1}' %}}"
        cli.call("templates", "create", f"p{number}", *new, "--kind", "partial", "--body", body).ok()
    cli.call("templates", "create", "fits", *new, "--body", "{% include 'p7' %}").ok()
    assert cli.call("templates", "preview", "fits", "--part", "body").stdout == "x"
    done = cli.call("templates", "create", "deep", *new, "--body", "{% include 'p8' %}")
    assert (done.exit_code, "deeper than 8" in done.stderr) == (2, True), done
    assert cli.call("templates", "show", "deep").exit_code == 3


def test_a_preview_of_marketing_has_a_link_that_acts_for_nobody(welcome: Cli) -> None:
    """The template finds it under its name; whoever follows it leaves nothing."""
    (welcome.home / "c.toml").write_text('unsubscribe_url = "https://example.org/u"\n')
    welcome.call("categories", "create", "news", "--kind", "marketing").ok()
    more = ("--channel", "email", *BY, "--category", "news", "--subject", "s", "--body", "Leave: {{ unsubscribe_url }}")
    welcome.call("templates", "create", "letter", *more).ok()
    shown = welcome.call("templates", "preview", "letter", "anna", "--config", "c.toml", "-o", "json").ok().json()
    token = shown["text"].removeprefix("Leave: https://example.org/u?token=")
    done = welcome.call("prefs", "unsubscribe", "-", input=token)
    assert (done.exit_code, "acts for nobody" in done.stderr) == (7, True), done
    add_providers(welcome, "http://127.0.0.1:1", "sendgrid")
    sent = welcome.call("send", "anna", "--channel", "email", "--template", "letter").ok()
    assert "template_error" not in sent.stderr
    plain = ("send", "anna", "--channel", "email", "--category", "news", "--subject", "s", "--body", "b", "--dry-run")
    assert "List-Unsubscribe-Post" in welcome.call(*plain, "--config", "c.toml").ok().stdout


@pytest.mark.parametrize("kind", ["message", "partial"])
def test_mail_without_a_subject_is_remarked(cli: Cli, database: Database, kind: str) -> None:
    """SendGrid refuses it, when it is too late; a partial has none."""
    seed.user(database)
    cli.call("templates", "create", "bare", "--channel", "email", "--kind", kind, "--body", "b", *BY).ok()
    found = cli.call("templates", "lint", "bare", "-o", "json").ok().json()
    assert [(each["part"], each["severity"]) for each in found] == (
        [("subject", "warning")] if kind == "message" else []
    )


def test_what_is_included_declares_for_whoever_includes_it(cli: Cli, database: Database) -> None:
    """Its examples are shown by `preview`, and a number that was written as text on a command line is one there too."""
    seed.user(database)
    seed.provider(database, config_json=json.dumps({"from": "a@example.org"}))
    declared = json.dumps([{"name": "sum", "type": "number", "example": 7}])
    part = ("templates", "create", "total", "--channel", "email", "--kind", "partial", *BY, "--variables", declared)
    cli.call(*part, "--body", "{{ sum + 1 }}").ok()
    mail = ("templates", "create", "bill", "--channel", "email", *BY, "--subject", "s")
    cli.call(*mail, "--body", '{% include "total" %}').ok()
    assert cli.call("templates", "preview", "bill", "--part", "text").ok().stdout == "8"
    assert cli.call("templates", "preview", "bill", "--part", "text", "--var", "sum=12").ok().stdout == "13"
