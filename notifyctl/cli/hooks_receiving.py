"""`webhooks listen` and `verify`: the receivers' side, to try things out and to find what is wrong."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from notifyctl.cli import files
from notifyctl.cli.callheaders import read_headers
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.loops import loop_factory
from notifyctl.cli.noun import Leaf
from notifyctl.cli.output import Field, FieldKind, escaped
from notifyctl.cli.secretfile import read_secret
from notifyctl.cli.types import duration
from notifyctl.config import variable
from notifyctl.core import when
from notifyctl.core.errors import AnswerIsNo, UsageError
from notifyctl.core.webhook.event import PREFIX
from notifyctl.core.webhook.signing import TOLERANCE_S, SignatureCheck, checks, secret_of

if TYPE_CHECKING:
    from notifyctl.sandbox import Heard

DEFAULT_PORT = 8040
SECRETS = "NOTIFYCTL_WEBHOOK_SECRET"
HEARD = (
    Field("received_at", FieldKind.TIME, "TIME"),
    Field("webhook_id", FieldKind.ID),
    Field("type", title="EVENT"),
    Field("notification_id", FieldKind.ID, "NOTIFICATION"),
    Field("status", FieldKind.NUMBER, "ANSWER"),
    Field("verified", FieldKind.BOOL),
    Field("repeated", FieldKind.BOOL),
    Field("problem", title="SIGNATURE"),
    Field("event", FieldKind.JSON),
)
CHECKED = (
    Field("check", title="CHECK"),
    Field("passed", FieldKind.BOOL, "PASSED"),
    Field("problem", title="PROBLEM"),
)


class ListenLeaf(Leaf):
    """A verb that tells of events as they come: a line each, for people or as JSON."""

    formats = ("table", "ndjson")


def statuses(text: str) -> tuple[int, ...]:
    """Return the statuses of `--answer`. Raises UsageError."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() and 200 <= int(word) <= 599 for word in words):
        raise UsageError(f"--answer: {text!r}: statuses are 200 to 599", "--answer 503,503,204")
    return tuple(int(word) for word in words)


_Secrets = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        metavar="-|@FILE",
        help=f"Its secret; both of a rotation, where it is given twice.  [${SECRETS}]",
    ),
]
_Answer = Annotated[
    str | None,
    typer.Option(
        "--answer",
        metavar="N,N...",
        help="Answer so, one after the other, and then with the last.  [204; 400 to what is not believed]",
    ),
]


def listen(
    ctx: typer.Context,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65_535, help="Where to listen on 127.0.0.1; 0: a free one.")
    ] = DEFAULT_PORT,
    secret: _Secrets = None,
    answer: _Answer = None,
    count: Annotated[
        int | None, typer.Option("--count", metavar="N", min=1, help="End after so many.  [at Ctrl-C]")
    ] = None,
) -> None:
    """Receive webhooks here: show, check and answer each.

    Only calls from this machine come. The profile of the dispatcher that is to call it says webhook_loopback = true.
    """
    from notifyctl.sandbox import Receiving, receive  # a server, which no other verb loads

    with invocation(ctx) as run:
        answers = () if answer is None else statuses(answer)
        how = Receiving(port, _secrets(secret, needed=False), answers, count)
        paper = _Paper(run)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(receive(how, lambda url: _announce(run, url, checked=bool(how.secrets)), paper.write))
        run.out.say(paper.summary)


def verify(
    ctx: typer.Context,
    headers: Annotated[
        Path, typer.Option("--headers", metavar="FILE", help="The call's headers, as lines or as JSON.")
    ],
    body: Annotated[str, typer.Option("--body", metavar="FILE", help="Its body, every byte as it came; - is stdin.")],
    secret: _Secrets = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help=f"When it came: {when.EXAMPLE}.  [now]")
    ] = None,
    tolerance: Annotated[
        int | None,
        typer.Option("--tolerance", metavar="D", parser=duration, help="How old it may have been then.  [5m]"),
    ] = None,
) -> None:
    """Check a call's signature, as its receiver has to.

    What is wrong with it is said, with exit 7.
    """
    with invocation(ctx) as run:
        if [str(headers), body, *(secret or ())].count("-") > 1:
            raise UsageError("stdin can be only one of --headers, --body and --secret")
        now_s = time.time() if at is None else when.moment(at, "--at") / 1_000
        secrets = _secrets(secret, needed=True)
        tolerance_s = TOLERANCE_S if tolerance is None else tolerance / 1_000
        found = checks(read_headers(headers), files.content(body, "--body: "), secrets, now_s, tolerance_s)
        run.out.records(found, CHECKED, id_name="check")
        _judge(found)


def _judge(found: list[SignatureCheck]) -> None:
    """Raise AnswerIsNo where something is wrong."""
    wrong = [each for each in found if not each.passed]
    if wrong:
        old = any(each.check == "timestamp" and " too " in (each.problem or "") for each in wrong)
        hint = "--at says when it came, for a call that was kept" if old else None
        raise AnswerIsNo(f"not to be believed: {'; '.join(each.problem or '' for each in wrong)}", hint)


def _secrets(sources: list[str] | None, *, needed: bool) -> tuple[bytes, ...]:
    """Return the secrets of the option, else of the environment."""
    texts = [read_secret(each, "--secret") for each in sources or ()] or (variable(SECRETS) or "").split()
    if needed and not texts:
        raise UsageError("no secret was given", f"--secret @FILE, or {SECRETS}")
    return tuple(secret_of(each) for each in texts)


def _announce(run: Invocation, url: str, *, checked: bool) -> None:
    run.out.say(f"listening at {url}; Ctrl-C ends it")
    if not checked:
        run.out.say(f"signatures are not checked: no --secret was given, and no {SECRETS}")


class _Paper:
    """Writes what is heard, and counts."""

    def __init__(self, run: Invocation) -> None:
        self._run = run
        self._lines = run.out.form == "table"
        self._counts = {"repeated": 0, "not believed": 0}
        self._heard = 0

    def write(self, heard: Heard) -> None:
        """Write one event."""
        self._heard += 1
        self._counts["repeated"] += heard.repeated
        self._counts["not believed"] += heard.problem is not None
        if self._lines and self._run.out.fields is None:
            self._run.out.write(self._line(heard))
        else:
            self._run.out.form = "ndjson"
            self._run.out.records([heard], HEARD, id_name="webhook_id")

    @property
    def summary(self) -> str:
        """What came, in numbers."""
        more = "".join(f", {count:,} {what}" for what, count in self._counts.items() if count)
        return f"{self._heard:,} event{'' if self._heard == 1 else 's'} received{more}"

    def _line(self, heard: Heard) -> str:
        what = (heard.type or "no event").removeprefix(PREFIX)
        signed = {None: "not checked", True: "signed"}.get(heard.verified, "not to be believed")
        words = [
            self._run.out.time(heard.received_at)[11:19],
            f"{what:<12}",
            f"{(heard.notification_id or '-')[:8]:<8}",
            str(heard.status),
            f"{signed}{', again' if heard.repeated else ''}",
        ]
        why = "" if heard.problem is None else f"\n          {escaped(heard.problem)}"
        return f"{escaped('  '.join(words))}{why}"
