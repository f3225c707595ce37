"""A webhook's secrets are shown once, and its URL, which may be one, in no log, error or audit row.

Canaries, as in the life of an operator: all that is said and stored is searched for them in every encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from notifyctl.core.webhook.signing import secret_of, secret_text
from notifyctl.store.db.database import Database
from tests.support import canaries, seed
from tests.support.canaries import Canaries
from tests.support.command import Cli, Result
from tests.support.receiver import Receiver
from tests.support.scripted import Asked, reply

TOKEN = "canary-token-of-the-path-7Qx"
ANSWERS: dict[str, Callable[[Asked], bytes]] = {
    "takes it": lambda _: reply(204),
    "repeats it": lambda asked: reply(404, f"Cannot POST {asked.path}".encode()),
    "sends elsewhere": lambda asked: reply(302, b"", Location=f"http://127.0.0.1:1{asked.path}"),
    "is no HTTP": lambda asked: f"HTTP/9 {asked.path}\r\n\r\n".encode(),
}


@pytest.fixture
def receivers() -> Iterator[list[Receiver]]:
    """One for each way to answer."""
    with ExitStack() as stack:
        yield [stack.enter_context(Receiver(answer)) for answer in ANSWERS.values()]


@pytest.mark.slow
def test_no_secret_of_a_webhook_is_ever_seen(cli: Cli, database: Database, receivers: list[Receiver]) -> None:
    """Set up, shown, changed, called in vain and with success, and deleted, at the loudest level."""
    birds, said = Canaries(), dict[str, str]()

    def do(*args: str, input: str | None = None, code: int | None = 0, born: bool = False) -> Result:
        done = cli.call(*args, "--debug", input=input)
        assert code is None or done.exit_code == code, done
        said[f"{len(said)} {' '.join(args)}"] = done.stderr if born else done.stdout + done.stderr
        return done

    (cli.home / "c.toml").write_text("webhook_loopback = true\n")
    cli.env |= {"NOTIFYCTL_CONFIG": str(cli.home / "c.toml"), "NOTIFYCTL_LOG_LEVEL": "DEBUG"}
    do("secrets", "generate-key", "--secret-file", "keys")
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS_FILE"] = str(cli.home / "keys")
    anna = seed.user(database)
    birds.add("the URL's path", TOKEN)
    ids = [_made(do, birds, f"{each.url}/{TOKEN}?t={TOKEN}") for each in receivers]
    ids.append(_made(do, birds, f"http://127.0.0.1:1/{TOKEN}"))
    ids.append(_made(do, birds, f"https://localhost:1/{TOKEN}"))
    for wrong in ("http://example.com/", "https://10.0.0.1/", "https://a:b@example.com/", "https://[::1/", "x:"):
        do("webhooks", "create", "anna", "-", "--event", "*", "--name", "w", input=f"{wrong}{TOKEN}\n", code=2)
    own = birds.add("a secret of one's own", secret_text(b"own-secret-of-24-bytes-x"))
    do("webhooks", "update", ids[0], "--event", "*")
    birds.add("a secret, rotated", do("webhooks", "rotate-secret", ids[0], "-o", "secret", born=True).stdout.strip())
    note = seed.pending(database, anna, status="sent")[0]
    for id_ in ids:
        seed.owed(database, id_, note)
    do("dispatch", "--once", "-v")
    for args in (("list",), *(("show", id_) for id_ in ids), ("deliveries",)):
        do("webhooks", *args, "-o", "json")
        do("webhooks", *args)
    (cli.home / "own").write_text(f"{own}\n")
    (cli.home / "headers").write_text("webhook-id: x\nwebhook-timestamp: 1\nwebhook-signature: v1,x\n")
    files = ("--headers", str(cli.home / "headers"), "--body", str(cli.home / "headers"))
    do("webhooks", "verify", *files, "--secret", f"@{cli.home / 'own'}", code=7)
    for argument in (own, own.replace("whsec_", "whsk_")):  # where it should never be
        refused = cli.call("webhooks", "verify", *files, "--secret", argument, "--debug")
        said[f"verify SECRET {len(said)}"] = refused.stdout + refused.stderr
        assert refused.exit_code == 2
    stored = {
        place: text
        for place, text in canaries.contents(database).items()
        if place != "notification_webhooks.url" and not place.startswith("file ")
    }
    assert len(seed.deliveries(database, delivered=True)) == 1
    for id_ in ids:
        do("webhooks", "delete", id_, "--yes")
    do("status")
    assert len(birds.secrets) >= 6
    assert birds.leaks({**said, **stored, "audit": canaries.contents(database)["audit_logs.changes"]}) == {}
    assert receivers[0].told and all(TOKEN in each.path for each in receivers[1].server.asked)


def _made(do: Callable[..., Result], birds: Canaries, url: str) -> str:
    """Create a webhook whose URL is a secret, and return its id."""
    name = f"hook{len(birds.secrets)}"
    args = ("webhooks", "create", "anna", "-", "--event", "*", "--name", name, "-o", "json")
    made = do(*args, input=f"{url}\n", born=True).json()
    birds.add(f"the secret of {name}", made["secret"])
    birds.add(f"the secret of {name}, its bytes", secret_of(made["secret"]))
    return str(made["id"])
