"""Templates in fixtures, on both databases."""

from __future__ import annotations

import pytest

from tests.cli.test_fixtures import apply, changes
from tests.support.command import Cli, Result

TEMPLATES = """\
users:
  - {username: anna, email: anna@example.org}
templates:
  - name: welcome
    channel: email
    category: news
    by: anna
    language: en
    subject: Hello {{ name }}
    body: |
      {% extends "layouts/base" %}
      {% block content %}Good day, {{ name }}.
      {% endblock %}
    variables:
      - name
      - {name: count, type: integer, default: 1, example: 3}
    variants:
      de: {subject: "Hallo {{ name }}", body: "Guten Tag, {{ name }}."}
  - name: layouts/base
    channel: email
    kind: layout
    by: anna
    body: "== {% block content %}{% endblock %} =="
  - {name: pin, channel: push, by: anna, title: Pin, body: no, data: {code: 0700, order: 22:30:00}}
categories:
  - {name: news, kind: marketing}
"""


def test_templates_are_made_in_the_order_that_they_need(cli: Cli) -> None:
    """What is included is published before what includes it, though it stands below; scalars are texts."""
    assert len(changes(apply(cli, TEMPLATES, "-o", "json"))) == 5
    shown = cli.call("templates", "show", "welcome", "-o", "json").ok().json()
    assert (shown["published_version"], shown["category"], shown["username"]) == (1, "news", "anna")
    told = cli.call("templates", "preview", "welcome", "anna", "--var", "name=Anna").ok().stdout
    assert "== Good day, Anna." in told
    pin = cli.call("templates", "show", "pin", "-o", "json").ok().json()
    assert (pin["body"], pin["data"]) == ("no", {"code": "0700", "order": "22:30:00"})
    assert changes(apply(cli, TEMPLATES, "-o", "json")) == []
    dumped = cli.call("fixtures", "dump").ok().stdout
    assert changes(apply(cli, dumped, "-o", "json")) == []
    assert "    body: |\n      {% extends" in dumped


def test_a_changed_template_is_published_and_shows_its_lines(cli: Cli) -> None:
    """Its new version holds at once; a text of several lines is shown as a diff."""
    apply(cli, TEMPLATES).ok()
    done = apply(cli, TEMPLATES.replace("Good day", "Good morning"))
    assert "~ template welcome\n    body\n" in done.ok().stdout
    assert "      +{% block content %}Good morning, {{ name }}." in done.stdout
    shown = cli.call("templates", "show", "welcome", "-o", "json").ok().json()
    assert (shown["published_version"], shown["draft_version"]) == (2, None)


def test_what_includes_a_changed_layout_is_published_anew(cli: Cli) -> None:
    """As it would be in a database made from nothing; other changes of the layout publish nothing."""
    apply(cli, TEMPLATES).ok()
    done = apply(cli, TEMPLATES.replace('"== {%', '"** {%'))
    assert "template welcome is published anew" in done.ok().stderr
    assert "** Good day" in cli.call("templates", "preview", "welcome", "anna", "--var", "name=A").ok().stdout
    apply(cli, TEMPLATES.replace('"== {%', '"** {%').replace("kind: layout", "kind: layout\n    enabled: no")).ok()
    assert cli.call("templates", "show", "layouts/base", "-o", "json").ok().json()["published_version"] == 2
    assert cli.call("templates", "show", "welcome", "-o", "json").ok().json()["published_version"] == 2


def test_a_draft_gives_way_and_is_told(cli: Cli) -> None:
    """A dump has what is published and remarks the draft; a changed fixture replaces it, which is said."""
    apply(cli, TEMPLATES).ok()
    cli.call("templates", "update", "pin", "--title", "Draft").ok()
    dumped = cli.call("fixtures", "dump")
    assert "template pin has a draft, which is left out" in dumped.ok().stderr
    assert changes(apply(cli, dumped.stdout, "-o", "json")) == []
    done = apply(cli, TEMPLATES.replace("title: Pin", "title: Code"))
    assert "template pin had a draft" in done.ok().stderr
    shown = cli.call("templates", "show", "pin", "-o", "json").ok().json()
    assert (shown["title"], shown["draft_version"]) == ("Code", None)


def test_an_unpublished_template_stays_a_draft(cli: Cli) -> None:
    """Published when the fixture says so, and never taken back."""
    draft = TEMPLATES.replace("name: pin,", "name: pin, published: false,")
    apply(cli, draft).ok()
    assert cli.call("templates", "show", "pin", "-o", "json").ok().json()["published_version"] == 0
    assert changes(apply(cli, draft, "-o", "json")) == []
    [published] = apply(cli, TEMPLATES, "-o", "json").ok().json()
    assert published["fields"] == {"published": [False, True]}
    refused = apply(cli, draft)
    assert (refused.exit_code, "was published, which cannot be taken back" in refused.stderr) == (5, True)


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("Good day, {{ name }}", "Good day, {{ name", 2, "-:4:5: templates[0]: "),
        ("layouts/base\n    channel: email", "layouts/base\n    channel: sms", 2, "template welcome includes"),
        ('"layouts/base" %}', '"layouts/none" %}', 3, "includes 'layouts/none', which there is not"),
        ('body: "== ', "body: \"{% include 'welcome' %} == ", 2, "include each other"),
        ("category: news", "category: nothing", 3, "templates[0].category: there is no category 'nothing'"),
        ("by: anna\n    language", "by: dora\n    language", 3, "templates[0].by: there is no user 'dora'"),
        ("channel: push", "channel: sms", 2, "templates[2]: title: a template for sms has none"),
        ("- name\n", "- 1st\n", 2, "templates[0].variables"),
        ("- name\n", "- name\n      - name\n", 2, "is declared twice"),
        ("      de: {", "      de: [", 2, "is no YAML"),
        ("      de: {subject: ", "      english: {subjct: ", 2, "subjct"),
        ("    by: anna\n    language", "    language", 2, "nobody is named who makes it"),
    ],
)  # fmt: skip
def test_what_cannot_be_published_is_told_with_its_line(cli: Cli, old: str, new: str, code: int, said: str) -> None:
    """All or nothing: no user of the same fixture is there afterwards."""
    assert old in TEMPLATES
    refused = apply(cli, TEMPLATES.replace(old, new))
    assert (refused.exit_code, said in refused.stderr) == (code, True), refused.stderr
    assert cli.call("users", "list", "-o", "json").ok().json() == []


def test_templates_of_a_label_are_pruned_includers_first(cli: Cli) -> None:
    """A layout goes after what extends it; the user who made them goes last."""
    apply(cli, TEMPLATES, "--label", "ci").ok()
    gone = changes(apply(cli, "users: []", "--label", "ci", "--prune", "--yes", "-o", "json"))
    assert len(gone) == 5
    assert cli.call("templates", "list", "-o", "json").ok().json() == []


SHORT = "templates:\n  - {name: hi, channel: sms, body: b}\n"


def test_who_makes_a_template_need_not_stand_in_the_file(cli: Cli) -> None:
    """`--by` says it, else the profile's operator, else the key's user; with none of them one thing is wrong."""
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    refused = apply(cli, SHORT)
    assert refused.exit_code == 2 and "1 thing is wrong" in refused.stderr and "UNSAID" not in refused.stderr, refused
    key = cli.call("keys", "create", "anna", "--name", "ci", "-o", "secret").ok().stdout.strip()
    cli.call("fixtures", "apply", "-f", "-", input=SHORT, env={"NOTIFYCTL_API_KEY": key}).ok()
    apply(cli, SHORT.replace("hi", "ho"), "--by", "anna").ok()
    [first, second] = cli.call("templates", "list", "-o", "json").ok().json()
    assert first["created_by"] == second["created_by"] is not None


def test_a_default_that_is_true_is_not_1(cli: Cli) -> None:
    """In Python they are equal; a template prints them as two things."""
    text = "users: [{username: anna, email: a@example.org}]\ntemplates:\n" + (
        "  - {name: t, channel: sms, by: anna, body: '{{ a }}', variables: [{name: a, default: DEFAULT}]}\n"
    )
    apply(cli, text.replace("DEFAULT", "1")).ok()
    for default, said in (("true", "true"), ("true", "true"), ("1", "1")):
        apply(cli, text.replace("DEFAULT", default)).ok()
        assert cli.call("templates", "preview", "t", "--part", "body").stdout == said


NEWS = """\
users:
  - {username: anna, email: anna@example.org}
categories:
  - {name: news, kind: marketing}
"""
STORY = "  - {name: story, channel: sms, by: anna, body: b, category: news}\n"


def _pruned(cli: Cli, text: str, *more: str) -> Result:
    return apply(cli, text, "--label", "ci", "--prune", *more)


def test_a_category_that_templates_are_of_is_not_pruned(cli: Cli) -> None:
    """As `categories delete` refuses it, in its words, before it asks: no template could be sent any more."""
    apply(cli, NEWS, "--label", "ci").ok()
    apply(cli, f"templates:\n{STORY}{STORY.replace('story', 'tale')}").ok()
    less = NEWS.partition("categories:")[0]
    for more in ((), ("--dry-run",), ("--yes",)):
        refused = _pruned(cli, less, *more)
        assert refused.exit_code == 5
        assert "templates story and 1 more are of the category news" in refused.stderr
        assert "notifyctl templates update story --category ''" in refused.stderr
        assert "--prune removes" not in refused.stderr
    assert cli.call("categories", "show", "news").ok()
    one = f"{less}templates:\n{STORY.replace(', category: news', '')}"
    assert "template tale is of the category news" in _pruned(cli, one, "--yes").stderr
    for name in ("story", "tale"):
        cli.call("templates", "update", name, "--category", "").ok()
    assert changes(_pruned(cli, less, "--yes", "-o", "json")) == [("categories", "news", "delete")]


def test_a_category_goes_with_its_templates_or_when_they_leave_it(cli: Cli) -> None:
    """What the same fixture removes or makes another one's is in nobody's way."""
    apply(cli, f"{NEWS}templates:\n{STORY}{STORY.replace('story', 'tale')}", "--label", "ci").ok()
    left = f"{NEWS.partition('categories:')[0]}templates:\n{STORY.replace(', category: news', '')}"
    assert changes(_pruned(cli, left, "--yes", "-o", "json")) == [
        ("templates", "story", "update"),
        ("templates", "tale", "delete"),
        ("categories", "news", "delete"),
    ]
    assert cli.call("templates", "show", "story", "-o", "json").ok().json()["category"] is None


@pytest.mark.parametrize("told", ["--dry-run", "--yes"])
@pytest.mark.parametrize("made_before", [True, False])
def test_what_names_a_thing_keeps_it_from_being_pruned(cli: Cli, told: str, made_before: bool) -> None:
    """A fixture that names what it removes is told so with the line; nothing is made of what is gone then."""
    both = f"{NEWS}templates:\n{STORY}limits:\n  - {{user: anna, per_minute: 3}}\n"
    apply(cli, both if made_before else NEWS, "--label", "ci").ok()
    refused = _pruned(cli, both.partition("categories:")[0] + "templates:" + both.partition("templates:")[2], told)
    assert refused.exit_code == 5
    assert (
        "-:4:52: templates[0].category: template story names the category news, which --prune removes" in refused.stderr
    )
    assert "add it below categories:" in refused.stderr
    refused = _pruned(cli, "limits:\n  - {user: anna, per_minute: 4}\n", told)
    assert refused.exit_code == 5
    assert "-:2:6: limits[0].user: limit anna notification names the user anna, which --prune removes" in refused.stderr
    assert cli.call("users", "show", "anna").ok()
