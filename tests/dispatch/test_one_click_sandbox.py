"""Mail that can be left with one click, as the sandbox shows it and plays what is behind its link."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from notifyctl.core.model import Subscription
from notifyctl.core.unsubscribe import ONE_CLICK, preview_token
from notifyctl.sandbox.oneclick import steps
from notifyctl.store.db.database import Database
from tests.dispatch.test_one_click import configured, pending
from tests.dispatch.test_one_click_handler import FORMS
from tests.support.world import World

FORM = {"Content-Type": FORMS["a form"][0]}


@pytest.fixture
def link(world: World, database: Database) -> str:
    """The link of a mail that was sent by the sandbox's SendGrid, as its page shows it."""
    configured(world.cli, f"{world.sandbox.facts['unsubscribe_url']}?list=1")
    world.ok("categories", "create", "newsletter", "--kind", "marketing")
    pending(database, "newsletter", **{"from": "alerts@example.com"})
    world.dispatch()
    return shown(world)


def shown(world: World) -> str:
    """Return the link on the page of the newest message."""
    with httpx.Client(base_url=world.sandbox.url) as client:
        newest = client.get("/messages.json").json()[0]
        page = html.unescape(client.get(f"/messages/{newest['number']}").text)
    assert "Left with one click" in page
    [found] = re.findall(r"<pre>(http://[^<]*token=[^<]*)</pre>", page)
    assert f"curl -d List-Unsubscribe=One-Click '{found}'" in page
    return found


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_post_is_answered_and_a_get_is_not(world: World, link: str) -> None:
    """Both kinds of body; the answer is the command that a handler runs, which acts."""
    for kind, body in FORMS.values():
        done = httpx.post(link, content=body, headers={"Content-Type": kind})
        assert (done.status_code, done.is_redirect) == (200, False)
    command = done.text.split("notifyctl ")[1].split()
    assert world.ok(*command, "-o", "json").json()["changed"] is True
    assert (httpx.get(link).status_code, httpx.get(link).headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("backend", ["sqlite"])
def test_what_no_mail_program_posts_is_refused(world: World, link: str) -> None:
    """Another body or type, no token, two, one of a preview; and a page whose foreign name leads here."""
    asked = FORMS["a form"][1]
    assert httpx.post(link, content=b"", headers=FORM).status_code == 400
    assert httpx.post(link, content=b"List-Unsubscribe=No", headers=FORM).status_code == 400
    assert httpx.post(link, content=asked, headers={"Content-Type": "text/plain"}).status_code == 400
    assert httpx.post(link, content=b"--", headers={"Content-Type": "multipart/form-data"}).status_code == 400
    assert httpx.post(link.partition("?")[0], content=asked, headers=FORM).status_code == 400
    assert httpx.post(f"{link}&token=x", content=asked, headers=FORM).status_code == 400
    of_preview = preview_token(Subscription("0" * 36, "newsletter", 1))
    other = link.replace(parse_qs(urlsplit(link).query)["token"][0], of_preview)
    assert httpx.post(other, content=asked, headers=FORM).status_code == 403
    assert httpx.post(link, content=asked, headers={**FORM, "Host": "evil.example"}).status_code == 404


@pytest.mark.parametrize("backend", ["sqlite"])
def test_mail_by_the_mail_server_is_shown_the_same(world: World, database: Database, link: str) -> None:
    """Its page has the link, and whatever mail says nothing of it, no such thing."""
    mail = world.sandbox.facts["smtp"]
    settings = [f"{name}={mail[name]}" for name in ("host", "port", "security")]
    options = [each for setting in (*settings, "from=alerts@example.com") for each in ("--set", setting)]
    secrets = f"{mail['api_key']}\n{mail['api_secret']}\n"
    world.ok("providers", "add", "smtp", "--api-key", "-", "--api-secret", "-", *options, input=secrets)
    pending(database, "newsletter", provider="smtp")
    world.dispatch()
    assert shown(world).startswith(f"{world.sandbox.url}/unsubscribe?list=1&token=v1.")
    pending(database, None, provider="smtp")
    world.dispatch()
    with httpx.Client(base_url=world.sandbox.url) as client:
        newest = client.get("/messages.json").json()[0]
        assert "one click" not in client.get(f"/messages/{newest['number']}").text


def test_an_address_may_have_commas() -> None:
    """RFC 2369, 2: addresses stand in angle brackets, others may stand beside (RFC 8058, 3.1)."""
    link = "https://example.org/u?lists=a,b&token=v1.x"
    said = {"List-Unsubscribe": f"<mailto:leave@example.org?subject=a,b>, <{link}>", "List-Unsubscribe-Post": ONE_CLICK}
    assert steps(said)["Link"] == link
    assert steps(said)["Its handler does"] == "notifyctl prefs unsubscribe v1.x"
