"""Every exception of counterfoil, on one page.

    CounterfoilError
    ├── FormatError          bytes are not what the specification says
    ├── VerificationError    well formed, not true
    │   ├── SignatureError   no trusted key signed this, or a trusted key's signature is false
    │   ├── ProofError       a Merkle proof leads elsewhere
    │   ├── PolicyError      true, but not enough for the trust policy
    │   └── SplitViewError   two checkpoints of one log that cannot both be honest
    ├── RefusedError         a gate or a contract said no, and lists every reason
    ├── ConflictError        somebody else writes here, or wrote first; reload
    └── UnavailableError     a store, witness, chain or disk did not do its part; retry

A bad input, a false claim, a lost race and an outage are different things and get different
classes. Our own bug is an `AssertionError`, never one of these.
"""

from __future__ import annotations

from typing import ClassVar


class CounterfoilError(Exception):
    """Base of all errors that counterfoil raises on purpose.

    Args:
        message: What is wrong, and where.
        hint: What the reader can do about it, one sentence; may be empty.

    `exit_code` is what the command line exits with; docs/reference/exit-codes.md lists them.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class FormatError(CounterfoilError):
    """Bytes, text or arguments are not in the one form that is accepted."""

    exit_code = 3


class VerificationError(CounterfoilError):
    """Something is well formed and not true."""

    exit_code = 4


class SignatureError(VerificationError):
    """No trusted key signed this, or the signature of a trusted key is false."""

    exit_code = 5


class ProofError(VerificationError):
    """A Merkle proof does not lead from what is claimed to the root."""

    exit_code = 6


class PolicyError(VerificationError):
    """What is there is true, and the trust policy asks for more.

    Args:
        message: What is missing, and for what.
        have: What was found and counts.
        need: What the policy demands.
        hint: What to do.
    """

    exit_code = 7

    def __init__(self, message: str, *, have: str = "", need: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.have = have
        self.need = need


class SplitViewError(VerificationError):
    """One log signed two histories; `a` and `b` are the evidence.

    Args:
        message: Which log, and at which size.
        a: One checkpoint, as the signed note's bytes.
        b: The other.
        hint: What to do.
    """

    exit_code = 8

    def __init__(self, message: str, *, a: bytes, b: bytes, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.a = a
        self.b = b


class RefusedError(CounterfoilError):
    """A gate said no.

    Args:
        message: What was refused.
        reasons: Every reason, not only the first.
        hint: What would have to be there for a yes.

    `index` is that of the refusal in the log, or None where none was written.
    """

    exit_code = 9
    index: int | None = None

    def __init__(self, message: str, *, reasons: tuple[str, ...], hint: str = "") -> None:
        super().__init__("; ".join((message, *reasons)) if reasons else message, hint=hint)
        self.reasons = reasons


class ConflictError(CounterfoilError):
    """Another writer holds this, or was faster; reload and try again."""

    exit_code = 10


class UnavailableError(CounterfoilError):
    """A disk, store, witness or chain did not answer or has no room.

    Nothing was half-done, or the message says what stands.
    """

    exit_code = 11
