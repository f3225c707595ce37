"""Exact sequences: what happens to the first request, the second, and so on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.sandbox.faults import PROVIDERS, Rule, parse_rule

HINT = "write PROVIDER [RECIPIENT]: STEP STEP ..., such as `sendgrid: ok 503x2 hang ok*`; notifyctl sandbox --help"

_LINE = re.compile(
    r"(?P<provider>[a-z]+)(?:\.(?P<only>send|read))?(?:\s+(?P<recipient>\S+?))?\s*:(?:\s+(?P<steps>.*))?"
)
_COMMENT = re.compile(r"(^|\s)#.*")
_STEP = re.compile(r"(?P<what>[A-Za-z0-9_@]+?)(?:x(?P<count>[1-9]\d{0,5}))?(?P<rest>\*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """What happens to the messages to a provider (only those to `recipient`) or, with `reads`, to its questions.

    `steps` are how often and by which rule (None: nothing goes wrong); with `repeats` the last goes on for ever.
    """

    provider: str
    reads: bool
    recipient: str | None
    steps: tuple[tuple[int, Rule | None], ...]
    repeats: bool

    def concerns(self, provider: str, recipient: str | None, sends: bool) -> bool:
        """Return whether the line is about a request."""
        return self.reads is not sends and self.provider == provider and self.recipient in (None, recipient)

    def step(self, number: int) -> Rule | None:
        """Return what happens to the request of this number, counted from 0."""
        for times, rule in self.steps:
            if number < times:
                return rule
            number -= times
        return self.steps[-1][1] if self.repeats else None


def parse_script(text: str, name: str) -> tuple[Line, ...]:
    """Return the lines of a script; raise UsageError that names the line of `name` that is none."""
    lines: list[Line] = []
    for number, written in enumerate(text.splitlines(), 1):
        plain = _COMMENT.sub("", written).strip()
        if plain:
            lines.append(_line(plain, f"{name}, line {number}"))
            same = [(line.provider, line.reads, line.recipient) for line in lines]
            if same[-1] in same[:-1]:
                raise UsageError(f"{name}, line {number}: a line says that of the same already", HINT)
    return tuple(lines)


class Script:
    """Decides what happens to each request that a line is about; a line with a recipient goes before one without."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = sorted(lines, key=lambda line: line.recipient is None)
        self._played: Counter[int] = Counter()

    def play(self, provider: str, recipient: str | None, *, sends: bool) -> tuple[bool, Rule | None]:
        """Return whether a line is about this request, and by which rule it goes wrong, if it does."""
        for number, line in enumerate(self._lines):
            if line.concerns(provider, recipient, sends):
                self._played[number] += 1
                return True, line.step(self._played[number] - 1)
        return False, None


def _line(plain: str, where: str) -> Line:
    found = _LINE.fullmatch(plain)
    if found is None:
        raise UsageError(f"{where}: {plain[:80]!r} is no line of a script", HINT)
    if found["provider"] not in (*PROVIDERS, "token"):
        raise UsageError(f"{where}: {found['provider']!r} is none of {', '.join(PROVIDERS)}, token", HINT)
    written = (found["steps"] or "").split()
    if not written:
        raise UsageError(f"{where}: nothing happens", HINT)
    if any(step.endswith("*") for step in written[:-1]):
        raise UsageError(f"{where}: * is for the last step only", HINT)
    steps = tuple(_steps(found["provider"], written, where))
    return Line(found["provider"], found["only"] == "read", found["recipient"], steps, written[-1].endswith("*"))


def _steps(provider: str, written: list[str], where: str) -> Iterator[tuple[int, Rule | None]]:
    for step in written:
        found = _STEP.fullmatch(step)
        if found is None:
            raise UsageError(f"{where}: {step!r} is no step", HINT)
        what, times = found["what"], int(found["count"] or 1)
        try:
            yield times, None if what == "ok" else parse_rule(f"{provider}={what}")
        except UsageError as error:
            raise UsageError(f"{where}: {error.message}", error.hint) from error
