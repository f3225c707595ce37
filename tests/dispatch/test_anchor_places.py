"""Where anchors of the audit trail are carried to: what does not take them is told, and what hangs is ended."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from notifyctl.core.audit import anchoring
from notifyctl.dispatch import syslogging, trailkeeping
from notifyctl.store.db.database import Database
from tests.dispatch.test_trail import _configured, _noted
from tests.support.command import Cli

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A syslog daemon's socket, as RFC 3164's own transport on one machine has it."""
    path = str(tmp_path / "log")
    monkeypatch.setattr(syslogging, "SOCKETS", ("/nowhere/log", path))
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.bind(path)
        listening.settimeout(10)
        yield listening


def test_syslog_gets_a_line_that_verify_reads(cli: Cli, database: Database, daemon: socket.socket) -> None:
    """Priority and time stand before it, as in a log's file; it is noted as kept."""
    _configured(cli, "syslog = true")
    cli.call("dispatch", "--once").ok()
    line = daemon.recv(65_536).decode()
    assert line.startswith("<37>") and f" notifyctl[{os.getpid()}]: " in line
    [anchor] = anchoring.lines(line, "")
    assert _noted(database) == [("syslog", anchor.position)]
    cli.call("audit", "verify", "--anchors", "-", input=line).ok()


def test_a_syslog_that_takes_streams(cli: Cli, database: Database, tmp_path: Path, daemon: socket.socket) -> None:
    """Some daemons do; a line ends with NUL there, as the C library has it."""
    daemon.close()
    (tmp_path / "log").unlink()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listening:
        listening.bind(str(tmp_path / "log"))
        listening.listen()
        listening.settimeout(10)
        _configured(cli, "syslog = true")
        cli.call("dispatch", "--once").ok()
        taken, _ = listening.accept()
        with closing(taken):
            assert taken.recv(65_536).endswith(b"}\0")
    assert [place for place, _ in _noted(database)] == ["syslog"]


def test_a_syslog_that_is_not_there_keeps_nothing(cli: Cli, database: Database, daemon: socket.socket) -> None:
    """Neither without a socket nor where nobody listens any more: that is said, and no anchor counts as kept."""
    _configured(cli, "syslog = true")
    daemon.close()
    for words in ("log Connection refused", "/nowhere/log no syslog daemon listens there"):
        done = cli.call("dispatch", "--once").ok()
        assert words in done.stderr
        Path(syslogging.SOCKETS[1]).unlink(missing_ok=True)
    assert _noted(database) == []


def test_a_command_that_hangs_does_not_outlive_a_run_of_cron_s(
    cli: Cli, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or there would be one more each minute; the run says so."""
    monkeypatch.setattr(trailkeeping, "LAST_PATIENCE_S", 0.5)
    script, pid = tmp_path / "keep.sh", tmp_path / "pid"
    script.write_text(f"echo $$ > {pid}\nexec sleep 60\n")
    _configured(cli, f"command = 'sh {script}'")
    done = cli.call("dispatch", "--once").ok()
    assert "the command for anchors of the audit trail took more than 0.5 s" in done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert _noted(database) == []
