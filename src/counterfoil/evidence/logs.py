"""Which logs an evidence file is of: one, or several that follow each other as shards.

    log     {origin, key}              the one that has the record
    newest  {origin, key, earlier}     where there are several: the one that the verifier knows,
    shards  [link, …]                  and what ties each to the one after it, oldest first
    link    {handover: {entry, receipt}, takeover: {entry, receipt}}

Where there are several, all receipts of a log lead to one checkpoint of it: its end, by which the
log after it has taken over, and so on up to the newest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from counterfoil.core.canonical import JsonValue
from counterfoil.core.checkpoint import LogKeys, earlier_from_json, earlier_to_json
from counterfoil.core.keys import format_vkey, parse_vkey
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.receipt import parse_receipt
from counterfoil.core.shard import MAX_SHARDS, Link, Shard, check_links
from counterfoil.core.text import format_base64, parse_base64, shown
from counterfoil.errors import FormatError, PolicyError, VerificationError

_POLICY_HINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Logs:
    """The logs of an evidence file.

    Args:
        shards: All of them, oldest first, up to the one that the verifier knows.
        own: The one that has the record.
        note: Of the newest, where there are several: its checkpoint, as signed and cosigned.
    """

    shards: tuple[Shard, ...]
    own: Shard
    note: bytes = b""

    @property
    def newest(self) -> Shard:
        """The one that the verifier knows."""
        return self.shards[-1]

    @property
    def earlier(self) -> tuple[Shard, ...]:
        """Those before the record's."""
        return self.shards[: self.shards.index(self.own)]


def read_logs(evidence: Mapping[str, JsonValue], policy: TrustPolicy | None) -> Logs:
    """Read which logs a file is of, by the policy's keys, and check that they follow each other.

    Raises:
        FormatError: A part is malformed.
        PolicyError: The policy is of another log.
        VerificationError: They do not follow each other.
    """
    claimed = _read_keys(evidence.get("log"), "log")
    hint = evidence.get("policy")
    if not isinstance(hint, str) or not _POLICY_HINT.fullmatch(hint):
        raise malformed("policy")
    if "shards" not in evidence:
        own = Shard(_known(claimed, policy))
        return Logs((own,), own)
    keys = _known(_read_keys(evidence.get("newest"), "newest"), policy)
    links = _read_links(evidence["shards"])
    shards = check_links(links, keys)
    found = [shard for shard in shards if claimed.key in shard.keys.all]
    if not found:
        raise VerificationError(
            f"the log {shown(claimed.label)} is none of the shards that the evidence ties together",
            hint="They are of another log; ask for the file again.",
        )
    return Logs(shards, found[0], parse_receipt(links[-1].takeover[1]).checkpoint)


def shards_to_json(links: tuple[Link, ...], newest: LogKeys) -> dict[str, JsonValue]:
    """Write the members `newest` and `shards`."""
    return {
        "newest": {
            "origin": newest.name,
            "key": format_vkey(newest.key),
            "earlier": earlier_to_json(newest),
        },
        "shards": [
            {"handover": _step_to_json(link.handover), "takeover": _step_to_json(link.takeover)}
            for link in links
        ],
    }


def malformed(part: str) -> FormatError:
    """Make the error for a part of the evidence that is not what it should be."""
    return FormatError(
        f"the part `{part}` of the evidence is missing or malformed",
        hint="See docs/reference/evidence.md; ask for the file again.",
    )


def _read_keys(value: JsonValue, part: str) -> LogKeys:
    match value:
        case {"origin": str(origin), "key": str(vkey), **rest} if part == "log" and not rest:
            keys = LogKeys(parse_vkey(vkey))
        case {"origin": str(origin), "key": str(vkey), "earlier": list(earlier), **rest} if (
            part == "newest" and not rest
        ):
            keys = LogKeys(parse_vkey(vkey), earlier_from_json(earlier))
        case _:
            raise malformed(part)
    if keys.name != origin:
        raise malformed(part)
    return keys


def _known(claimed: LogKeys, policy: TrustPolicy | None) -> LogKeys:
    """Take the log's keys from the policy, and refuse a file of another log."""
    if policy is None:
        return claimed
    if claimed.key not in policy.log.keys.all:
        raise PolicyError(
            f"this evidence is of the log {claimed.name} with the key {claimed.label}; the trust "
            f"policy knows {policy.log.key.label}",
            have=claimed.label,
            need=policy.log.key.label,
            hint="It proves nothing to you: anybody can make a log of their own. If this one has a "
            "new key, or has ended, get its newest trust policy.",
        )
    return policy.log.keys


def _read_links(value: JsonValue) -> tuple[Link, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_SHARDS:
        raise malformed("shards")
    return tuple(map(_read_link, value))


def _read_link(value: JsonValue) -> Link:
    match value:
        case {"handover": handover, "takeover": takeover, **rest} if not rest:
            return Link(_read_step(handover), _read_step(takeover))
    raise malformed("shards")


def _read_step(value: JsonValue) -> tuple[bytes, bytes]:
    match value:
        case {"entry": str(entry), "receipt": str(receipt), **rest} if not rest:
            return parse_base64(entry, "entry of a shard"), receipt.encode()
    raise malformed("shards")


def _step_to_json(step: tuple[bytes, bytes]) -> JsonValue:
    entry, receipt = step
    return {"entry": format_base64(entry), "receipt": receipt.decode()}
