"""What an approval says, and who may, checked before it is said: the log keeps it for good."""

from __future__ import annotations

from collections.abc import Sequence

from counterfoil.core.arguments import require
from counterfoil.core.canonical import JsonValue
from counterfoil.core.envelope import Envelope
from counterfoil.core.instant import parse_instant
from counterfoil.core.judgement import REVOCATION
from counterfoil.core.statement import parse_statement
from counterfoil.core.testimony import check_attestation, find_permitted
from counterfoil.errors import FormatError, PolicyError, VerificationError
from counterfoil.ledger.log import Log
from counterfoil.ledger.trust import Trust
from counterfoil.models.version import Version


def approval_of(
    log: Log, version: Version, *, stage: str, comment: str, expires: str | None, after: int | None
) -> dict[str, JsonValue]:
    """Make the predicate of an approval.

    Args:
        log: Where the version is attested.
        version: What is approved.
        stage: Where it may be used.
        comment: What the approvers looked at.
        expires: `YYYY-MM-DDTHH:MM:SSZ`, or None for never.
        after: Index of the revocation that this comes after and knows of; None for none.

    Raises:
        FormatError: the policy knows no such stage, the time is none or over, or no revocation of
            this version stands at `after`.
    """
    Trust(log).require_stage(stage)
    body: dict[str, JsonValue] = {
        "stage": stage,
        "decision": "approve",
        "comment": comment,
        "after": after,
    }
    if expires is not None:
        require(expires, str, "a time as text", 'Write "2030-12-31T00:00:00Z".')
        if parse_instant(expires, "expires") <= log.clock():
            raise FormatError(f"expires: {expires} is over", hint="Give a time to come.")
        body["expires"] = expires
    if after is not None:
        revoked = [one.index for one in log.find(subject=version.digest, predicate=REVOCATION)]
        if after not in revoked:
            raise FormatError(
                f"no revocation of {version.name} version {version.version} is at entry {after}",
                hint=f"It was revoked at: {', '.join(map(str, revoked)) or 'no entry'}.",
            )
    return body


def sign_to_count(
    log: Log, version: Version, predicate: str, body: dict[str, JsonValue], by: Sequence[str]
) -> Envelope:
    """Sign what is said of a version, if the policy lets one of its signers say it.

    Args:
        log: Where it is to be written.
        version: What it is about.
        predicate: Short name.
        body: What is said.
        by: Local principals.

    Raises:
        PolicyError: it would not count; says who may.
        UnavailableError: a key is not on this machine.
    """
    envelope = log.sign([version.subject], predicate, body, by=by)
    policy = Trust(log).show()
    try:
        check_attestation(policy, envelope, parse_statement(envelope.in_toto), log.size)
    except VerificationError as error:
        everybody = [one.name for one in policy.principals]
        may = ", ".join(find_permitted(policy, everybody, predicate, [version.name])) or "nobody"
        raise PolicyError(
            f"{error}; it would not count, and is not written",
            have=", ".join(by),
            need=f"one of: {may}",
            hint=f"By the trust policy, who may say {predicate!r} about {version.name!r}: {may}.",
        ) from error
    return envelope
