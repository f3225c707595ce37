"""What a log may say of people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.private import derived, hashed, without_people

KEY = derived(bytes(64))
TOKEN = "dXz1:APA91b" + "x" * 130


def scrubbed(text: str) -> str:
    """Return a line as a log has it."""
    return without_people(text, lambda: KEY)


@pytest.mark.parametrize(
    "address",
    [
        "anna@example.org",
        "Anna.O'Neil+news@mail.example.co.uk",
        "jörg@exämple.de",
        "a@b",
        "+14155552345",
        "+49 (30) 901820",
        "14155552345",
        TOKEN,
    ],
)
@pytest.mark.parametrize("line", ["{}", "to {}: refused", "<{}>", '{{"to": "{}"}}', "550 {} unknown", "x={},y"])
def test_no_address_is_left(address: str, line: str) -> None:
    """In whatever stands around it, there is a hash instead, and the rest of the line is as it was."""
    said = scrubbed(line.format(address))
    assert address not in said and address.partition("@")[0] not in said.split(), said
    assert "Anna" not in said
    assert "<address " in said


@pytest.mark.parametrize(
    "line",
    [
        "3f9c2a71-4b4b-4b4b-8b8b-123456789012 sendgrid attempt 1 sent",
        "2026-11-30T01:36:28+0000 WARNING sendgrid paused: HTTP 401",
        "postgresql://notify@db1.example.org/notify: the server closed the connection",
        "12,345 sent, 3 to be retried, 0 dead in the last minute; 64 in flight",
        "at 1764465600000 ms, digest " + "0a" * 32,
        "http://127.0.0.1:8025/v3/mail/send answered 503",
        "dispatcher web1:4711 vanished 31s ago",
    ],
)
def test_what_is_no_address_stays(line: str) -> None:
    """Ids, times, counts, URLs and digests are what a log is read for."""
    assert scrubbed(line) == line


def test_the_same_address_is_known_again_and_only_with_the_key() -> None:
    """In another case, with other punctuation; with another key it is another hash, without one only an address."""
    assert scrubbed("Anna@Example.ORG") == scrubbed("anna@example.org") != scrubbed("bob@example.org")
    assert scrubbed("+1 (415) 555-2345") == scrubbed("+14155552345")
    assert hashed("anna@example.org", derived(b"1" * 64)) != hashed("anna@example.org", KEY)
    assert without_people("to anna@example.org", lambda: None) == "to <address>"


@pytest.mark.parametrize("end", ["\n", "\\n"])
def test_the_rows_that_a_database_quotes_are_left_out(end: str) -> None:
    """PostgreSQL says in DETAIL what was in the row: the body of a message, perhaps."""
    said = f"violates check constraint{end}DETAIL:  Failing row contains (x, Your code is 123).{end}[SQL: UPDATE x]"
    assert scrubbed(said) == f"violates check constraint{end}[SQL: UPDATE x]"
    assert "code" not in scrubbed(f"violates{end}DETAIL:  Failing row contains (Your code is 1).")


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    """No line makes logging fail."""
    assert "@" not in scrubbed(f"anna@example.org {text}").split(" ")[0]
