"""The command `sandbox`: its help, its refusals, and a story played from a script to the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from notifyctl.sandbox.faults import SILENCES, SPOILED
from tests.support.command import Cli
from tests.support.sandbox import Sandbox
from tests.support.world import World


def test_help_has_all_of_it(bare_cli: Cli) -> None:
    """The help names every fault and the form of a script, within 80 columns."""
    shown = bare_cli.call("sandbox", "--help", env={"COLUMNS": "80"}).ok().stdout
    words = shown.replace(",", " ").split()
    for fault in (*SILENCES, *SPOILED, "html", "400", "twilio=21211", "fcm=UNREGISTERED", "sendgrid=credits"):
        assert fault in words, fault
    for option in ("--inject", "--script", "--receipts", "--latency", "--log", "--seed", "--port", "--service-account"):
        assert option in words, option
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--inject", "twilio=21299"), "twilio has no fault '21299'"),
        (("--inject", "nonsense"), "write PROVIDER[.send|.read]=FAULT[@SECONDS][:SHARE][xCOUNT[/each]]"),
        (("--script", "story.txt"), "story.txt, line 2: 'nonsense' is no line of a script"),
        (("--script", "missing.txt"), "missing.txt: No such file or directory"),
        (("--script", "binary.txt"), "binary.txt: is not UTF-8"),
        (("--receipts", "soon"), "is no duration"),
    ],
)
def test_refusals(bare_cli: Cli, options: tuple[str, ...], says: str) -> None:
    """What cannot be meant ends with exit code 2 before anything is served, and says how it is written."""
    (bare_cli.home / "story.txt").write_text("# a story\nnonsense\n")
    (bare_cli.home / "binary.txt").write_bytes(b"\xff\xfe")
    done = bare_cli.call("sandbox", "--port", "0", *options)
    assert done.exit_code == 2
    assert says in done.stderr and "hint:" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_story(cli: Cli, sandbox_with: Callable[..., Sandbox], tmp_path: Path) -> None:
    """What a script says happens to exactly those messages, and can be seen in database, log and pages alike."""
    story = tmp_path / "story.txt"
    story.write_text("twilio +14155552345: 21610*\nfcm device-anna: UNREGISTERED*\nsendgrid: ok*\n")
    world = World(cli, sandbox_with("--script", str(story), "--inject", "all=503", "--seed", "1"))
    ids = {channel: world.send(channel) for channel in ("email", "sms", "push")}
    world.dispatch()
    assert {channel: world.show(each)["status"] for channel, each in ids.items()} == {
        "email": "sent",
        "sms": "failed",
        "push": "failed",
    }
    logged = {line["provider"]: (line["status"], line["fault"]) for line in world.sandbox.requests()}
    assert logged == {"sendgrid": (202, None), "twilio": (400, "21610"), "fcm": (404, "UNREGISTERED")}
    shown = httpx.get(f"{world.sandbox.url}/messages.json").json()
    assert {line["provider"]: (line["status"], line["fault"]) for line in shown} == logged
    [mail] = [line for line in shown if line["provider"] == "sendgrid"]
    assert (mail["subject"], mail["recipient"], mail["notification_id"]) == ("Hello", "anna@example.org", ids["email"])
