"""The development chain: anvil as our child, what it knows kept on the disk, a proxy in front.

    with DevChain() as dev:
        chain = dev.connect()             finality: `finalized`, as on a public chain

A block is *final* here once it is on the disk: the whole state is written by us, durably, after
every block, and from that it is taken up again, after a SIGKILL as well. (anvil writes its own
state file in place, so that one can be found half written.) Blocks that were not written yet are
gone then, as in a reorganisation; transactions under way are sent again by their outbox.

What it proves: that our side works, on a real EVM. What it does not: anything against whoever
operates it. One process makes all blocks, and can rewrite, reset and censor.

What remains: anvil's own port is on 127.0.0.1, chosen at random and told to nobody, and any program
on this machine that finds it can do what the proxy refuses. It sends no CORS headers, so web pages
cannot read from it.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import socket
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import IO, Self

from counterfoil.chain import guard
from counterfoil.chain.account import stated_address
from counterfoil.chain.answers import MAX_NUMBER, read_data, read_quantity
from counterfoil.chain.anvil import need_anvil
from counterfoil.chain.node import Chain, connect
from counterfoil.chain.profile import DEV
from counterfoil.chain.proxy import Proxy
from counterfoil.chain.rpc import Rpc
from counterfoil.errors import ConflictError, CounterfoilError, UnavailableError
from counterfoil.ledger.disk import Disk, WriterLock, reported
from counterfoil.ledger.keyfiles import home, make_private

MAX_STATE_BYTES = 1024 * 1024 * 1024
"""Largest state, as JSON: some hundred thousand blocks. Begin anew before that."""

START_WITHIN_S = 20.0
"""Time for anvil to answer; it takes a tenth of a second."""

GRANT_WEI = 1_000 * 10**18
"""What each account of this user is given here, once it has nothing."""

_TICK_S = 0.1
_END_WITHIN_S = 5.0
_MAX_RESTARTS = 20  # in a life of this object: more is no accident
_STATE, _URL = "state.json", "url"


class DevChain:
    """A chain of one operator, for as long as this object is open.

    Args:
        folder: Its state; by default below counterfoil's own folder. One process at a time.
        port: Where it can be reached on 127.0.0.1; 0 takes a free one.
        disk: The disk.

    Raises:
        UnavailableError: there is no anvil, it does not start, or the disk refuses.
        ConflictError: it runs already, or the port is taken.
    """

    def __init__(
        self, folder: Path | None = None, *, port: int = 0, disk: Disk | None = None
    ) -> None:
        self.folder = folder or dev_folder()
        self._disk = disk or Disk()
        self._anvil = need_anvil()
        with reported(f"making {self.folder}"):
            make_private(self.folder)
            self._lock = WriterLock(self.folder / "writer.lock", "the development chain")
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._proxy: Proxy | None = None
        self._durable = 0
        self._granted: set[Path] = set()
        self._ending = threading.Event()
        self._turn = threading.Lock()
        self.trouble = ""
        """Why the chain stopped, if it did."""
        try:
            self._start()
            self._save()
            try:
                self._proxy = Proxy(lambda: self.raw, lambda: self._durable, port)
            except OSError as error:
                raise ConflictError(
                    f"port {port} cannot be had: {error.strerror}", hint="Choose another one."
                ) from error
            self.url = f"http://127.0.0.1:{self._proxy.port}"
            with reported(f"writing {self.folder / _URL}"):
                self._disk.replace(self.folder, _URL, f"{self.url}\n".encode(), 0o600)
        except BaseException:
            self._stop()
            raise
        self._thread = threading.Thread(target=self._tend, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def connect(self) -> Chain:
        """Connect to it, through its proxy."""
        return connect(self.url, DEV)

    def grant(self, address: str, wei: int = GRANT_WEI) -> None:
        """Set what an account has.

        Raises:
            UnavailableError: the chain does not answer, or the disk refuses.
        """
        with self._turn:
            self.raw.call("anvil_setBalance", address, hex(wei))
            self._save()

    def close(self) -> None:
        """Write down what is not yet, and end. Safe to repeat."""
        if self._ending.is_set():
            return
        self._ending.set()
        self._thread.join()
        with contextlib.suppress(UnavailableError):  # what is on the disk was final, the rest not
            self._save()
        with contextlib.suppress(OSError):
            (self.folder / _URL).unlink(missing_ok=True)
        self._stop()

    def _tend(self) -> None:
        """Keep the chain alive and on the disk, until told to end."""
        restarts, pause_s = 0, _TICK_S
        while not self._ending.wait(pause_s):
            started = time.monotonic()
            try:
                with self._turn:
                    if self._process is None or self._process.poll() is not None:
                        restarts += 1
                        if restarts > _MAX_RESTARTS:
                            self.trouble = f"anvil ended {restarts} times"
                            return
                        self._end_child()
                        self._start()
                    self._grant_to_accounts()
                    if self._height() != self._durable:
                        self._save()
                self.trouble = ""
            except CounterfoilError as error:
                self.trouble = str(error)
            # A large state takes long to write: most of the time goes to whoever uses the chain.
            pause_s = max(_TICK_S, 4 * (time.monotonic() - started))

    def _start(self) -> None:
        state = self.folder / _STATE
        port = _free_port()
        command = [
            str(self._anvil),
            *("--host", "127.0.0.1", "--port", str(port), "--no-cors"),
            *("--chain-id", str(DEV.chain_id), "--hardfork", DEV.evm_version),
            *("--accounts", "0", "--silent"),
            *(("--load-state", str(state)) if state.exists() else ()),
        ]
        self.raw = Rpc(f"http://127.0.0.1:{port}", max_answer_bytes=2 * MAX_STATE_BYTES)
        """anvil itself, with every method it has."""
        with reported(f"starting {self._anvil}"):
            self._errors = (self.folder / "anvil.log").open("wb")
            self._process = subprocess.Popen(  # noqa: S603 the program that the user chose
                [sys.executable, "-I", "-S", guard.__file__, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=self.folder,
                # Nothing of ours: it keeps what it writes by itself in our folder.
                env={"HOME": str(self.folder), "LC_ALL": "C"},
                start_new_session=True,  # Ctrl-C is for us
            )
        assert self._process.stdout is not None  # noqa: S101 asked for above
        self.pid = int(self._process.stdout.readline() or 0)
        """anvil's process number."""
        deadline = time.monotonic() + START_WITHIN_S
        while True:
            try:
                # What was taken up from the disk is final; without it, that is block 0.
                self._durable = self._height()
            except UnavailableError:
                ended = self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    said = (self.folder / "anvil.log").read_bytes()[-300:]
                    self._end_child()
                    raise UnavailableError(
                        f"{self._anvil} does not start: {said.decode(errors='replace').strip()}",
                        hint=f"If the state is damaged, move {state} away: the chain begins anew.",
                    ) from None
                time.sleep(0.02)
            else:
                return

    def _height(self) -> int:
        return read_quantity(self.raw.call("eth_blockNumber"), "block number", MAX_NUMBER)

    def _save(self) -> None:
        """Write the state; what is in it when this returns is final."""
        height = self._height()
        packed = read_data(self.raw.call("anvil_dumpState"), "state")
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
                state = file.read(MAX_STATE_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise UnavailableError(
                f"anvil gives a state that cannot be unpacked: {error}",
                hint="Nothing was written; the state on the disk is the last good one.",
            ) from error
        if len(state) > MAX_STATE_BYTES:
            raise UnavailableError(
                f"the development chain has more than {MAX_STATE_BYTES} bytes of state",
                hint=f"Move {self.folder / _STATE} away: the chain begins anew.",
            )
        with reported(f"cannot write {self.folder / _STATE}"):
            # If we stop before this returns, the state before it counts, and no block of this
            # one was called final.
            self._disk.replace(self.folder, _STATE, state, 0o600)
        self._durable = height

    def _grant_to_accounts(self) -> None:
        """Give something to accounts of this user that have nothing."""
        for path in (home() / "accounts").glob("*.json"):
            if path in self._granted:
                continue
            self._granted.add(path)
            with contextlib.suppress(CounterfoilError):  # a file that is no key gets nothing
                address = stated_address(path)
                if read_quantity(self.raw.call("eth_getBalance", address, "latest"), "") == 0:
                    self.raw.call("anvil_setBalance", address, hex(GRANT_WEI))
                    self._save()

    def _stop(self) -> None:
        if self._proxy is not None:
            self._proxy.close()
        self._end_child()
        self._lock.close()

    def _end_child(self) -> None:
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()  # the guard kills anvil, and ends
            try:
                self._process.wait(_END_WITHIN_S)
            except subprocess.TimeoutExpired:
                # A process forked from ours holds the pipe open. On Linux this ends anvil as well.
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._errors is not None:
            self._errors.close()


def dev_folder() -> Path:
    """Say where the user's development chain lies."""
    return home() / "chain" / "dev"


def dev_url() -> str | None:
    """Say where the user's development chain can be reached, if it runs or was killed."""
    path = dev_folder() / _URL
    if not path.exists():
        return None
    with reported(f"cannot read {path}"):
        return path.read_text("ascii").strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
