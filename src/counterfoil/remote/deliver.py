"""Telling whom a watch rule names: a webhook, or a command of this machine.

Each is given one event as a JSON object, and a bounded time. What is not taken is kept and tried
again, so that an event may arrive twice, with the same `id`, and never not at all.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

from counterfoil.errors import UnavailableError
from counterfoil.ledger.web import Peer
from counterfoil.remote.watch import Rule

DELIVER_WITHIN_S = 30.0
"""Time for a webhook to answer, or for a command to end."""

_MAX_ANSWER_BYTES = 64 << 10  # of a webhook, which says nothing that anybody reads
_TAKEN = range(200, 300)

Event = Mapping[str, Any]


class Courier:
    """Delivers events.

    Args:
        within_s: See `DELIVER_WITHIN_S`.
    """

    def __init__(self, *, within_s: float = DELIVER_WITHIN_S) -> None:
        self._within_s = within_s
        self._peers: dict[str, Peer] = {}

    def deliver(self, rule: Rule, event: Event) -> None:
        """Tell one event to whom a rule names.

        Raises:
            UnavailableError: it was not taken.
        """
        data = format_event(event).encode()
        if rule.webhook:
            self._post(rule, data)
        else:
            self._run(rule, data + b"\n")

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._peers:
            self._peers.popitem()[1].close()

    def _post(self, rule: Rule, data: bytes) -> None:
        peer = self._peers.get(rule.webhook)
        if peer is None:
            peer = Peer(rule.webhook, what="webhook", within_s=self._within_s)
            self._peers[rule.webhook] = peer
        doing = f"telling {rule.name}"
        headers = {"Content-Type": "application/json"}
        answer = peer.request("POST", "", data, headers, doing=doing, max_bytes=_MAX_ANSWER_BYTES)
        if answer.status not in _TAKEN:
            raise peer.unavailable(doing, f"HTTP {answer.status}")

    def _run(self, rule: Rule, data: bytes) -> None:
        try:
            process = subprocess.Popen(  # noqa: S603 the user's own rule
                rule.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # so that it ends with all that it started
            )
        except OSError as error:
            raise _not_taken(rule, error.strerror or str(error)) from error
        try:
            process.communicate(data, timeout=self._within_s)
        except subprocess.TimeoutExpired as error:
            raise _not_taken(rule, f"it did not end within {self._within_s:g} s") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        if process.returncode:
            raise _not_taken(rule, f"it ended with {process.returncode}")


def format_event(event: Event) -> str:
    """Write an event on one line: the same one always with the same bytes, also after a restart."""
    return json.dumps(event, sort_keys=True, separators=(",", ":"))


def _not_taken(rule: Rule, why: str) -> UnavailableError:
    return UnavailableError(
        f"{rule.command[0]} did not take an event: {why}",
        hint="It is given JSON on standard input, and has to end with 0.",
    )
