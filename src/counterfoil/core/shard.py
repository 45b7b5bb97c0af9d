"""Shards: a log that ends and says where it goes on, and one that begins where another ended.

    old log   …, handover             its last entry, for ever: names the next log and its key
    new log   takeover, …             its first entry: names the old log, its final size and root

Both are statements. The handover is signed by the old log's own key, the takeover by both logs'
keys. So a proof reaches across: the entry is under the old log's final root, and that root is in
the takeover, which is under the new log's. Who verifies knows only the newest log.

    carried = {receipt, takeovers: [{entry, receipt}, …]}      oldest takeover first
    links   = [{handover: {entry, receipt}, takeover: {entry, receipt}}, …]

Where more than that an entry was there has to be known, as in an evidence file, a link has the
handover, too: it names the trust policy by which the old log is judged, and the one log that goes
on after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.core.checkpoint import Checkpoint, LogKeys, earlier_from_json, earlier_to_json
from counterfoil.core.envelope import Envelope, check_envelope, parse_envelope
from counterfoil.core.keys import VerifierKey, format_vkey, parse_vkey
from counterfoil.core.merkle import Hash, as_hash
from counterfoil.core.receipt import check_receipt, parse_receipt
from counterfoil.core.statement import (
    RFC9162_SHA256,
    SHA256,
    Statement,
    Subject,
    parse_statement,
    predicate_type,
)
from counterfoil.core.text import format_base64, parse_base64, parse_hex, shown
from counterfoil.errors import FormatError, ProofError, SignatureError, VerificationError

HANDOVER, TAKEOVER = "handover", "takeover"
"""Short names of the two predicates."""

MAX_SHARDS = 64
"""Hand-overs that a proof reaches across: a shard a year for a lifetime."""

MAX_CARRIED_BYTES = 8 << 20
"""Longest carried receipt that is read."""

_FORMAT = "carried-receipt/v1"
CARRIED_HEAD = f'{{"counterfoil":"{_FORMAT}"'.encode()
"""How a carried receipt begins: its form is canonical."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What the last entry of a log says.

    Args:
        following: Key of the log that goes on; its name is that one's origin.
        policy: SHA-256, in hex, of the trust policy that was in force at the end; None if nobody
            says, as in the first ones that were written.
    """

    following: VerifierKey
    policy: str | None


@dataclass(frozen=True, slots=True)
class Takeover:
    """What the first entry of a shard says.

    Args:
        log: Origin of the log that begins.
        keys: All keys of the log that ended.
        checkpoint: The end of that log: origin, final size, root.
    """

    log: str
    keys: LogKeys
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Link:
    """What ties a log to the one after it: an entry of each, with its receipt as text.

    Args:
        handover: The older one's last.
        takeover: The newer one's first.
    """

    handover: tuple[bytes, bytes]
    takeover: tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Shard:
    """A log that is shown to be one of several that follow each other.

    Args:
        keys: Its own.
        checkpoint: What its receipts have to lead to: its end; of the newest, where it was when
            the links were made. None if that is not said.
        policy: SHA-256, in hex, of the trust policy that its hand-over names; None if it names
            none, and of the newest.
    """

    keys: LogKeys
    checkpoint: Checkpoint | None = None
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class Carried:
    """A receipt, and what carries it into a newer shard.

    Args:
        receipt: The entry's, at the final checkpoint of its own log, as text.
        takeovers: First entry of each shard since, and its receipt, oldest first.
    """

    receipt: bytes
    takeovers: tuple[tuple[bytes, bytes], ...]


def handover_statement(origin: str, handover: Handover, size: int) -> Statement:
    """Say that a log ends with this entry, and where it goes on; `handover_of` is the inverse.

    Args:
        origin: Of the log that ends.
        handover: What is said.
        size: Entries of the log that ends, this one included.
    """
    vkey = format_vkey(handover.following)
    subject = Subject(handover.following.name, {SHA256: sha256(vkey.encode()).hexdigest()})
    body: dict[str, JsonValue] = {"log": origin, "next": vkey, "size": size}
    if handover.policy is not None:
        body["policy"] = handover.policy
    return Statement((subject,), predicate_type(HANDOVER), body)


def takeover_statement(takeover: Takeover) -> Statement:
    """Say that a log begins where another one ended; `takeover_of` is the inverse."""
    ended = takeover.checkpoint
    subject = Subject(ended.origin, {RFC9162_SHA256: ended.root.hex()})
    body: dict[str, JsonValue] = {
        "log": takeover.log,
        "key": format_vkey(takeover.keys.key),
        "earlier": earlier_to_json(takeover.keys),
        "size": ended.size,
        "root": ended.root.hex(),
    }
    return Statement((subject,), predicate_type(TAKEOVER), body)


def handover_of(entry: bytes, keys: LogKeys, size: int) -> Handover | None:
    """Read where a log goes on after this entry, if it is a hand-over.

    Anything may stand in a log: it is one only where the log's own key has signed it.

    Args:
        entry: The log's last.
        keys: Its own.
        size: Its number of entries.
    """
    try:
        envelope = parse_envelope(entry)
        statement = parse_statement(envelope.in_toto)
        body = statement.predicate
        policy = None
        if "policy" in body:
            policy = parse_hex(str(body["policy"]), "policy of a handover", size=32).hex()
        handover = Handover(parse_vkey(str(body.get("next"))), policy)
        if statement != handover_statement(keys.name, handover, size):
            return None
        check_envelope(envelope, keys.all)
    except (FormatError, SignatureError):
        return None
    return handover


def takeover_of(envelope: Envelope, keys: LogKeys) -> Takeover:
    """Read the first entry of a shard.

    Args:
        envelope: The entry.
        keys: Of the log that it begins.

    Raises:
        FormatError: it says something else.
        VerificationError: it is of another log, or a key of one of the two logs has not signed.
    """
    statement = parse_statement(envelope.in_toto)
    takeover = _read_takeover(statement.predicate)
    if statement != takeover_statement(takeover):
        raise _no_takeover()
    if takeover.log != keys.name:
        raise VerificationError(
            f"this takeover belongs to the log {shown(takeover.log)}, and this is "
            f"{shown(keys.name)}",
            hint="A statement counts only in the log that it names.",
        )
    signed = check_envelope(envelope, (*keys.all, *takeover.keys.all))
    if takeover.keys.key not in signed or not set(signed) & set(keys.all):
        raise SignatureError(
            f"the takeover from {shown(takeover.keys.name)} is not signed by both logs",
            hint="The log that ended has to say so, too; ask for the shard's first entry again.",
        )
    return takeover


def check_carried(entry: bytes, carried: Carried, keys: LogKeys) -> tuple[Checkpoint, ...]:
    """Check that an entry is in an older shard of a log.

    Args:
        entry: The very bytes that were appended.
        carried: As parsed.
        keys: Of the newest log, from the verifier's own trust policy.

    Returns:
        What covers the entry: the final checkpoint of its own log first, then those of the shards
        since, up to one of the newest log.

    Raises:
        FormatError: a part is malformed.
        SignatureError: a checkpoint or a takeover is not by whom it has to be.
        ProofError: a path leads elsewhere, or a checkpoint is not the end that is named.
    """
    ended: Checkpoint | None = None
    covering: list[Checkpoint] = []
    for step in reversed(carried.takeovers):
        checkpoint, takeover = _check_takeover(step, keys, ended)
        covering.append(checkpoint)
        keys, ended = takeover.keys, takeover.checkpoint
    checkpoint = check_receipt(entry, parse_receipt(carried.receipt), keys)
    _check_end(checkpoint, ended)
    return (checkpoint, *reversed(covering))


def check_links(links: Sequence[Link], keys: LogKeys) -> tuple[Shard, ...]:
    """Check that logs follow each other, each by the word of both, up to one whose keys are known.

    A log that ended goes on as one other only: its last entry, under the root that the other names,
    says as which.

    Args:
        links: Oldest first.
        keys: Of the newest log.

    Returns:
        All of the logs, oldest first.

    Raises:
        FormatError: a part is malformed.
        SignatureError: a checkpoint or a takeover is not by whom it has to be.
        ProofError: a path leads elsewhere, a checkpoint is not the end that is named, or a log
            goes on as another one.
    """
    newest, ended, policy = keys, None, None
    shards: list[Shard] = []
    for link in reversed(links):
        checkpoint, takeover = _check_takeover(link.takeover, keys, ended)
        shards.append(Shard(keys, checkpoint, policy))
        said = _check_handover(link.handover, takeover)
        if said.following not in keys.all:
            raise ProofError(
                f"{shown(takeover.keys.name)} goes on as {shown(said.following.label)}, and not as "
                f"{shown(keys.label)}",
                hint="A log has one shard after it; ask for the file again.",
            )
        keys, ended, policy = takeover.keys, takeover.checkpoint, said.policy
    shards.append(Shard(keys, ended, policy))
    if len({shard.keys.name for shard in shards}) != len(shards):
        raise ProofError(
            f"one log comes twice among those before {shown(newest.name)}",
            hint="Each shard has an origin of its own; ask for the file again.",
        )
    return tuple(reversed(shards))


def format_carried(carried: Carried) -> bytes:
    """Write a carried receipt."""
    takeovers: list[JsonValue] = [
        {"entry": format_base64(entry), "receipt": receipt.decode()}
        for entry, receipt in carried.takeovers
    ]
    return format_json(
        {"counterfoil": _FORMAT, "receipt": carried.receipt.decode(), "takeovers": takeovers}
    )


def parse_carried(data: bytes) -> Carried:
    """Read a carried receipt; nothing is checked yet.

    Raises:
        FormatError: it is none.
    """
    value = parse_canonical(data, what="the carried receipt", max_bytes=MAX_CARRIED_BYTES)
    match value:
        case {
            "counterfoil": "carried-receipt/v1",
            "receipt": str(receipt),
            "takeovers": list(takeovers),
            **rest,
        } if not rest and 1 <= len(takeovers) <= MAX_SHARDS:
            return Carried(receipt.encode(), tuple(map(_read_step, takeovers)))
    raise _no_carried()


def _check_takeover(
    step: tuple[bytes, bytes], keys: LogKeys, ended: Checkpoint | None
) -> tuple[Checkpoint, Takeover]:
    """Check that a log begins with this entry; if it has ended, by the receipt at its end."""
    entry, text = step
    receipt = parse_receipt(text)
    checkpoint = check_receipt(entry, receipt, keys)
    if receipt.index:
        raise ProofError(
            f"a takeover stands at entry {receipt.index}",
            hint="It is the first entry of its log, or none.",
        )
    _check_end(checkpoint, ended)
    return checkpoint, takeover_of(parse_envelope(entry), keys)


def _check_handover(step: tuple[bytes, bytes], takeover: Takeover) -> Handover:
    """Check that a log which was taken over ended with this entry."""
    entry, text = step
    receipt = parse_receipt(text)
    checkpoint = check_receipt(entry, receipt, takeover.keys)
    _check_end(checkpoint, takeover.checkpoint)
    said = handover_of(entry, takeover.keys, checkpoint.size)
    if said is None or receipt.index != checkpoint.size - 1:
        raise ProofError(
            f"entry {receipt.index} of {shown(checkpoint.origin)} is not its hand-over",
            hint="That is the last entry of a log, or none.",
        )
    return said


def _check_end(checkpoint: Checkpoint, ended: Checkpoint | None) -> None:
    if ended is not None and checkpoint != ended:
        raise ProofError(
            f"a receipt leads to {checkpoint.size} entries of {shown(checkpoint.origin)}, and the "
            f"log after it took over at {ended.size} of {shown(ended.origin)}",
            hint="Ask for the receipt at the log's last checkpoint.",
        )


def _read_takeover(body: Mapping[str, JsonValue]) -> Takeover:
    match body:
        case {
            "log": str(log),
            "key": str(key),
            "earlier": list(earlier),
            "size": int(size),
            "root": str(root),
        } if not isinstance(size, bool):
            keys = LogKeys(parse_vkey(key), earlier_from_json(earlier))
            end = as_hash(parse_hex(root, "root of a takeover", size=32))
            return Takeover(log, keys, Checkpoint(keys.name, size, Hash(end)))
    raise _no_takeover()


def _read_step(value: JsonValue) -> tuple[bytes, bytes]:
    match value:
        case {"entry": str(entry), "receipt": str(receipt), **rest} if not rest:
            return parse_base64(entry, "entry of a takeover"), receipt.encode()
    raise _no_carried()


def _no_takeover() -> FormatError:
    return FormatError(
        "this is not the first entry of a shard",
        hint="It is a `takeover` statement; see docs/reference/statements.md.",
    )


def _no_carried() -> FormatError:
    return FormatError(
        "this is not a receipt carried across shards",
        hint=f"It has a receipt and 1 to {MAX_SHARDS} takeovers; see docs/reference/formats.md.",
    )
