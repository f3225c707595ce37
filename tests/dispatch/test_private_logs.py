"""Logs say which notification and what became of it, never to whom it went or what was in it, also at DEBUG."""

from __future__ import annotations

import io
import json
import logging
import re
from contextlib import redirect_stderr

import pytest

from notifyctl.cli.errors import exit_code_of
from notifyctl.cli.logs import formatter
from notifyctl.core.errors import Conflict
from notifyctl.core.sealing import Keyring
from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli
from tests.support.scripted import Answer, Asked, Scripted, reply
from tests.support.threefold import add_providers

PERSON, PHONE, WORDS = "bird.of.passage@nest.example", "+14155557788", "the canary sings at dawn"
ANSWERS = {
    "sendgrid": {"errors": [{"message": f"{PERSON} does not contain a valid address", "field": "personalizations"}]},
    "twilio": {"code": 21211, "message": f"The 'To' number {PHONE} is not a valid phone number", "status": 400},
}


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("args", [("--debug",), ("-v",), ("--processes", "2", "--debug")])
def test_a_dispatcher_names_ids_and_hashes(cli: Cli, database: Database, form: str, args: tuple[str, ...]) -> None:
    """A provider's answer quotes the address: the line has a hash of it, the same in each line about the same one."""
    cli.env |= {"NOTIFYCTL_LOG_FORMAT": form}
    anna = seed.user(database)

    def answer(asked: Asked) -> Answer:
        return reply(400, ANSWERS["twilio" if "Messages" in asked.path else "sendgrid"])

    with Scripted(answer) as server:
        add_providers(cli, server.url, "sendgrid", "twilio")
        mail = json.dumps({"v": 1, "subject": WORDS, "text": WORDS, "from": "a@b.example", "to": PERSON})
        text = json.dumps({"v": 1, "body": WORDS, "from": "+15005550006", "to": PHONE})
        ids = seed.pending(database, anna, count=2, payload=mail) + seed.pending(database, anna, "twilio", payload=text)
        run = cli.run if "--processes" in args else cli.call
        done = run("dispatch", "--once", *args).ok()
    assert all(id_ in done.stderr for id_ in ids), done.stderr
    for private in (PERSON, PHONE, WORDS, "bird.of", "4155557788"):
        assert private not in done.stderr
    hashes = re.findall(r"<address [0-9a-f]{12}>", done.stderr)
    assert len(hashes) == 3 and len(set(hashes)) == 2, done.stderr


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_an_exception_says_is_not_logged(form: str) -> None:
    """It may quote anything; where it happened and what it is called are, and the words of our own errors."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(form, lambda: Keyring({"k1": bytes(64)})))
    log = logging.Logger("test")
    log.addHandler(handler)
    try:
        try:
            raise ValueError(f"{WORDS} to {PERSON}")
        except ValueError as error:
            raise Conflict(f"{PERSON} is taken") from error
    except Conflict:
        log.exception("creating %s failed", PERSON)
    said = stream.getvalue()
    assert WORDS not in said and PERSON not in said
    assert "ValueError" in said and "test_private_logs.py" in said and "is taken" in said
    if form == "json":
        (line,) = said.splitlines()
        assert "Conflict" in json.loads(line)["exc_info"]


def test_an_unexpected_error_quotes_no_row() -> None:
    """A defect is told with its first words; what PostgreSQL adds of the row that it was about is not."""
    defect = ValueError(f'null value violates "x"\nDETAIL:  Failing row contains (1, {PERSON}, {WORDS}).')
    with io.StringIO() as said, redirect_stderr(said):
        assert exit_code_of(defect, []) == 1
        words = said.getvalue()
    assert "null value violates" in words
    assert PERSON not in words and "canary" not in words
