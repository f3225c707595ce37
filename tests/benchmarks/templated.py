"""Goal 11: what rendering and the gate cost: mails with text and HTML to people with preferences, and plain ones.

Two mails are rendered, and the goal is for both: a letter as most are, of a layout and a handful of variables, and an
order with a list in its text and its HTML, which has 23 values to print. No two have the same values. A style sheet is
put at its elements in what was rendered, which costs what HTML costs to be read: it stands apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import psycopg

from tests.benchmarks import ground, runs, stub
from tests.benchmarks.dispatching import IN_FLIGHT, System, in_turn, table
from tests.benchmarks.report import Goal, Table, ratios
from tests.benchmarks.runs import OWN, Order, Place, Run
from tests.benchmarks.stub import Stub

Parts = Mapping[str, str]

COUNT = 10_000
MOST = 1.25
PLAIN, LETTER, ORDER, STYLED = "plain body", "a letter", "an order with a list", "the order, with a style sheet"

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
_RENDER = """
    UPDATE notifications SET template_version = 1,
        template_id = (SELECT id FROM notification_templates WHERE name = 'letter'),
        payload = replace(replace(%s, '<name>', left(id, 6)), '"<price>"', ('x' || left(id, 4))::bit(16)::int || '.25')
"""

Mail = tuple[Parts, Mapping[str, object]]
"""What a template says, and the values that it is given."""


def measure(place: Place) -> list[Table]:
    """Run all in turn, each on a database of its own."""
    styled = {**_ORDERED, "html": _HTML.replace("<head>", f"<head>{_STYLE}")}
    mails: Mapping[str, Mail | None] = {
        PLAIN: None,
        LETTER: (_LETTER, _SHORT),
        ORDER: (_ORDERED, _VALUES),
        STYLED: (styled, _VALUES),
    }
    with stub.instant() as provider:
        systems: dict[str, System] = {
            name: lambda mail=mail: _sent(place, provider, mail)  # type: ignore[misc]
            for name, mail in mails.items()
        }
        done = in_turn(systems, place.rounds)
    own = {name: [each.us(OWN) for each in found] for name, found in done.items()}
    goals = [
        Goal(f"CPU of {name}, by plain", MOST, ratios(own[name], own[PLAIN]), at_most=True) for name in (LETTER, ORDER)
    ]
    note = "Own CPU counts; who reads the rendered ones has quiet hours at another time of the day, and a time zone."
    return [table("Goal 11: templates and preferences", done, goals, (note,))]


def _sent(place: Place, provider: Stub, mail: Mail | None) -> Run:
    count = place.size(COUNT)
    with place.database(place.ours) as url:
        ground.fill(url, count)
        if mail is not None:
            _render_instead(place, url, *mail)
        done = runs.send(place, place.ours, url, provider, Order(IN_FLIGHT))
        if left := ground.left(url):
            raise RuntimeError(f"{left} of {count} are left unsent")
        return done


def _render_instead(place: Place, url: str, parts: Parts, values: Mapping[str, object]) -> None:
    """Let what is due be rendered from a template, for people with preferences."""
    _create(place, url, "base", _LAYOUT, "--kind", "layout")
    _create(place, url, "letter", parts, "--subject", parts["subject"], "--variables", _NAMES)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(_RENDER, (json.dumps({"v": 1, "variables": values}),))
        conn.execute(_PREFER)
        conn.execute("VACUUM ANALYZE")


def _create(place: Place, url: str, name: str, parts: Parts, *more: str) -> None:
    file = place.folder / f"{name}.html"
    file.write_text(parts["html"])
    said = ("--by", "person1", "--body", parts["body"], "--html-file", str(file))
    place.ours.run(url, "templates", "create", name, "--channel", "email", *said, *more)
