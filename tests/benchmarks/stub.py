"""A provider that takes everything at once: nginx where it is installed, else a small server of our own.

It is a process of its own, and must never be what limits a run.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme

HTTPD = Path(__file__).with_name("httpd.py")
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    client_body_buffer_size 64k;
    server {{
        listen {listen};
        {certificate}
        location / {{
            add_header X-Message-Id stub always;
            return 202;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Stub:
    """A provider that runs: its URL and process, and the environment in which its certificate is trusted."""

    url: str
    pid: int
    trust: dict[str, str] = field(default_factory=dict)


@contextmanager
def instant() -> Iterator[Stub]:
    """Yield a provider that answers 202 at once."""
    with _folder() as folder, _running(*_instant(folder, tls=None)) as stub:
        yield stub


@contextmanager
def instant_tls() -> Iterator[Stub]:
    """Yield the same behind TLS, with a certificate for localhost of an authority of its own."""
    with _folder() as folder:
        authority, pair = trustme.CA(), folder / "pair.pem"
        authority.cert_pem.write_to_path(folder / "ca.pem")
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pair)
        pair.chmod(0o644)
        with _running(*_instant(folder, tls=pair)) as stub:
            port = stub.url.rsplit(":", 1)[1]
            yield Stub(f"https://localhost:{port}", stub.pid, {"SSL_CERT_FILE": str(folder / "ca.pem")})


@contextmanager
def slow(delay_ms: int) -> Iterator[Stub]:
    """Yield a provider that answers 202 after `delay_ms`, and knows its arrivals (see `seen`)."""
    port = _free_port()
    with _running([sys.executable, str(HTTPD), str(port), str(delay_ms)], port) as stub:
        yield stub


def seen(provider: Stub) -> dict[str, float]:
    """Return when each notification arrived at the slow provider, in seconds since the epoch, by its id."""
    port = int(provider.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as conn:
        conn.sendall(b"GET /seen HTTP/1.1\r\nHost: stub\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: conn.recv(65_536), b""))
    return dict(json.loads(answer.split(b"\r\n\r\n", 1)[1]))


def name() -> str:
    """Return which server `instant` starts."""
    return "nginx" if _nginx() else "tests/benchmarks/httpd.py"


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)  # run by root, nginx's worker has a user of its own
        yield folder


def _nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _instant(folder: Path, tls: Path | None) -> tuple[list[str], int]:
    """Return the command that serves at once, and its port. `tls`: a file with key and certificate."""
    port, program = _free_port(), _nginx()
    if program is None:
        return [sys.executable, str(HTTPD), str(port), "0", *([str(tls)] if tls else [])], port
    values = {
        "folder": folder,
        "listen": f"127.0.0.1:{port}{' ssl' if tls else ''} backlog=4096",
        "certificate": f"ssl_certificate {tls}; ssl_certificate_key {tls};" if tls else "",
    }
    (folder / "nginx.conf").write_text(NGINX.format(**values))
    return [program, "-e", f"{folder}/error.log", "-c", str(folder / "nginx.conf")], port


@contextmanager
def _running(command: list[str], port: int) -> Iterator[Stub]:
    process = subprocess.Popen(command)
    try:
        _await(port, process)
        yield Stub(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("the stub did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
