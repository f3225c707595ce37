"""Goal 11: what rendering and the gate cost: mails with text and HTML to people with preferences, and plain ones.

A style sheet is put at its elements in what was rendered, which costs what HTML costs to be read: it stands apart.
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

COUNT = 10_000
MOST = 1.25
PLAIN, RENDERED, STYLED = "plain body", "rendered, text and HTML", "rendered, with a style sheet"

_ROWS = "{% for each in items %}<tr><td>{{ each.name }}</td><td>{{ each.price }}</td></tr>{% endfor %}"
_LINES = "{% for each in items %}{{ each.name }}: {{ each.price }}\n{% endfor %}"
_HTML = f'<html><head></head><body><p class="lead">Dear {{{{ name }}}},</p><table>{_ROWS}</table></body></html>'
_STYLE = "<style>p{margin:0} td{padding:4px} .lead{color:#333} @media (max-width:600px){td{padding:0}}</style>"
_VALUES = {
    "name": "Anna",
    "order": 4711,
    "items": [{"name": f"thing {each}", "price": each + 0.5} for each in range(5)],
}
_PREFER = """
    INSERT INTO notification_preferences (id, user_id, channel, enabled, frequency_cap, quiet_hours_start,
        quiet_hours_end, timezone, created_at, updated_at)
    SELECT gen_random_uuid()::text, id, 'email', true, NULL, (now() AT TIME ZONE 'UTC' + interval '6 hours')::time,
        (now() AT TIME ZONE 'UTC' + interval '7 hours')::time, 'Etc/UTC', 0, 0 FROM users
"""
_RENDER = """
    UPDATE notifications SET payload = %s, template_version = 1,
        template_id = (SELECT id FROM notification_templates WHERE name = 'order')
"""


def measure(place: Place) -> list[Table]:
    """Run the three in turn, each on a database of its own."""
    with stub.instant() as provider:
        pages: Mapping[str, str | None] = {
            PLAIN: None,
            RENDERED: _HTML,
            STYLED: _HTML.replace("<head>", f"<head>{_STYLE}"),
        }
        systems: dict[str, System] = {
            name: lambda page=page: _sent(place, provider, page)  # type: ignore[misc]
            for name, page in pages.items()
        }
        done = in_turn(systems, place.rounds)
    own = {name: [each.us(OWN) for each in found] for name, found in done.items()}
    goals = (Goal("CPU of rendered by plain", MOST, ratios(own[RENDERED], own[PLAIN]), at_most=True),)
    note = "Own CPU counts; who reads the rendered ones has quiet hours at another time of the day, and a time zone."
    return [table("Goal 11: templates and preferences", done, goals, (note,))]


def _sent(place: Place, provider: Stub, page: str | None) -> Run:
    count = place.size(COUNT)
    with place.database(place.ours) as url:
        ground.fill(url, count)
        if page is not None:
            _render_instead(place, url, page)
        done = runs.send(place, place.ours, url, provider, Order(IN_FLIGHT))
        if left := ground.left(url):
            raise RuntimeError(f"{left} of {count} are left unsent")
        return done


def _render_instead(place: Place, url: str, page: str) -> None:
    """Let what is due be rendered from a template, for people with preferences."""
    file = place.folder / "order.html"
    file.write_text(page)
    body = f"Dear {{{{ name }}}},\n\n{_LINES}"
    create = ("templates", "create", "order", "--channel", "email", "--by", "person1", "--subject", "Order {{ order }}")
    place.ours.run(url, *create, "--body", body, "--html-file", str(file), "--variables", "name,order,items")
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(_RENDER, (json.dumps({"v": 1, "variables": _VALUES}),))
        conn.execute(_PREFER)
        conn.execute("VACUUM ANALYZE")
