"""Between a command and PostgreSQL: a proxy that loses the answer to a COMMIT, and a server that refuses."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import URL, make_url

_COMMIT = b"COMMIT\x00"
_CHUNK = 65_536
_STARTUP = 196_608  # protocol 3.0; requests for TLS and the like have other numbers


@contextmanager
def losing_commits(url: str, *, stored: bool) -> Iterator[str]:
    """Yield a URL by which the server loses the connection at every COMMIT: after it was stored, or before."""
    target = make_url(url)

    def serve(client: socket.socket) -> None:
        with _connected(target) as server:
            _relay(client, server, stored=stored)

    with _listening(serve) as port:
        query = {"sslmode": "disable", "gssencmode": "disable"}
        through = target.set(host="127.0.0.1", port=port, query=query)
        yield through.render_as_string(hide_password=False)


@contextmanager
def refusing_passwords() -> Iterator[tuple[int, list[str]]]:
    """Yield the port of a server that asks for the password in clear and refuses it, and the passwords it got."""
    heard: list[str] = []

    def serve(client: socket.socket) -> None:
        length, code = struct.unpack("!ii", _exactly(client, 8))
        while code != _STARTUP:
            client.sendall(b"N")
            length, code = struct.unpack("!ii", _exactly(client, 8))
        _exactly(client, length - 8)
        client.sendall(b"R" + struct.pack("!ii", 8, 3))
        (length,) = struct.unpack("!xi", _exactly(client, 5))
        heard.append(_exactly(client, length - 4).rstrip(b"\x00").decode())
        fields = b"SFATAL\x00VFATAL\x00C28P01\x00Mpassword authentication failed for user\x00\x00"
        client.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)

    with _listening(serve) as port:
        yield port, heard


@contextmanager
def silent() -> Iterator[int]:
    """Yield the port of a server that takes connections and never says a word."""
    over = threading.Event()

    def serve(client: socket.socket) -> None:
        over.wait(60)

    with _listening(serve) as port:
        try:
            yield port
        finally:
            over.set()


@contextmanager
def _listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):  # the listener is closed at the end
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=handle, args=(client,), daemon=True).start()

        def handle(client: socket.socket) -> None:
            with client, suppress(OSError, EOFError):
                serve(client)

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _relay(client: socket.socket, server: socket.socket, *, stored: bool) -> None:
    """Pass on what both say, until the client commits or leaves."""
    losing, stored_it = threading.Event(), threading.Event()

    def answer() -> None:
        with suppress(OSError):
            while said := server.recv(_CHUNK):
                if losing.is_set():
                    stored_it.set()
                else:
                    client.sendall(said)

    threading.Thread(target=answer, daemon=True).start()
    try:
        while (asked := client.recv(_CHUNK)) and _COMMIT not in asked:
            server.sendall(asked)
        if asked and stored:
            losing.set()
            server.sendall(asked)
            assert stored_it.wait(10)
    finally:
        server.shutdown(socket.SHUT_RDWR)  # closing alone would not end it: it is being read


def _connected(target: URL) -> socket.socket:
    host = str(target.query.get("host") or target.host or "127.0.0.1")
    port = int(str(target.query.get("port") or target.port or 5432))
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(f"{host}/.s.PGSQL.{port}")
    return connection


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        chunk = connection.recv(size - len(found))
        if not chunk:
            raise EOFError
        found += chunk
    return found
