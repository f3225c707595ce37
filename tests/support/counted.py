"""Connections, counted: by listeners that take them, and by the interpreter, which tells of each before it is made."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any


class Watch:
    """Whom this process connected to, or tried to."""

    def __init__(self) -> None:
        self.dialled: list[tuple[str, int]] = []

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Note a call to `connect`; only this machine is let through."""
        if event == "socket.connect" and isinstance(args[1], tuple):
            host, port = args[1][:2]
            self.dialled.append((host, port))
            if host not in ("::1", "127.0.0.1"):
                raise ConnectionRefusedError(111, "the test lets nobody out")


_watches: list[Watch] = []
_hooked: list[bool] = []


def _hear(event: str, args: tuple[Any, ...]) -> None:
    for watch in _watches:
        watch.hear(event, args)


@contextmanager
def watched() -> Iterator[Watch]:
    """Watch what is dialled while the block runs."""
    if not _hooked:  # a hook cannot be taken back
        sys.addaudithook(_hear)
        _hooked.append(True)
    watch = Watch()
    _watches.append(watch)
    try:
        yield watch
    finally:
        _watches.remove(watch)


class Listeners:
    """Takes connections at ports of all addresses of this machine, and counts them."""

    def __init__(self, *ports: int) -> None:
        self._stack = ExitStack()
        self.count = 0
        self.ports: set[int] = set()
        for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            for port in ports:
                with suppress(OSError):  # not everybody may listen at 443, and not everywhere is there an IPv6
                    self._listen(family, host, port)

    def _listen(self, family: int, host: str, port: int) -> None:
        plug = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            plug.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # beside another run of these tests
        try:
            plug.bind((host, port))
            plug.listen(64)
        except OSError:
            plug.close()
            raise
        self.ports.add(plug.getsockname()[1])
        self._stack.callback(plug.close)
        threading.Thread(target=self._take, args=(plug,), daemon=True).start()
        self._stack.callback(lambda: plug.shutdown(socket.SHUT_RDWR))

    def _take(self, plug: socket.socket) -> None:
        with suppress(OSError):
            while True:
                plug.accept()[0].close()
                self.count += 1

    def __enter__(self) -> Listeners:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
