"""A file of very many rows, one in a hundred of them bad in one of ten ways, and what has to become of it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

HEADER = ("user", "channel", "subject", "body", "to", "at", "data", "max_retries", "expires_in", "template")
EVERY = 100
TEXT = "Hello, your parcel {} left our house today and reaches you tomorrow: \\. 100 % sure, \u201cpromised\u201d."

BAD: tuple[tuple[dict[str, str], str], ...] = (
    ({"user": "nobody"}, "there is no user 'nobody'"),
    ({"channel": "fax"}, "channel: 'fax' is none of"),
    ({"channel": ""}, "channel: is missing"),
    ({"subject": ""}, "sendgrid would refuse it: subject: missing"),
    ({"to": "no address"}, "'no address' is no"),
    ({"at": "yesterday"}, "at: "),
    ({"data": '{"text": '}, "data"),
    ({"max_retries": "many"}, "max_retries: 'many' is no number"),
    ({"expires_in": "soon"}, "expires_in: "),
    ({"template": "unheard"}, "the template says that"),
)
"""What is wrong with a row, and how the reason begins, or what is in it."""


def rows(count: int, people: int) -> Iterator[dict[str, str]]:
    """Yield rows for person0, person1 and so on; of each hundred the last is bad."""
    plain = dict.fromkeys(HEADER, "")
    for number in range(count):
        row = {
            **plain,
            "user": f"person{number % people}",
            "channel": "email",
            "subject": "Your parcel",
            "body": TEXT.format(number),
        }
        if number % EVERY == EVERY - 1:
            row |= BAD[number // EVERY % len(BAD)][0]
        yield row


def write(path: Path, count: int, people: int) -> None:
    """Write the file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADER, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows(count, people))


def wrong(path: Path, count: int) -> list[str]:
    """Return what is wrong with a file of rejected rows: each bad row is told of by line and reason, and no other."""
    with path.open(encoding="utf-8", newline="") as file:
        found = {int(row["_line"]): row["_reason"] for row in csv.DictReader(file)}
    expected = {
        number + 2: BAD[number // EVERY % len(BAD)][1] for number in range(count) if number % EVERY == EVERY - 1
    }
    missing = [f"line {line} is not told" for line in sorted(expected.keys() - found.keys())]
    more = [f"line {line}: {found[line]}" for line in sorted(found.keys() - expected.keys())]
    other = [
        f"line {line}: {found[line]!r}" for line in expected if line in found and expected[line] not in found[line]
    ]
    return [*missing, *more, *other]
