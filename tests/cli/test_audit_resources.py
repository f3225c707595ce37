"""`audit list --resource TYPE/ID`: what was done to one thing, which people call by its name or its id."""

from __future__ import annotations

import pytest

from notifyctl.core.sealing import format_key
from tests.support.command import Cli
from tests.support.threefold import add_providers

THINGS = {
    "user": ("users create anna --email anna@example.org", "anna"),
    "category": ("categories create news", "news"),
    "template": ("templates create hi --channel sms --body b --by anna", "hi"),
    "webhook": ("webhooks create anna https://hooks.example.org/x --event sent --name orders", "orders"),
    "batch": ("send -f rows.csv --batch spring", "spring"),
}


@pytest.fixture(autouse=True)
def made(cli: Cli) -> None:
    """One of each, and one more user."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = format_key("k1", bytes(range(64)))
    add_providers(cli, "http://127.0.0.1:9")
    (cli.home / "rows.csv").write_text("user,channel,body\nanna,sms,b\n")
    cli.call("users", "create", "omar", "--email", "omar@example.org").ok()
    cli.call("users", "contacts", "add", "omar", "sms", "+14155552345").ok()
    for words, _ in THINGS.values():
        if words.startswith("send"):
            cli.call("users", "contacts", "add", "anna", "sms", "+14155552346").ok()
        cli.call(*words.split()).ok()


def _listed(cli: Cli, resource: str) -> list[str]:
    found = cli.call("audit", "list", "--resource", resource, "-o", "json").ok().json()
    assert {each["resource_type"] for each in found} == {resource.partition("/")[0]}
    return [each["resource_id"] for each in found]


@pytest.mark.parametrize("kind", [*THINGS, "provider"])
def test_a_thing_is_called_by_its_name(cli: Cli, kind: str) -> None:
    """As in every other command; the same is found by its id, and by a beginning of that."""
    name = THINGS[kind][1] if kind in THINGS else "sendgrid"
    [id_] = {*_listed(cli, f"{kind}/{name}")}
    assert _listed(cli, f"{kind}/{id_}") == _listed(cli, f"{kind}/{id_[:8]}") == _listed(cli, f"{kind}/{name}")
    unknown = cli.call("audit", "list", "--resource", f"{kind}/nobody")
    assert (unknown.exit_code, unknown.stdout) in ((2, ""), (3, "")), unknown


def test_what_has_no_name_is_found_by_its_id_alone(cli: Cli) -> None:
    """Neither a name that is another thing's."""
    for resource in ("notification/anna", "api_key/anna", "provider/anna", "category/sendgrid"):
        assert cli.call("audit", "list", "--resource", resource).exit_code in (2, 3)
