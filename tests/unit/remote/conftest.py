"""A ledger, its site served over HTTP by a server that can be told to lie, and a reader's home."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import counterfoil
from counterfoil.ledger.export import export_site

Answer = tuple[int, dict[str, str], bytes]


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves files of a folder, or whatever the server's `lies` say instead."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer("GET", b"")

    def do_POST(self) -> None:
        self.answer("POST", self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, method: str, body: bytes) -> None:
        site: Site = self.server.site
        path = self.path.lstrip("/")
        asked = (method, path, dict(self.headers), body)
        site.heard.append(asked)
        lie = site.lies.get(path) or site.lies.get("*")
        if lie is not None:
            answer = lie(site, path if method == "GET" else asked) if callable(lie) else lie
        else:
            answer = site.honest(path)
        if answer is None:
            self.close_connection = True
            return
        status, headers, data = answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@dataclass
class Site:
    """What is served, what was asked for, and the lies."""

    folder: Path
    url: str = ""
    heard: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    lies: dict[str, object] = field(default_factory=dict)

    def honest(self, path: str) -> Answer:
        file = self.folder / path
        if not file.is_file():
            return 404, {}, b""
        return 200, {}, file.read_bytes()

    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.heard]


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is none."""


@pytest.fixture
def serve_site() -> Iterator[Callable[..., Site]]:
    """Serves a folder on a port of this machine, over TLS if it is told how."""
    servers: list[Server] = []

    def serve(folder: Path, tls: ssl.SSLContext | None = None) -> Site:
        server = Server(("127.0.0.1", 0), Handler)
        port = server.server_address[1]
        server.site = Site(folder, f"http://127.0.0.1:{port}")
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            server.site.url = f"https://localhost:{port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server.site

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def local(tmp_path: Path, home: Path) -> Iterator[counterfoil.Ledger]:  # noqa: ARG001
    """A ledger of somebody else, in a home of its own."""
    with counterfoil.init(tmp_path / "ledger", organisation="Example Bank") as ledger:
        yield ledger


@pytest.fixture
def policy(local: counterfoil.Ledger, tmp_path: Path) -> Path:
    """Its trust policy, as its users got it."""
    path = tmp_path / "their-trust.toml"
    path.write_bytes((local.folder / "trust.toml").read_bytes())
    return path


@pytest.fixture
def site(
    local: counterfoil.Ledger,
    policy: Path,  # noqa: ARG001 before the home changes
    tmp_path: Path,
    serve_site: Callable[..., Site],
) -> Site:
    """Its site, served."""
    export_site(local, tmp_path / "site")
    return serve_site(tmp_path / "site")


@pytest.fixture
def reader(
    site: Site,  # noqa: ARG001 the ledger was made with the other home
    policy: Path,  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The home of somebody else, who has no key of that ledger."""
    folder = tmp_path / "reader-home"
    monkeypatch.setenv("COUNTERFOIL_HOME", str(folder))
    return folder
