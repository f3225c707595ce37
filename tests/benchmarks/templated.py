"""Goal 11: what rendering and the gate cost: mails with text and HTML to people with preferences, and plain ones.

Two mails are rendered, and the goal is for both: a letter as most are, of a layout and a handful of variables, and an
order with a list in its text and its HTML, which has 23 values to print. No two have the same values. The yardstick is
a line of text to people without preferences. Beside it stand what tells the parts of the difference: the same line to
people with preferences, and a letter that was rendered before it was submitted. A style sheet is put at its elements in
what was rendered, which costs what HTML costs to be read: it stands apart.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import LiteralString

import psycopg

from tests.benchmarks import ground, runs, stub
from tests.benchmarks.dispatching import IN_FLIGHT, System, in_turn, table
from tests.benchmarks.report import Goal, Table, ratios
from tests.benchmarks.runs import DATABASE, OWN, Order, Place, Run
from tests.benchmarks.stub import Stub

Parts = Mapping[str, str]

COUNT = 10_000
MOST = 1.25
PLAIN, LETTER, ORDER, STYLED = "plain body", "a letter", "an order with a list", "the order, with a style sheet"
GATED, READY = "plain body, with preferences", "a letter, rendered before"
ALL, ALONE = "CPU", "own CPU"

_ROWS = "{% for each in items %}<tr><td>{{ each.name }}</td><td>{{ each.price }}</td></tr>{% endfor %}"
_LINES = "{% for each in items %}{{ each.name }}: {{ each.price }}\n{% endfor %}"
_HTML = f'<html><head></head><body><p class="lead">Dear {{{{ name }}}},</p><table>{_ROWS}</table></body></html>'
_STYLE = "<style>p{margin:0} td{padding:4px} .lead{color:#333} @media (max-width:600px){td{padding:0}}</style>"
_ORDERED: Parts = {"subject": "Order {{ order }}", "body": f"Dear {{{{ name }}}},\n\n{_LINES}", "html": _HTML}
_LAYOUT: Parts = {
    "body": "{% block main %}{% endblock %}\n\n-- \nAcme, 1 Long Street, Anytown\n",
    "html": '<html><head><meta charset="utf-8"></head><body><table><tr><td>{% block main %}{% endblock %}</td></tr>'
    '<tr><td style="color:#666">Acme, 1 Long Street, Anytown</td></tr></table></body></html>',
}
_LATE = "{% if late %}, later than planned{% endif %}"
_SAID = f"Hello {{{{ name }}}},\n\nyour order {{{{ order }}}} of {{{{ day }}}} has left our house{_LATE}."
_LETTER: Parts = {
    "subject": "Your order {{ order }}",
    "body": f"{{% extends 'base' %}}{{% block main %}}{_SAID}\n{{{{ link }}}}{{% endblock %}}",
    "html": f"{{% extends 'base' %}}{{% block main %}}<p>{_SAID}</p>"
    '<p><a href="{{ link }}">Where it is now</a></p>{% endblock %}',
}
_READY = {"v": 1, "subject": "Your order 4711"} | {
    part: _LAYOUT[layout].replace("{% block main %}{% endblock %}", said)
    for part, layout, said in (
        (
            "text",
            "body",
            "Hello Anna <name>,\n\nyour order 4711 of 3 May has left our house.\nhttps://acme.example/o/<name>",
        ),
        (
            "html",
            "html",
            "<p>Hello Anna <name>,\n\nyour order 4711 of 3 May has left our house.</p>"
            '<p><a href="https:&#x2f;&#x2f;acme.example&#x2f;o&#x2f;<name>">Where it is now</a></p>',
        ),
    )
}
_NAMES = "name,order,day,link,late,items"
# What is in angle brackets is each notification's own.
_VALUES = {
    "name": "Anna <name>",
    "order": 4711,
    "items": [{"name": f"thing {each}", "price": "<price>"} for each in range(5)],
}
_SHORT = {"name": "Anna <name>", "order": 4711, "day": "3 May", "link": "https://acme.example/o/<name>", "late": False}
_PREFER = """
    INSERT INTO notification_preferences (id, user_id, channel, enabled, frequency_cap, quiet_hours_start,
        quiet_hours_end, timezone, created_at, updated_at)
    SELECT gen_random_uuid()::text, id, 'email', true, NULL, (now() AT TIME ZONE 'UTC' + interval '6 hours')::time,
        (now() AT TIME ZONE 'UTC' + interval '7 hours')::time, 'Etc/UTC', 0, 0 FROM users
"""
_REPLACE = "UPDATE notifications SET payload = replace(%s, '<name>', left(id, 6))"
_RENDER = """
    UPDATE notifications SET template_version = 1,
        template_id = (SELECT id FROM notification_templates WHERE name = 'letter'),
        payload = replace(replace(%s, '<name>', left(id, 6)), '"<price>"', ('x' || left(id, 4))::bit(16)::int || '.25')
"""

Prepare = Callable[[Place, str], None]
"""Makes something else of the plain bodies that are due in a database."""


def measure(place: Place) -> list[Table]:
    """Run all in turn, each on a database of its own."""
    styled = {**_ORDERED, "html": _HTML.replace("<head>", f"<head>{_STYLE}")}
    mails: Mapping[str, Sequence[Prepare]] = {
        PLAIN: (),
        GATED: (_prefer,),
        READY: (_ready,),
        LETTER: (_rendered(_LETTER, _SHORT), _prefer),
        ORDER: (_rendered(_ORDERED, _VALUES), _prefer),
        STYLED: (_rendered(styled, _VALUES), _prefer),
    }
    with stub.instant() as provider:
        systems: dict[str, System] = {
            name: lambda prepared=prepared: _sent(place, provider, prepared)  # type: ignore[misc]
            for name, prepared in mails.items()
        }
        done = in_turn(systems, place.rounds)
    return [_table(done)]


def _table(done: Mapping[str, Sequence[Run]]) -> Table:
    """Return what was found. The goal is for the CPU of all that works here; the dispatcher's alone is stricter."""
    reached = {
        f"{what} of {name}, to a plain body": ratios(_us(done[name], groups), _us(done[PLAIN], groups))
        for name in (LETTER, ORDER)
        for what, groups in ((ALL, (OWN, DATABASE)), (ALONE, (OWN,)))
    }
    goals = [Goal(what, MOST, found, at_most=True) for what, found in reached.items()]
    notes = (
        "CPU is the dispatcher's and the database's, which does a part of the gate's work: the goal is for it. Own CPU"
        " is the dispatcher's alone, a stricter measure of the same. The stub's counts for neither.",
        "Who has preferences has quiet hours at another time of the day, and a time zone.",
    )
    found = table("Goal 11: templates and preferences", done, goals, notes)
    return replace(found, facts={what: statistics.median(rounds) for what, rounds in reached.items()})


def _us(found: Sequence[Run], groups: Sequence[str]) -> list[float]:
    return [each.us(*groups) for each in found]


def _sent(place: Place, provider: Stub, prepared: Sequence[Prepare]) -> Run:
    count = place.size(COUNT)
    with place.database(place.ours) as url:
        ground.fill(url, count)
        for prepare in prepared:
            prepare(place, url)
        _lay_out(url)
        done = runs.send(place, place.ours, url, provider, Order(IN_FLIGHT))
        if left := ground.left(url):
            raise RuntimeError(f"{left} of {count} are left unsent")
        return done


def _rendered(parts: Parts, values: Mapping[str, object]) -> Prepare:
    """Return what lets the mails be rendered from a template."""

    def prepare(place: Place, url: str) -> None:
        _create(place, url, "base", _LAYOUT, "--kind", "layout")
        _create(place, url, "letter", parts, "--subject", parts["subject"], "--variables", _NAMES)
        _execute(url, _RENDER, json.dumps({"v": 1, "variables": values}))

    return prepare


def _ready(_: Place, url: str) -> None:
    """Let the mails say what a letter does, ready made."""
    _execute(url, _REPLACE, json.dumps(_READY))


def _prefer(_: Place, url: str) -> None:
    """Let their readers have preferences."""
    _execute(url, _PREFER)


def _lay_out(url: str) -> None:
    """Let the rows lie as if they had been submitted so: a change of all leaves them where there is no room beside."""
    for statement in ("VACUUM (FULL) notifications", "VACUUM ANALYZE", "CHECKPOINT"):
        _execute(url, statement)


def _execute(url: str, statement: LiteralString, *values: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(statement, values or None)


def _create(place: Place, url: str, name: str, parts: Parts, *more: str) -> None:
    file = place.folder / f"{name}.html"
    file.write_text(parts["html"])
    said = ("--by", "person1", "--body", parts["body"], "--html-file", str(file))
    place.ours.run(url, "templates", "create", name, "--channel", "email", *said, *more)
