"""What an approval says, checked before it is said: what stands in the log stands for good."""

from __future__ import annotations

from counterfoil.core.arguments import require
from counterfoil.core.canonical import JsonValue
from counterfoil.core.instant import parse_instant
from counterfoil.core.judgement import REVOCATION
from counterfoil.errors import FormatError
from counterfoil.ledger.log import Log
from counterfoil.ledger.trust import Trust
from counterfoil.models.version import Version


def approval_of(
    log: Log, version: Version, *, stage: str, comment: str, expires: str | None, after: int | None
) -> dict[str, JsonValue]:
    """Make the predicate of an approval; whether its signers may approve is for the gate.

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
