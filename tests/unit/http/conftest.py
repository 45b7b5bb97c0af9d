"""A ledger with principals, and `counterfoil serve` as a process of its own."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import counterfoil as cf
from counterfoil.core.envelope import format_envelope, sign_envelope
from counterfoil.core.keys import Algorithm, PrivateKey
from counterfoil.core.principals import Permission, Principal
from counterfoil.core.statement import Statement, Subject, format_statement, predicate_type
from counterfoil.ledger import sign_request
from counterfoil.ledger.keyfiles import generate_key, load_key, save_key

SOON_S = 60.0  # nothing here waits that long unless it is broken
PRINCIPALS = {
    "risk": (Permission("approval", "credit*"),),
    "data": (Permission("dataset", "*"), Permission("approval", "data-*")),
    "auditor": (),
}


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Place:
    """A ledger, the home that its keys are in, and keys of callers."""

    folder: Path | str
    home: Path
    keys: dict[str, PrivateKey]

    @contextlib.contextmanager
    def open(self) -> Iterator[cf.Ledger]:
        """The ledger, as its own home has it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COUNTERFOIL_HOME", str(self.home))
            with cf.open(self.folder) as ledger:
                yield ledger

    def envelope(self, number: int | str, *, by="risk", predicate="approval", name="credit"):
        """The bytes of an envelope that the policy lets `risk` say."""
        subject = Subject(name, {"sha256": hashlib.sha256(str(number).encode()).hexdigest()})
        body = {"stage": "production", "comment": str(number)}
        statement = Statement((subject,), predicate_type(predicate), body)
        return format_envelope(sign_envelope(format_statement(statement), self.keys[by]))


@dataclass
class Served(Place):
    """The same, and a server of it."""

    port: int = 0
    process: subprocess.Popen[str] | None = None
    errors: Path = Path()
    tls: ssl.SSLContext | None = None
    authority: str = ""

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority or f'127.0.0.1:{self.port}'}"

    def connection(self) -> http.client.HTTPConnection:
        if self.tls:
            return http.client.HTTPSConnection(
                "localhost", self.port, timeout=SOON_S, context=self.tls
            )
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SOON_S)

    def signed(self, method, path, body=b"", *, by="risk", headers=None, **options):
        """All headers of a signed request."""
        return sign_request(self.keys[by], method, self.url + path, headers or {}, body, **options)

    def ask(self, method, path, body=b"", *, headers=None, by=None) -> Reply:
        headers = dict(headers or {})
        if by is not None:
            headers = self.signed(method, path, body, by=by, headers=headers)
        if self.authority:
            headers["Host"] = self.authority
        with contextlib.closing(self.connection()) as connection:
            connection.request(method, path, body or None, headers)
            reply = connection.getresponse()
            found = {name.lower(): value for name, value in reply.headers.items()}
            return Reply(reply.status, found, reply.read())

    def post(self, *envelopes: bytes, by="risk") -> Reply:
        kind = "application/json" if len(envelopes) == 1 else "application/x-ndjson"
        body = b"\n".join(envelopes)
        return self.ask("POST", "/entries", body, headers={"Content-Type": kind}, by=by)

    def logs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.errors.read_text().splitlines() if "{" in line]

    def stop(self, how=signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(SOON_S)

    def kill(self) -> None:
        """As a power cut would: all its processes at once."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(SOON_S)


def make_place(folder: Path, location: str = "") -> Place:
    """A ledger whose policy names a few principals, in a folder unless it is to be elsewhere."""
    ledger_at = location or folder / "ledger"
    home = folder / "counterfoil-home"
    keys = {name: generate_key(name, Algorithm.ED25519) for name in (*PRINCIPALS, "stranger")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COUNTERFOIL_HOME", str(home))
        with cf.init(ledger_at, organisation="Example Bank") as ledger:
            for name in PRINCIPALS:
                save_key(ledger.places.key(name), keys[name])
            keys["operator"] = load_key(ledger.places.key("operator"))
            policy = ledger.policy.show()
            principals = tuple(
                Principal(name, "Example Bank", (keys[name].key,), may=may)
                for name, may in PRINCIPALS.items()
            )
            ledger.policy.adopt(policy.followed_by(principals=(*policy.principals, *principals)))
    return Place(ledger_at, home, keys)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def start(place: Place, *options: object, **changes: Any) -> Served:
    """Start a server, and wait until `/readyz` answers as it should: that it is ready."""
    awaited = changes.pop("readyz", 200)
    port = changes.pop("port", 0) or free_port()
    errors = place.home.with_name(f"stderr-{port}")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "COUNTERFOIL_HOME": str(place.home),
    }
    command = [sys.executable, "-m", "counterfoil", "serve", "--listen", f"127.0.0.1:{port}"]
    command += ["--ledger", str(place.folder), "--json", *map(str, options)]
    with errors.open("w") as sink:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            start_new_session=True,
        )
    served = Served(place.folder, place.home, place.keys, port, process, errors, **changes)
    until = time.monotonic() + SOON_S
    while True:
        assert process.poll() is None, errors.read_text()
        assert time.monotonic() < until, errors.read_text()
        with contextlib.suppress(OSError, http.client.HTTPException):
            if served.ask("GET", "/readyz").status == awaited:
                return served
        time.sleep(0.05)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


@pytest.fixture
def serve(place: Place) -> Iterator[Callable[..., Served]]:
    """Starts a server of this test's own ledger, with options of the command line."""
    servers = []

    def begin(*options: object, **changes: Any) -> Served:
        servers.append(start(place, *options, **changes))
        return servers[-1]

    yield begin
    for one in servers:
        one.kill()
        one.process.stdout.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests of a file that leave it as it was; reading is not public."""
    served = start(make_place(tmp_path_factory.mktemp("served")), "--rate", "100000")
    yield served
    served.kill()
    served.process.stdout.close()
