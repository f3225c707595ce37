"""The encryption key changes while dispatchers send: nothing fails for it, whoever is killed in between."""

from __future__ import annotations

import subprocess
import sys
import uuid

import pytest
from sqlalchemy import insert, select

from notifyctl.core.sealing import kid_of, parse_keys
from notifyctl.core.webhook import keeping
from notifyctl.store.schema.tables import notification_webhooks, notifications, provider_configs
from tests.reliability.scene import Scene
from tests.reliability.sizes import Tell, sizes
from tests.support import seed
from tests.support.world import KEYS

DISPATCHERS = 4
SLOWLY = """
import sys, time
from notifyctl.services import rotating
from notifyctl.cli.app import main
portion, rotating.BATCH = rotating.store.portion, 5
rotating.store.portion = lambda *which: time.sleep(0.1) or portion(*which)
"""
"""In batches so small, and so far apart, that it can be killed between two of them."""


@pytest.fixture
def keyed(scene: Scene) -> Scene:
    """The scene with its key in a file, which can change, and many secrets that it sealed."""
    file = scene.home / "keys"
    file.write_text(KEYS + "\n")
    file.chmod(0o600)
    del scene.cli.env["NOTIFYCTL_ENCRYPTION_KEYS"]
    scene.cli.env["NOTIFYCTL_ENCRYPTION_KEYS_FILE"] = str(file)
    return scene


@sizes({"notifications": 400, "secrets": 1_000}, {"notifications": 5_000, "secrets": 5_000})
def test_the_key_changes_while_dispatchers_send(keyed: Scene, size: dict[str, int], tell: Tell) -> None:
    """All four steps under load, the third one killed in the middle; each goes out once, at its first attempt."""
    scene = keyed
    scene.patience(30)
    _seal(scene, size["secrets"])
    running = [scene.dispatch() for _ in range(DISPATCHERS)]
    scene.wait(lambda: all(each.id for each in running), 60)
    scene.seed(size["notifications"] // 2)
    _ok(scene, "generate-key", "--add")
    _ok(scene, "rotate", "--activate", "k2")
    _killed_in_the_middle(scene, size["secrets"])
    refused = scene.cli.call("secrets", "rotate", "--forget", "k1", "--yes")
    assert refused.exit_code == 5 and "sealed with key k1" in refused.stderr
    scene.seed(size["notifications"] - size["notifications"] // 2)
    _ok(scene, "rotate", "--re-encrypt")
    assert _sealed_with(scene) == {"k2"}
    _ok(scene, "rotate", "--forget", "k1", "--yes")
    scene.seed(20)  # with the new key alone
    scene.wait_until_all_ended(60 + size["notifications"] / 20)
    for each in running:
        each.stop()
        assert each.said == "exit code 0: "
    verdict = scene.verdict()
    assert (verdict.wrong, verdict.repeated) == ({}, frozenset())
    with scene.db.read() as tx:
        found = tx.execute(select(notifications.c.status, notifications.c.attempt_count).distinct()).all()
    assert [tuple(row) for row in found] == [("sent", 1)]
    assert [each.partition(":")[0] for each in (scene.home / "keys").read_text().split()] == ["k2"]
    scene.seed(1)
    scene.cli.call("dispatch", "--once").ok()
    scene.wait_until_all_ended(10)
    tell("a key rotates under load", {"sent": size["notifications"] + 21, "sealed anew": size["secrets"] + 1})


def _ok(scene: Scene, *args: str) -> None:
    scene.cli.call("secrets", *args).ok()


def _seal(scene: Scene, count: int) -> None:
    ring, rows, other = parse_keys(KEYS, "test"), [], seed.user(scene.db, "omar")  # who is sent nothing
    for number in range(count):
        id_ = str(uuid.uuid4())
        secret = keeping.sealed(ring, number.to_bytes(24, "big"), keeping.place(id_))
        row = {"id": id_, "user_id": other, "name": id_, "url": "https://example.org", "events": "[]"}
        rows.append({**row, "secret_key": secret, "is_active": False})
    scene.db.write(lambda tx: tx.execute(insert(notification_webhooks), rows))


def _killed_in_the_middle(scene: Scene, secrets: int) -> None:
    command = [sys.executable, "-c", f"{SLOWLY}sys.exit(main(['secrets', 'rotate']))"]
    process = subprocess.Popen(command, env=scene.cli.env, cwd=scene.home, stderr=subprocess.DEVNULL)
    try:
        scene.wait(lambda: "k2" in _sealed_with(scene), 60, pause=0.01)
    finally:
        process.kill()
        process.wait()
    assert _sealed_with(scene) == {"k1", "k2"}, f"none of {secrets} was left"


def _sealed_with(scene: Scene) -> set[str | None]:
    with scene.db.read() as tx:
        hooks = tx.execute(select(notification_webhooks.c.secret_key)).scalars().all()
        return {kid_of(each) for each in [*hooks, *tx.execute(select(provider_configs.c.api_key)).scalars()]}
