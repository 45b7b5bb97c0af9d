"""A member of a committee who answers over HTTP, beside its witness and with the same memory."""

from __future__ import annotations

from counterfoil.chain.account import Account
from counterfoil.chain.member import LocalMember
from counterfoil.chain.request import MAX_REQUEST_BYTES, format_answer, parse_request
from counterfoil.core.policy import TrustPolicy
from counterfoil.errors import (
    FormatError,
    PolicyError,
    SignatureError,
    VerificationError,
)
from counterfoil.ledger.localwitness import RememberedError
from counterfoil.ledger.ownwitness import OwnWitness
from counterfoil.ledger.places import Places
from counterfoil.ledger.policyfile import read_policy
from counterfoil.ledger.witness import (
    STATUS_CONFLICT,
    STATUS_FORBIDDEN,
    STATUS_MALFORMED,
    STATUS_OK,
    STATUS_UNPROVEN,
)


class AnchorDesk:
    """Answers requests for signatures, in the name of one member.

    It signs only for logs whose trust policy was adopted on this machine and names this witness
    with this account, and for the chain and the contract that are named there.

    Args:
        witness: Its check and its memory.
        account: Its anchor key.
    """

    max_bytes = MAX_REQUEST_BYTES

    def __init__(self, witness: OwnWitness, account: Account) -> None:
        self._witness = witness
        self._account = account

    def answer(self, data: bytes) -> tuple[int, bytes]:
        """Answer a request: HTTP status and body.

        What is wrong with this machine, such as a policy that was damaged since, is raised: it is
        for its operator alone.
        """
        try:
            request = parse_request(data)
        except FormatError as error:
            return STATUS_MALFORMED, f"{error}\n".encode()
        path = Places(request.checkpoint.origin).trust
        if not path.exists():
            return STATUS_FORBIDDEN, b"no trust policy was adopted here for this log\n"
        policy = read_policy(path)
        try:
            self._require_seat(policy)
            member = LocalMember(policy, self._witness, self._account)
            return STATUS_OK, format_answer(member.sign(request))
        except RememberedError as remembered:
            return STATUS_CONFLICT, f"{remembered.size}\n".encode()
        except (PolicyError, SignatureError) as error:
            return STATUS_FORBIDDEN, f"{error}\n".encode()
        except VerificationError as error:
            return STATUS_UNPROVEN, f"{error}\n".encode()

    def _require_seat(self, policy: TrustPolicy) -> None:
        """Refuse where the policy has this account beside another witness, or none.

        One account with two memories could be led to sign two roots of one size.
        """
        key, address = self._witness.signers[0].key, self._account.address.lower()
        if not any(
            one.key == key and one.anchor is not None and one.anchor.address == address
            for one in policy.witnesses
        ):
            raise PolicyError(
                f"the trust policy adopted here does not name {key.label} with {address}",
                hint="Adopt the policy that names this member: counterfoil chain agree.",
            )
