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


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"bad.txt": "---\ntemplate: bad\nchannel: email\n---\nx\n {{ y }"}, "t/bad.txt:6:4: "),
        ({"bad.txt": "---\r\ntemplate: bad\r\nchannel: email\r\n---\r\nx\r\n {{ y }"}, "t/bad.txt:6:4: "),
        ({"bad.txt": "---\ntemplate: bad\nchannel: email\nsubject: a {{ b\n---\nx"}, "t/bad.txt:4:14: "),
        (
            {"bad.txt": "---\ntemplate: bad\nchannel: email\n---\n", "bad.html": "<p>\n\n {{ a b }}"},
            "t/bad.html:3:7: ",
        ),
        ({"x/w.txt": "---\ntemplate: welcome\nvariant: fr\n---\n\n{% if %}"}, "t/x/w.txt:6:7: "),
        (
            {"bad.txt": "---\ntemplate: bad\nchannel: sms\n---\nx {% include 'nothing' %}"},
            "t/bad.txt:5:3: bad includes",
        ),
        ({"bad.txt": "---\ntemplate: bad\nchannel: sms\nsubject: x\n---\nx"}, "t/bad.txt:4: subject: "),
        ({"bad.txt": "---\ntemplate: bad\nchannel: sms\ncategory: x\n---\nx"}, "t/bad.txt:4: there is no category"),
        ({"bad.txt": "---\ntemplate: bad\nchannel: push\ndata:\n  a: [1]\n---\nx"}, "t/bad.txt:5: data.a: "),
        ({"bad.txt": "---\ntemplate: bad\nchannel: sms\n---\n"}, "t/bad.txt:2: the template has no body"),
        ({"bad.txt": "---\ntemplate: base\nchannel: sms\n---\nx"}, "the template base is in two files: t/bad.txt and "),
    ],
)
def test_an_error_begins_with_its_place_as_editors_open_it(folder: Cli, files: dict[str, str], place: str) -> None:
    """The line is the file's, not the body's; the path leads there from where the command runs."""
    for name, text in files.items():
        (folder.home / "t" / name).parent.mkdir(exist_ok=True)
        (folder.home / "t" / name).write_bytes(text.encode())
    done = folder.call("templates", "push", "t", "--by", "anna")
    assert done.exit_code != 0 and done.stderr.startswith(f"error: {place}"), done.stderr


def pull(cli: Cli, *more: str) -> dict[str, str]:
    """Pull into the folder and return what became of the files that changed."""
    done = cli.call("templates", "pull", "t", *more, "-o", "json").ok().json()
    return {each["path"]: each["result"] for each in done if each["result"] != "unchanged"}


def test_pull_leaves_files_that_mean_the_same_as_they_are_written(folder: Cli) -> None:
    """Comments, quotes, the order of fields, a byte order mark and the line ends of Windows: git shows no change."""
    written = "\ufeff---\r\n# for the newcomers\r\nchannel: sms\r\ntemplate: 'odd'\r\nkind: message\r\n---\r\nHi\r\n"
    (folder.home / "t" / "odd.txt").write_bytes(written.encode())
    (folder.home / "t" / "odd@x.txt").write_bytes(b"---\nvariant: zh-hant-HK\ntemplate: odd\n---\nx")
    (folder.home / "t" / "welcome.html").write_bytes("\ufeff<p>".encode())
    assert set(push(folder).values()) == {"created"}
    assert show(folder)["html"] == "<p>"
    assert pull(folder) == {}
    assert set(push(folder).values()) == {"unchanged"}
    assert (folder.home / "t" / "odd.txt").read_bytes().decode() == written


def test_what_is_pulled_into_a_folder_is_pushed_from_there_without_a_change(folder: Cli) -> None:
    """A language and HTML that a template does not have do not stay; other files do, and no file is written over."""
    push(folder)
    for name, text in {
        "welcome@fr.txt": "---\ntemplate: welcome\nvariant: fr\n---\nx",
        "welcome@fr.html": "<i>",
        "zz.html": "<b>",
        "mine.txt": "---\ntemplate: mine\nchannel: sms\n---\nnot pushed yet",
    }.items():
        (folder.home / "t" / name).write_text(text)
    removed = dict.fromkeys(("welcome@fr.txt", "welcome@fr.html", "zz.html"), "removed")
    assert pull(folder, "--dry-run") == removed
    assert (folder.home / "t" / "zz.html").exists()
    assert pull(folder) == removed
    assert not any((folder.home / "t" / name).exists() for name in removed)
    assert push(folder) == {"base": "unchanged", "mine": "created", "welcome": "unchanged"}
    (folder.home / "t" / "zz.txt").write_text("---\ntemplate: other\nchannel: sms\n---\nx")
    push(folder)
    assert pull(folder) == {"base.txt": "created"}
    (folder.home / "t" / "base.txt").write_text("---\ntemplate: another\nchannel: sms\n---\nx")
    push(folder)
    assert pull(folder) == {"base_.txt": "created"} and pull(folder) == {}
    assert set(push(folder).values()) == {"unchanged"}


def test_pull_writes_nothing_outside_of_its_folder_and_nothing_half(folder: Cli) -> None:
    """A link may lead to a file within; what would be a file and a folder is told before anything is written."""
    push(folder)
    outside = folder.home / "outside"
    outside.write_bytes((folder.home / "t" / "zz.txt").read_bytes())
    (folder.home / "t" / "zz.txt").unlink()
    (folder.home / "t" / "zz.txt").symlink_to(outside)
    folder.call("templates", "update", "base", "--body", "changed").ok()
    done = folder.call("templates", "pull", "t")
    assert (done.exit_code, "leads out" in done.stderr) == (2, True), done.stderr
    assert outside.read_text() == BASE
    outside.unlink()
    assert "leads to none" in folder.call("templates", "push", "t", "--by", "anna").stderr
    (folder.home / "t" / "zz.txt").unlink()
    for name in ("Base", "base.txt/x"):
        folder.call("templates", "create", name, "--channel", "sms", "--body", "b", "--by", "anna").ok()
    done = folder.call("templates", "pull", "new")
    assert (done.exit_code, "base.txt would be a file and a folder" in done.stderr) == (5, True)
    assert not (folder.home / "new").exists()
    folder.call("templates", "delete", "base.txt/x", "--yes").ok()
    assert "Base.txt and base.txt are one file" in folder.call("templates", "pull", "new").ok().stderr


def test_a_default_of_another_type_is_a_change(folder: Cli) -> None:
    """In Python 1, 1.0 and true are equal; in the JSON that a template is stored as they are not."""
    path = folder.home / "t" / "welcome.txt"
    path.write_text(WELCOME.replace("type: integer", "type: any"))
    push(folder)
    for before, after in (("default: 1", "default: true"), ("default: true", "default: 1.0")):
        path.write_text(path.read_text().replace(before, after))
        assert push(folder, "--dry-run")["welcome"] == "updated"
        assert push(folder)["welcome"] == "updated"
        assert push(folder)["welcome"] == "unchanged"
        assert pull(folder).keys() <= {"welcome.txt"}
    assert show(folder, "--draft")["variables"][1]["default"] == 1.0


def test_what_includes_a_template_is_published_with_it_or_named(folder: Cli) -> None:
    """A new layout that nobody is sent is no change; publish says who stays with the old one, and so does lint."""
    push(folder)
    path = folder.home / "t" / "zz.txt"
    path.write_text(BASE.replace("[", "<").replace("]", ">"))
    assert push(folder, "--publish", "--dry-run") == {"base": "published", "welcome": "published"}
    assert push(folder, "--publish") == {"base": "published", "welcome": "published"}
    assert push(folder, "--publish") == {"base": "unchanged", "welcome": "unchanged"}
    text = ("templates", "preview", "welcome", "--var", "name=A", "--part", "text")
    assert folder.call(*text).ok().stdout == "<A 1>"
    folder.call("templates", "update", "base", "--body", "{% block x %}{% endblock %}").ok()
    done = folder.call("templates", "publish", "base").ok()
    assert "included as it was: welcome" in done.stderr
    assert "includes version 2 of base, of which 3 is published" in folder.call("templates", "lint", "welcome").stdout
    assert folder.call(*text).ok().stdout == "<A 1>"
    assert "included as it was" not in folder.call("templates", "rollback", "base").ok().stderr
    folder.call("templates", "publish", "welcome")
    assert "includes version" not in folder.call("templates", "lint", "welcome").stdout


def test_of_many_names_a_sentence_has_the_first(folder: Cli) -> None:
    """A layout is in hundreds of templates."""
    for number in range(8):
        text = f"---\ntemplate: m{number}\nchannel: email\n---\n{{% extends 'base' %}}"
        (folder.home / "t" / f"m{number}.txt").write_text(text)
    push(folder)
    folder.call("templates", "update", "base", "--body", "{% block x %}{% endblock %}").ok()
    told = folder.call("templates", "publish", "base").ok().stderr
    assert "included as it was: m0, m1, m2, m3, m4 and 4 others;" in told
    for number in range(8):
        with (folder.home / "t" / f"m{number}.txt").open("a") as file:
            file.write("{# new #}")
    assert "and 4 others; notifyctl" in folder.call("templates", "push", "t", "--by", "anna").ok().stderr


def test_differences_are_shown_by_lines(folder: Cli) -> None:
    """A carriage return by itself, or what Unicode takes for a line's end, ends none in a file."""
    (folder.home / "t" / "zz.txt").write_bytes(BASE.encode() + "a\rb\x0bc\u2028d\n".encode())
    shown = folder.call("templates", "push", "t", "--by", "anna", "--dry-run", "-o", "json").ok().json()[0]["diff"]
    assert shown.count("No newline") == 0 and len(shown.split("\n+")) == 8


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


def test_findings_are_told_whole(folder: Cli) -> None:
    """A table would cut off what is wrong, and has no room for a template's name."""
    push(folder)
    name = "marketing/newsletter.weekly-digest"
    body = "{{ undeclared_variable_with_a_long_name.member.of_another }}"
    folder.call("templates", "create", name, "--channel", "sms", "--body", body, "--by", "anna").ok()
    done = folder.call("templates", "lint", name, "-o", "table")
    assert done.exit_code == 7
    assert done.stdout.splitlines() == [
        f"{name}, version 1",
        "  error    body:1:4  undeclared_variable_with_a_long_name is not declared",
    ]
    assert folder.call("templates", "lint", name, "-o", "plain").stdout.startswith("template\tversion\tseverity")
