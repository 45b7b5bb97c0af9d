"""Whom a ledger elsewhere is held against: the trust policy that its user adopted for its origin.

The server's word on which log it serves chooses among the user's own policies, and no more: the
key in that policy then has to have signed.
"""

from __future__ import annotations

from pathlib import Path

from counterfoil.core.checkpoint import parse_checkpoint
from counterfoil.core.keys import VerifierKey
from counterfoil.core.note import parse_note
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.text import shown
from counterfoil.errors import PolicyError
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.places import Places
from counterfoil.ledger.policyfile import keep_policy, read_policy
from counterfoil.remote.address import check_address, folder_of
from counterfoil.remote.memory import Memory
from counterfoil.remote.source import Source, read_checkpoint


class Trusted:
    """The policy by which one ledger elsewhere is read.

    Args:
        origin: The log.
        given: A policy from the user; None to go by the adopted one.
        adopts: Whether the given one is adopted once a checkpoint holds by it.
    """

    def __init__(self, origin: str, given: TrustPolicy | None, *, adopts: bool = True) -> None:
        self.places = Places(origin)
        self._given, self._adopts = given, adopts

    def policy(self) -> TrustPolicy:
        """Give the policy as it is now: the adopted one may be followed by another meanwhile.

        Raises:
            PolicyError: there is none.
            As `read_policy`.
        """
        if self._given is not None:
            return self._given
        if not self.places.trust.exists():
            raise _nobody_trusted(self.places.origin, self.places.trust)
        return read_policy(self.places.trust)

    def adopt(self, disk: Disk) -> None:
        """Go by the given policy from now on, here and wherever this user verifies."""
        if self._given is not None and self._adopts:
            keep_policy(self.places.trust, self._given, disk)
            self._given = None


def trust_policy(file: Path, at: str | None = None) -> tuple[TrustPolicy, Places]:
    """Go by a policy from somebody the user trusts; give it, and where it and keys are kept.

    An older one than is gone by already is not taken: what is given is the one that follows it.

    Args:
        file: The policy.
        at: The address of its ledger, if it asks who reads before it says which one it is.

    Raises:
        FormatError: the file is no trust policy, or that is no address.
        PolicyError: another one was adopted for that log, and neither follows the other.
    """
    policy = read_policy(file)
    places = Places(policy.log.origin)
    if places.trust.exists():
        policy = _newer(policy, read_policy(places.trust), places.trust)
    keep_policy(places.trust, policy, Disk())
    if at is not None:
        at = check_address(at)
        Memory(folder_of(at), Disk()).keep_key(policy.log.key, at)
    return policy, places


def find_trusted(
    source: Source,
    known: VerifierKey | None,
    trust: str | Path | TrustPolicy | None,
    *,
    adopts: bool = True,
) -> Trusted:
    """Find the policy to read a site by.

    Args:
        source: The site; asked for its origin where nothing else says it.
        known: The key of the ledger that was opened here before; None the first time.
        trust: A policy from the user; None for the adopted one.
        adopts: Whether it is adopted, and so has to fit the adopted one.

    Raises:
        PolicyError: there is none, or it is of another ledger than was opened here before.
        UnavailableError: the site does not answer.
    """
    given = trust if isinstance(trust, TrustPolicy) or trust is None else read_policy(Path(trust))
    if given is not None:
        origin = given.log.origin
    elif known is not None:
        origin = known.name
    else:
        origin = parse_checkpoint(parse_note(read_checkpoint(source)).text).origin
    adopted = Places(origin).trust
    if given is not None and adopts and adopted.exists():
        given = _newer(given, read_policy(adopted), adopted)
    trusted = Trusted(origin, given, adopts=adopts)
    keys = trusted.policy().log.keys
    if known is not None and known not in keys.all:
        raise PolicyError(
            f"{source.name} was opened here as {known.label}, and the trust policy is about "
            f"{keys.label}",
            have=keys.label,
            need=known.label,
            hint="It is another ledger, or the policy is of another one.",
        )
    return trusted


def _newer(given: TrustPolicy, adopted: TrustPolicy, path: Path) -> TrustPolicy:
    """Give the one of two policies that follows the other; the user vouches for the given one.

    Raises:
        PolicyError: neither does.
    """
    if given.digest == adopted.digest or given.digest.hex() in _before(adopted):
        return adopted
    if adopted.digest.hex() in _before(given):
        return given
    raise PolicyError(
        f"another policy was adopted for {shown(adopted.log.origin)}: {path}",
        have=adopted.digest.hex(),
        need=given.digest.hex(),
        hint="Leave `trust` out to go by it; or remove that file if the given one is right.",
    )


def _before(policy: TrustPolicy) -> set[str]:
    return {policy.previous, *(one.digest for one in policy.predecessors)}


def _nobody_trusted(origin: str, path: Path) -> PolicyError:
    return PolicyError(
        f"no trust policy was adopted for {shown(origin)}, so nothing it says can be verified",
        have="none",
        need="a trust policy with the log's key",
        hint="Get its trust.toml from somebody you trust, not from the server, and adopt it: "
        f"counterfoil policy trust FILE, or counterfoil.open(url, trust=FILE). It goes to {path}.",
    )
