"""What every test has: a home of its own, and a number of examples chosen from outside.

Tests of the chain also have anvil: what COUNTERFOIL_ANVIL or PATH name, or else installed once into
the virtual environment, by the same code as `counterfoil chain install`.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import servers
from hypothesis import HealthCheck, settings

Server = TypeVar("Server", servers.Postgres, servers.SeaweedFS)

# The contracts' tests need other versions of packages: `make test-contracts` runs them, apart.
collect_ignore = ["contracts"]

# A shell's background job ignores Ctrl-C, and its children inherit that: commands that tests
# interrupt would not end. What has a handler here is back at its default in a child.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: two busy cores make a slow example, not a wrong one. `make fuzz` picks the big one.
settings.register_profile(
    "quick",
    max_examples=50,
    deadline=None,
    # The autouse home below is created once for all examples of a test, which is meant.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("fuzz", settings.get_profile("quick"), max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="module")
def home_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the keys are of a ledger that all tests of a file share."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for ~/.counterfoil, so that no test reaches the user's own keys."""
    folder = tmp_path / "counterfoil-home"
    monkeypatch.setenv("COUNTERFOIL_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def anvil_program() -> Path:
    """The program that runs a development chain; without one, whatever needs it is skipped."""
    from counterfoil.chain.anvil import find_anvil, install_anvil  # noqa: PLC0415 an extra
    from counterfoil.errors import UnavailableError  # noqa: PLC0415 only if it is needed

    place = Path(sys.prefix) / "anvil-for-tests"
    place.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # workers of one run install it once
        patch.setenv("COUNTERFOIL_HOME", str(place))
        try:
            return find_anvil() or install_anvil()
        except UnavailableError as error:
            pytest.skip(f"NO ANVIL, SO THE CHAIN IS NOT TESTED: {error}")


@pytest.fixture
def anvil(anvil_program: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, and found by what is tested."""
    monkeypatch.setenv("COUNTERFOIL_ANVIL", str(anvil_program))
    return anvil_program


def run_server(server: type[Server]) -> Iterator[Server]:
    """Run a server, or skip loudly what needs it."""
    try:
        running = server()
    except servers.MissingError as error:
        pytest.skip(str(error))
    yield running
    running.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    """A PostgreSQL server; whoever stops it starts it again."""
    yield from run_server(servers.Postgres)


@pytest.fixture(scope="session")
def object_store() -> Iterator[servers.SeaweedFS]:
    """An S3-compatible server; whoever stops it starts it again."""
    yield from run_server(servers.SeaweedFS)


@pytest.fixture
def serve_asgi(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Runs the source of a module with an `app` in a server process; gives its port.

    It is ready when it answers `/healthz`. Called again, it starts another one.
    """
    servers = []

    def serve(source: str) -> int:
        module = f"served{len(servers)}"
        (tmp_path / f"{module}.py").write_text(source)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        command = [sys.executable, "-m", "granian", "--interface", "asgi", "--no-log"]
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), f"{module}:app"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        )
        servers.append(server)
        for _ in range(300):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                connection.request("GET", "/healthz")
                assert connection.getresponse().read() == b"ok\n"
            except OSError:
                assert server.poll() is None, f"{module} ended with {server.returncode}"
                time.sleep(0.1)
            else:
                return port
            finally:
                connection.close()
        raise AssertionError(f"{module} does not answer")

    yield serve
    for server in servers:
        server.terminate()
    for server in servers:
        server.wait(20)
