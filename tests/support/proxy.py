"""A way to a server that can be cut, or made to swallow everything."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading


class Proxy:
    """Forwards connections to a port of this machine.

    Args:
        port: Where to.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._is_open, self._is_stalled = True, False
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """End all connections, and new ones as soon as they are made."""
        self._is_open = False
        self._wake.send(b"x")

    def stall(self) -> None:
        """Take everything, and pass nothing on."""
        self._is_stalled = True

    def heal(self) -> None:
        """Forward again; what was stalled is lost with its connections."""
        if self._is_stalled:
            self.cut()
            self._is_stalled = False
        self._is_open = True

    def close(self) -> None:
        """End everything."""
        self._closing = True
        self._wake.send(b"x")
        self._thread.join()
        for one in (self._listener, self._wake, self._woken):
            one.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._woken.recv(64)
                    for one in list(self._peers):
                        self._end(one)
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    self._forward(key.fileobj)
        for one in list(self._peers):
            self._end(one)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        if not self._is_open:
            near.close()
            return
        try:
            far = socket.create_connection(("127.0.0.1", self._to), timeout=5)
        except OSError:
            near.close()
            return
        for one, other in ((near, far), (far, near)):
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _forward(self, one: socket.socket) -> None:
        if one not in self._peers:
            return
        try:
            data = one.recv(1 << 16)
            if data and not self._is_stalled:
                self._peers[one].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._end(one)

    def _end(self, one: socket.socket) -> None:
        other = self._peers.pop(one, None)
        for each in (one, other):
            if each is not None:
                self._peers.pop(each, None)
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(each)
                each.close()
