"""Which witnesses cosigned a checkpoint, and what that says: what they had seen, and no more."""

from __future__ import annotations

from counterfoil.core.checkpoint import parse_checkpoint
from counterfoil.core.cosignature import find_cosignatures
from counterfoil.core.note import parse_note
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import Grade, check_quorum, half_signed, is_outside
from counterfoil.evidence.finding import Finding


def check_cosigned(note: bytes, policy: TrustPolicy | None) -> Finding:
    """Find who cosigned a checkpoint, by the policy of whoever verifies.

    Raises:
        PolicyError: fewer than the policy's quorum.
        SignatureError: a line in the name of a witness is false.
    """
    if policy is None:
        return Finding()
    parsed = parse_note(note)
    found = find_cosignatures(parsed, policy.witness_keys)
    grade = check_quorum(policy, found)
    keys = {key for key, _ in found}
    halves = tuple(
        f"Witness {witness.name}: its cosignature by {lacking} is missing, and it counts "
        "only with both."
        for witness, lacking in half_signed(policy, keys)
    )
    if grade is not Grade.WITNESSED:
        return Finding(not_checked=halves)
    outside = [
        f"{witness.name} ({witness.operator})"
        for witness in policy.witnesses
        if keys.issuperset(witness.keys) and is_outside(policy, [witness.operator])
    ]
    size = parse_checkpoint(parsed.text).size
    by, each = (outside[0], "it") if len(outside) == 1 else (", ".join(outside), "each of them")
    return Finding(
        size,
        grade,
        (f"The log of {size} entries is cosigned by {by}: {each} had seen no other history.",),
        halves,
        (f"{by}, that {each} cosigned no other history of the log.",),
    )
