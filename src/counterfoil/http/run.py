"""A server process: granian, told what we know, and ended so that nothing taken is lost.

granian bounds what comes before a request is one: a head has to arrive in time, idle connections
are closed after the same time, and no more are accepted than may be open. On SIGTERM or Ctrl-C it
accepts nothing new, what is under way is answered, and the ledger is settled and closed; what is
not done after `DRAIN_WITHIN_S` is cut off, as by a crash, which loses nothing that was
acknowledged.

The server is one process that watches others, the workers, which open the ledger. It has the
address for itself, and they accept from the one socket that it opened. A worker whose watcher was
killed ends by itself, whatever it was doing.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import resource
import signal
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]
from starlette.types import ASGIApp

from counterfoil import ledger as ledgers
from counterfoil.errors import FormatError, UnavailableError
from counterfoil.http.logs import logging_config
from counterfoil.http.settings import ENDING_SIGNAL, Settings

HEAD_WITHIN_S = 10
"""How long the head of a request may take to arrive, and how long a connection may be idle."""

DRAIN_WITHIN_S = 30
"""How long what is under way may take, once the server is told to end."""

MAX_CONNECTIONS = 4096
"""Connections of one worker; the next ones wait until one is closed."""

_SPARE_FILES = 256  # open files beside connections
_LOG = logging.getLogger("counterfoil.http")


def serve_ledger(settings: Settings, started: Callable[[], None]) -> None:
    """Serve a ledger until told to end.

    Args:
        settings: All there is to say.
        started: Called when the address is ours.

    Raises:
        FormatError: certificate or key are not read.
        UnavailableError: the address is not free, or a worker ended by itself.
    """
    _serve(settings, partial(_load_ledger, settings), started)


def serve_witness(settings: Settings, name: str, started: Callable[[], None]) -> None:
    """Serve a witness of this machine until told to end; see `serve_ledger`.

    Args:
        settings: Where to listen; the rest is not asked.
        name: The witness.
        started: Called when the address is ours.
    """
    _serve(settings, partial(_load_witness, name), started)


def _load_ledger(settings: Settings) -> ASGIApp:
    _end_with_watcher()
    from counterfoil.http.app import ledger_app  # noqa: PLC0415 in the worker, not its watcher

    return ledger_app(settings)


def _load_witness(name: str) -> ASGIApp:
    _end_with_watcher()
    from counterfoil.http.witness import named_app  # noqa: PLC0415 likewise

    return named_app(name)


def _serve(settings: Settings, load: Callable[[], ASGIApp], started: Callable[[], None]) -> None:
    files = _raise_files()
    # Not forked: this process may have read from an object store, whose threads a fork has not.
    multiprocessing.set_start_method("spawn", force=True)
    try:
        server = _Server(
            "counterfoil",
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGI,
            workers=settings.workers,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=HEAD_WITHIN_S * 1000),
            websockets=False,
            backpressure=max(16, min(MAX_CONNECTIONS, files - _SPARE_FILES)),
            log_dictconfig=logging_config(),
            log_level=LogLevels.warning,
            ssl_cert=settings.tls_cert,
            ssl_key=settings.tls_key,
            ssl_ca=settings.client_ca,
            ssl_client_verify=settings.client_ca is not None,
            workers_kill_timeout=DRAIN_WITHIN_S,
        )
    except (ssl.SSLError, OSError) as error:
        raise FormatError(
            f"certificate and key cannot be used: {error}",
            hint="Both are PEM; the key has no passphrase and belongs to the certificate.",
        ) from error
    server.notice_s = settings.notice_s
    signal.signal(ENDING_SIGNAL, signal.SIG_IGN)  # until a worker listens to it
    server.on_startup(started)
    try:
        server.serve(target_loader=load, wrap_loader=False)
    except SystemExit as ended:
        if ended.code:
            raise UnavailableError(
                "the server ended by itself", hint="The lines above, on standard error, say why."
            ) from None


class _Server(Granian):  # type: ignore[misc,valid-type]
    """granian's, which gives notice before it ends."""

    notice_s = 0.0
    has_notice = False

    def _init_shared_socket(self) -> None:
        """Have the address alone; granian would share it with whoever else asks for it."""
        is_v6 = ":" in self.bind_addr
        try:
            self._sso = socket.create_server(
                (self.bind_addr, self.bind_port),
                family=socket.AF_INET6 if is_v6 else socket.AF_INET,
                backlog=self.backlog,
                dualstack_ipv6=is_v6 and socket.has_dualstack_ipv6(),
            )
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise UnavailableError(
                f"cannot listen at {self.bind_addr}:{self.bind_port}: {why}",
                hint="Does another program listen there?",
            ) from error
        self._sso.set_inheritable(True)
        self._sfd = self._sso.fileno()
        holder = SocketHolder(self._sfd, False, self.backlog)  # type: ignore[call-arg]
        self._ssp, self._shd = None, holder

    def signal_handler_interrupt(self, *given: object, **more: object) -> None:
        """Say at `/readyz` that it ends, for so long that nobody sends anything more; then end."""
        if self.has_notice or not self.notice_s:
            super().signal_handler_interrupt(*given, **more)
            return
        self.has_notice = True
        for worker in self.wrks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.inner.pid, ENDING_SIGNAL)
        ending = threading.Timer(self.notice_s, super().signal_handler_interrupt)
        ending.daemon = True  # told twice, it ends at once
        ending.start()

    def signal_handler_reload(self, *given: object, **more: object) -> None:
        """End when the terminal is closed: a second set of workers could not write."""
        self.signal_handler_interrupt(*given, **more)


def _end_with_watcher() -> None:
    """Have this process, a worker, end with the one that watches it."""
    logging.captureWarnings(True)
    warnings.simplefilter("ignore", ledgers.SilentWitnessWarning)  # `service` logs them
    # Known by a pipe that it alone holds open, from before this process began.
    watcher = multiprocessing.parent_process()
    assert watcher is not None, "a worker is started by a watcher"  # noqa: S101 our own bug

    def wait() -> None:
        watcher.join()
        _LOG.error("the process that watched this one is gone")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(DRAIN_WITHIN_S)
        os._exit(1)  # as the watcher would have cut it off

    threading.Thread(target=wait, daemon=True).start()


def _raise_files() -> int:
    """Allow as many open files as the system lets us; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _SPARE_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
