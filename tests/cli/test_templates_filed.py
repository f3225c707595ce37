"""`templates push`, `pull`, `lint` and the type of a template's variables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli

BASE = "---\ntemplate: base\nchannel: email\nkind: layout\n---\n[{% block x %}{% endblock %}]"
WELCOME = """---
template: welcome
channel: email
language: no
subject: "Hi {{ name }}"
variables:
  - name
  - name: count
    type: integer
    default: 1
---
{% extends "base" %}{% block x %}{{ name }} {{ count }}{% endblock %}"""


@pytest.fixture
def folder(cli: Cli, database: Database) -> Cli:
    """A folder with two templates, the second of which includes the first, and somebody who pushes."""
    seed.user(database)
    (cli.home / "t").mkdir()
    (cli.home / "t" / "zz.txt").write_bytes(BASE.encode())
    (cli.home / "t" / "welcome.txt").write_bytes(WELCOME.replace("\n{%", "\r\n{%").encode())
    (cli.home / "t" / "welcome.html").write_bytes(b"<p>{{ name }}</p>\r\n")
    (cli.home / "t" / "welcome@de.txt").write_bytes(b"---\ntemplate: welcome\nvariant: de\nsubject: Hallo\n---\n")
    return cli


def push(cli: Cli, *more: str) -> dict[str, Any]:
    """Push the folder and return what became of each template."""
    done = cli.call("templates", "push", "t", "--by", "anna", *more, "-o", "json").ok().json()
    return {each["name"]: each["result"] for each in done}


def show(cli: Cli, *more: str) -> Any:
    """Return what `show` says."""
    return cli.call("templates", "show", "welcome", *more, "-o", "json").ok().json()


def test_push_pull_push_changes_nothing(folder: Cli) -> None:
    """Line ends, a missing last newline, `no` for Norwegian and another language survive."""
    assert push(folder) == {"base": "created", "welcome": "created"}
    said = show(folder)
    assert (said["language"], said["html"], said["variants"]) == (
        "no",
        "<p>{{ name }}</p>\r\n",
        {"de": {"subject": "Hallo"}},
    )
    assert said["published_version"] == 1 and list(said["includes"]) == ["base"]
    assert push(folder) == {"base": "unchanged", "welcome": "unchanged"}
    before = {path.name: path.read_bytes() for path in (folder.home / "t").iterdir()}
    folder.call("templates", "pull", "t").ok()
    folder.call("templates", "pull", "other").ok()
    assert (folder.home / "t" / "welcome.html").read_bytes() == before["welcome.html"]
    assert not (folder.home / "t" / "base.txt").exists()
    assert push(folder) == {"base": "unchanged", "welcome": "unchanged"}
    other = ("templates", "push", "other", "--by", "anna", "-o", "json")
    assert {each["result"] for each in folder.call(*other).ok().json()} == {"unchanged"}
    again = folder.call("templates", "pull", "t", "-o", "json").ok().json()
    assert {each["result"] for each in again} == {"unchanged"}


def test_a_change_is_a_draft_until_it_is_published(folder: Cli) -> None:
    """By push --publish or by publish; what is pulled is what was said last."""
    push(folder)
    path = folder.home / "t" / "welcome.txt"
    path.write_bytes(path.read_bytes() + b"!")
    shown = folder.call("templates", "push", "t", "--by", "anna", "--dry-run").ok().stdout
    assert shown.startswith("--- welcome.txt") and shown.count("\n+") == 2
    assert push(folder, "--dry-run") == {"base": "unchanged", "welcome": "updated"}
    assert folder.call("templates", "show", "welcome", "--draft").exit_code == 3
    assert push(folder) == {"base": "unchanged", "welcome": "updated"}
    assert (show(folder)["published_version"], show(folder)["draft_version"]) == (1, 2)
    folder.call("templates", "pull", "t").ok()
    assert path.read_bytes().endswith(b"!")
    assert push(folder, "--publish") == {"base": "unchanged", "welcome": "published"}
    assert show(folder)["published_version"] == 2


@pytest.mark.parametrize(
    ("name", "text", "code", "said"),
    [
        ("bad.txt", "no front matter", 2, "bad.txt"),
        ("bad.txt", "---\ntemplate: bad\nchannel: fax\n---\nx", 2, "bad.txt"),
        ("bad.txt", "---\ntemplate: bad\nchannel: sms\nsubject: x\n---\nx", 2, "subject"),
        ("bad.txt", "---\ntemplate: bad\nchannel: sms\n---\n{{ x", 2, "bad"),
        ("bad.txt", "---\ntemplate: welcome\nchannel: sms\n---\nx", 2, "welcome"),
        ("bad.txt", "---\ntemplate: bad\nchannel: sms\n---\n{% include 'nothing' %}", 3, "nothing"),
        ("bad.html", "<p>", 2, "bad.html"),
    ],
)
def test_all_or_nothing(folder: Cli, name: str, text: str, code: int, said: str) -> None:
    """A file that is none is named, and nothing is written."""
    (folder.home / "t" / name).write_text(text)
    done = folder.call("templates", "push", "t", "--by", "anna")
    assert (done.exit_code, said in done.stderr) == (code, True), done
    assert folder.call("templates", "list", "-o", "json").ok().json() == []


def test_push_of_what_is_not_there(folder: Cli) -> None:
    """No folder, and nobody who makes what is new."""
    assert folder.call("templates", "push", "nowhere", "--by", "anna").exit_code == 3
    assert folder.call("templates", "push", "t").exit_code == 2
    for name in ("9" * 300, "a\0b"):
        assert folder.call("templates", "push", name, "--by", "anna").exit_code == 3
        assert folder.call("templates", "push", "t", "--by", "anna").exit_code == 0
        assert folder.call("templates", "pull", name).exit_code == 2
    folder.call("templates", "pull", "made", "--dry-run").ok()
    assert not (folder.home / "made").exists()


def test_lint_names_what_is_wrong(folder: Cli) -> None:
    """Exit 7 where sending would fail; the draft is looked at; --language asks for a variant."""
    push(folder)
    assert folder.call("templates", "lint").exit_code == 0
    folder.call("templates", "update", "welcome", "--subject", "Hi {{ name }} {{ surname }}").ok()
    done = folder.call("templates", "lint", "welcome", "-o", "json")
    assert (done.exit_code, [each["severity"] for each in done.json()].count("error")) == (7, 1)
    [wrong] = [each for each in done.json() if each["severity"] == "error"]
    assert (wrong["template"], wrong["version"], wrong["part"]) == ("welcome", 2, "subject")
    assert "surname" in wrong["message"]
    assert folder.call("templates", "lint", "nothing").exit_code == 3
    told = folder.call("templates", "lint", "base", "--language", "fr", "-o", "json").json()
    assert any("fr" in json.dumps(each) for each in told)


def test_the_type_of_the_variables(folder: Cli) -> None:
    """As JSON Schema: what has no default is required."""
    push(folder)
    schema = json.loads(folder.call("templates", "show", "welcome", "-o", "jsonschema").ok().stdout)
    assert schema["properties"]["count"] == {"type": "integer", "default": 1}
    assert schema["required"] == ["name"]


def test_a_category_has_to_be_there(folder: Cli) -> None:
    """A template's category is one of those that are declared."""
    made = ("templates", "create", "news", "--channel", "sms", "--body", "b", "--by", "anna", "--category", "news")
    assert folder.call(*made).exit_code == 3
    folder.call("categories", "create", "news", "--kind", "marketing").ok()
    assert folder.call(*made, "-o", "json").ok().json()["category"] == "news"
    assert folder.call("templates", "update", "news", "--category", "olds").exit_code == 3
    assert folder.call("templates", "update", "news", "--category", "", "-o", "json").ok().json()["category"] is None
