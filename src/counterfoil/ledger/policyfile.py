"""A trust policy in a file, and the digest by which one that was damaged since is told."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from counterfoil.core.policy import TrustPolicy, format_policy, parse_policy
from counterfoil.core.toml import MAX_TOML_BYTES
from counterfoil.errors import VerificationError
from counterfoil.ledger.disk import Disk, read_file, reported

_DIGEST = "# digest: "  # begins the last line of a file that `adopt` wrote


def format_adopted(policy: TrustPolicy) -> bytes:
    """Write an adopted policy, with its digest as the last line."""
    return f"{format_policy(policy)}{_DIGEST}{policy.digest.hex()}\n".encode()


def keep_policy(path: Path, policy: TrustPolicy, disk: Disk) -> None:
    """Put an adopted policy where gates and `verify` look for it; it is durable on return.

    Raises:
        UnavailableError: the disk refuses.
    """
    with reported(f"cannot keep the policy in {path.parent}"):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        disk.replace(path.parent, path.name, format_adopted(policy))


def read_policy(path: Path) -> TrustPolicy:
    """Read a policy from a file; if its last line says the digest, it has to be that policy's.

    Raises:
        FormatError: it is no trust policy.
        UnavailableError: it cannot be read.
        VerificationError: it has another digest than it says.
    """
    return _parse_adopted(read_file(path, MAX_TOML_BYTES), str(path))


@lru_cache(maxsize=16)  # it is looked at for each decision
def _parse_adopted(data: bytes, path: str) -> TrustPolicy:
    policy = parse_policy(data, path)
    last = data.decode().splitlines()[-1]
    if last.startswith(_DIGEST) and last != f"{_DIGEST}{policy.digest.hex()}":
        raise VerificationError(
            f"{path} is not the policy that was adopted",
            hint="It was damaged or edited. Restore it from the ledger's log or a backup; whoever "
            "means to go by it as it is takes its last line off.",
        )
    return policy
