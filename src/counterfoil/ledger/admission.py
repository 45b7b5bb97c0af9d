"""What a ledger lets in from outside: envelopes that its trust policy lets somebody say.

A ledger appends what its own programs hand it; whoever comes over a network is asked more. The
envelope is read strictly, its statement too, and somebody who may say this must have signed it, by
the policy as it is adopted at that moment. Without a policy, or with an expired one, nothing is
let in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from counterfoil.core.envelope import parse_envelope
from counterfoil.core.instant import parse_instant
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.statement import parse_statement
from counterfoil.core.testimony import check_attestation
from counterfoil.errors import PolicyError
from counterfoil.ledger.blobs import shorten
from counterfoil.ledger.log import Log
from counterfoil.ledger.trust import Trust


@dataclass(frozen=True, slots=True)
class Admitted:
    """An envelope that may be appended.

    Args:
        entry: What stands in the log for it: itself, or a reference to it beside the log.
    """

    entry: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the entry: of two alike, the second is the first one said again."""
        return sha256(self.entry).digest()


class Admission:
    """Lets envelopes in, or says why not. May be used by several threads.

    Args:
        log: Whose policy is asked, and beside which large envelopes are stored.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._policy = Adopted(log)

    @property
    def policy(self) -> TrustPolicy:
        """The policy as it is adopted now.

        Raises:
            FormatError: none was adopted on this machine, or its file is no policy.
            VerificationError: its file is not what was adopted.
        """
        return self._policy()

    def admit(self, data: bytes) -> Admitted:
        """Let an envelope in; one that is too large for an entry is stored beside the log.

        Args:
            data: Canonical JSON of an envelope that holds a statement.

        Raises:
            FormatError: it is no such envelope; or as `policy`.
            SignatureError: no principal signed it, or a principal's signature is false.
            PolicyError: nobody who may say this has signed it, or the policy has expired.
            UnavailableError: it cannot be stored.
        """
        envelope = parse_envelope(data)
        statement = parse_statement(envelope.in_toto)
        policy = self.policy
        if self._log.clock() >= parse_instant(policy.expires, "expires"):
            raise PolicyError(
                f"the trust policy expired at {policy.expires}, and nothing is let in",
                hint="Whoever runs the ledger has to adopt the next one.",
            )
        check_attestation(policy, envelope, statement, self._log.size)
        return Admitted(shorten(data, self._log.engine.blobs))


class Adopted:
    """The adopted policy, read again when its file has changed."""

    def __init__(self, log: Log) -> None:
        self._path = log.places.trust
        self._show: Callable[[], TrustPolicy] = Trust(log).show
        self._lock = threading.Lock()
        self._known: tuple[object, TrustPolicy] | None = None

    def __call__(self) -> TrustPolicy:
        """Give it; raises as `Trust.show`."""
        try:
            state = self._path.stat()
        except OSError:
            return self._show()  # says what is wrong
        # A file that is replaced is another one, also within one tick of the clock.
        seen = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
        with self._lock:
            if self._known is None or self._known[0] != seen:
                self._known = (seen, self._show())
            return self._known[1]
