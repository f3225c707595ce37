"""Which providers there are, also when a third party's is broken."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from notifyctl.core.errors import NotFound
from notifyctl.core.model import Channel
from notifyctl.providers import registry

ROOT = Path(__file__).parents[2]
CARRIER = """
from notifyctl.core.model import Channel
class Carrier:
    name, channel, default_url = "carrier", Channel.SMS, "https://carrier.example"
    def check(self, credentials): return []
    def build(self, message, credentials): ...
    def read(self, response): ...
class Impostor(Carrier):
    name = "twilio"
"""


def python(code: str, *paths: Path) -> str:
    """Run code in a fresh interpreter that sees `paths` as well, and return what it printed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*paths, ROOT)))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def third_party(tmp_path: Path) -> Path:
    """A folder with an installed package of somebody else's: one good provider, an impostor, and three broken ones."""
    (tmp_path / "carrier.py").write_text(CARRIER)
    (tmp_path / "crashes.py").write_text("raise RuntimeError('no licence')")
    info = tmp_path / "carrier-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[notifyctl.providers]\ncarrier = carrier:Carrier\ntwilio = carrier:Impostor\nother_name = carrier:Carrier\n"
        "crashes = crashes:Provider\nabsent = nowhere:Provider\nBad-Name = carrier:Carrier\n"
    )
    return tmp_path


def test_own_providers() -> None:
    """The entry points of the installed package are those of the project file, so none is forgotten."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][registry.GROUP]
    assert declared == registry._OWN
    assert set(declared) <= set(registry.names())
    for name in declared:
        assert registry.get(name).name == name
    assert registry.names() == sorted(registry.names())


def test_adapter_is_made_once() -> None:
    """Adapters have no state: everybody gets the same one."""
    assert registry.get("twilio") is registry.get("twilio")


def test_unknown_name_names_the_known() -> None:
    """A typo is answered with what could have been meant."""
    with pytest.raises(NotFound, match="no provider is called 'twillio'") as problem:
        registry.get("twillio")
    assert "sendgrid, smtp, twilio" in (problem.value.hint or "")


def test_channels() -> None:
    """Each adapter is found under its channel, and only there."""
    found = {channel: [adapter.name for adapter in registry.for_channel(channel)] for channel in Channel}
    assert "sendgrid" in found[Channel.EMAIL]
    assert "twilio" in found[Channel.SMS]
    assert "fcm" in found[Channel.PUSH]
    assert len([name for names in found.values() for name in names]) == len(registry.names()) - len(registry.broken())


def test_third_party(third_party: Path) -> None:
    """A third party's provider is there once its package is installed; its broken ones stay out of everybody's way."""
    code = (
        "from notifyctl.providers import registry as r; from notifyctl.core.model import Channel\n"
        "print(*r.names()); print(*(a.name for a in r.for_channel(Channel.SMS)))\n"
        "print(type(r.get('twilio')).__module__); print(*sorted(r.broken()))\n"
        "print(r.broken()['crashes']); print(r.broken()['other_name'])"
    )
    names, sms, twilio, broken, crashes, other = python(code, third_party).splitlines()
    assert set(names.split()) >= {"absent", "carrier", "crashes", "fcm", "other_name", "sendgrid", "twilio"}
    assert "Bad-Name" not in names
    assert sms.split() == ["carrier", "twilio"]
    assert twilio == "notifyctl.providers.twilio"
    assert broken.split() == ["absent", "crashes", "other_name"]
    assert crashes == "provider 'crashes' (crashes:Provider) cannot be loaded: RuntimeError: no licence"
    assert "is no adapter of that name" in other


def test_own_providers_are_not_searched_for() -> None:
    """Reading what every installed package offers takes longer than a statement, and most commands need ours only."""
    code = (
        "from notifyctl.providers import registry as r; r.entry_points = None\n"
        "print(*(r.get(name).name for name in ('fcm', 'sendgrid', 'smtp', 'twilio')))"
    )
    assert python(code).split() == ["fcm", "sendgrid", "smtp", "twilio"]


def test_own_entry_points_win() -> None:
    """No package can get at the credentials of a provider by taking its name, whatever the order."""
    ours = EntryPoint("twilio", "notifyctl.providers.twilio:Twilio", registry.GROUP)
    theirs = EntryPoint("twilio", "aaa:Thief", registry.GROUP)
    assert registry.select([theirs, ours]) == registry.select([ours, theirs]) == {"twilio": ours}


@pytest.mark.parametrize("value", ["builtins:dict", "builtins:None", "json:nothing", "notifyctl.core.model:Channel"])
def test_what_is_no_adapter(value: str) -> None:
    """An entry point that leads to something else is broken, and says which it was."""
    with pytest.raises(registry.BrokenProvider, match="provider 'x'"):
        registry.load(EntryPoint("x", value, registry.GROUP))


def test_adapters_are_light() -> None:
    """Naming and loading every provider imports none of the slow libraries: help and completion do it."""
    code = (
        "import sys; from notifyctl.providers import registry\n"
        "for name in ('fcm', 'sendgrid', 'smtp', 'twilio'): registry.get(name)\n"
        "heavy = {'httpx','httptools','google','asyncio','aiohttp','aiosmtplib','idna','sqlalchemy','cryptography'}\n"
        "print(*heavy & set(sys.modules))"
    )
    assert python(code).split() == []
