"""A member of a committee who answers over HTTP, beside its witness and with the same memory."""

from __future__ import annotations

from counterfoil.chain.account import Account
from counterfoil.chain.here import policy_for
from counterfoil.chain.member import LocalMember
from counterfoil.chain.request import MAX_REQUEST_BYTES, format_answer, parse_request
from counterfoil.errors import (
    FormatError,
    PolicyError,
    SignatureError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.localwitness import RememberedError, WitnessClient
from counterfoil.ledger.witness import (
    STATUS_CONFLICT,
    STATUS_FORBIDDEN,
    STATUS_MALFORMED,
    STATUS_OK,
    STATUS_UNPROVEN,
)

_STATUS_UNAVAILABLE = 503


class AnchorDesk:
    """Answers requests for signatures, in the name of one member.

    It signs only for logs whose trust policy was adopted on this machine, and for the chain and
    the contract that are named there.

    Args:
        witness: Its check and its memory.
        account: Its anchor key.
    """

    max_bytes = MAX_REQUEST_BYTES

    def __init__(self, witness: WitnessClient, account: Account) -> None:
        self._witness = witness
        self._account = account

    def answer(self, data: bytes) -> tuple[int, bytes]:
        """Answer a request: HTTP status and body."""
        try:
            request = parse_request(data)
        except FormatError as error:
            return STATUS_MALFORMED, f"{error}\n".encode()
        try:
            policy = policy_for(data, None)
        except FormatError:
            return STATUS_FORBIDDEN, b"no trust policy was adopted here for this log\n"
        try:
            member = LocalMember(policy, self._witness, self._account)
            return STATUS_OK, format_answer(member.sign(request))
        except RememberedError as remembered:
            return STATUS_CONFLICT, f"{remembered.size}\n".encode()
        except (PolicyError, SignatureError) as error:
            return STATUS_FORBIDDEN, f"{error}\n".encode()
        except VerificationError as error:
            return STATUS_UNPROVEN, f"{error}\n".encode()
        except UnavailableError:
            # What is wrong with this machine is for its operator alone.
            return _STATUS_UNAVAILABLE, b"this member cannot sign now\n"
