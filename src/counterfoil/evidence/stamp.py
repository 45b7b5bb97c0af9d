"""Time-stamps in an evidence file: collected with it, and checked with it.

    stamps = [chain, …]                          one for each authority
    chain  = {authority, note, consistency, response, renewals}
    renewal = {entry, receipt, response}

An authority has stamped the signed checkpoint `note`, and a consistency proof ties that to the
checkpoint that the file's receipts lead to; so every statement below its size existed by then.

A stamp is worth something while its certificates are valid. Each renewal shows that the stamp
before it existed while they were: `entry` is a statement with the digest of that answer, `receipt`
has it under a later checkpoint, and that checkpoint was stamped in turn. Who put the entry there
does not matter. What has to be valid when the file is verified is the last of them.

Source:
    RFC 3161; the renewals do as time-stamp renewal in RFC 4998, section 5.2.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from counterfoil.core.authority import MAX_AUTHORITIES, Authority
from counterfoil.core.canonical import JsonValue
from counterfoil.core.checkpoint import Checkpoint, LogKeys, open_checkpoint
from counterfoil.core.envelope import parse_envelope
from counterfoil.core.instant import format_instant
from counterfoil.core.merkle import HASH_BYTES, MAX_PROOF_HASHES, Hash, check_consistency
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import Grade, is_outside
from counterfoil.core.receipt import check_receipt, format_receipt, parse_receipt
from counterfoil.core.statement import SHA256, parse_statement
from counterfoil.core.testimony import short_predicate
from counterfoil.core.text import format_base64, parse_base64
from counterfoil.core.toml import Table
from counterfoil.errors import UnavailableError, VerificationError
from counterfoil.evidence.finding import Finding
from counterfoil.evidence.logs import malformed
from counterfoil.ledger.log import Log
from counterfoil.ledger.stamping import TIMESTAMP
from counterfoil.ledger.stamps import Place, Stamp, kept_stamps, read_stamp
from counterfoil.ledger.timestamps import MAX_SKEW_S, Timestamp, check_timestamp

MAX_RENEWALS = 32
"""Renewals of a time-stamp in evidence: a century of certificates of three years."""


def collect_stamps(log: Log, policy: TrustPolicy, index: int) -> list[JsonValue]:
    """Give the earliest time-stamp of each authority that covers an entry, and its renewals.

    Args:
        log: As of its last refresh.
        policy: In force; names the authorities.
        index: The last entry that has to be covered.
    """
    chains = [_collect(log, authority.name, index) for authority in policy.authorities]
    return [chain for chain in chains if chain is not None]


def check_stamps(
    value: JsonValue,
    checkpoint: Checkpoint,
    log_keys: LogKeys,
    policy: TrustPolicy | None,
    now: float,
) -> list[Finding]:
    """Check the time-stamps of an evidence file.

    Args:
        value: The member `stamps`.
        checkpoint: What all receipts of the file lead to.
        log_keys: The log's.
        policy: Says which authorities count, and by which certificates.
        now: When this is verified, Unix seconds.

    Raises:
        FormatError: It is malformed.
        VerificationError: It contradicts the log, or itself; or a time-stamp does not hold.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_AUTHORITIES:
        raise malformed("stamps")
    chains = []
    for one in value:
        if not isinstance(one, dict):
            raise malformed("stamps")
        chains.append(Table(one, "stamps").read(_read))
    if len({chain.authority for chain in chains}) != len(chains):
        raise malformed("stamps")
    return [_check(chain, checkpoint, log_keys, policy, now) for chain in chains]


@dataclass(frozen=True, slots=True)
class _Renewal:
    entry: bytes
    receipt: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class _Chain:
    authority: str
    note: bytes
    consistency: tuple[Hash, ...]
    response: bytes
    renewals: tuple[_Renewal, ...]


def _collect(log: Log, authority: str, index: int) -> JsonValue:
    kept = kept_stamps(log, authority)
    at = bisect_right([one.size for one in kept], index)
    if at == len(kept):
        return None
    stamp = read_stamp(log, authority, kept[at])
    size = kept[at].size
    chain: dict[str, JsonValue] = {
        "authority": authority,
        "note": stamp.note.decode(),
        "consistency": [format_base64(value) for value in log.consistency(size)],
        "response": format_base64(stamp.response),
    }
    renewals: list[JsonValue] = []
    while len(renewals) < MAX_RENEWALS:
        found = _renewal(log, authority, kept, stamp)
        if found is None:
            break
        said, stamp = found
        renewals.append(
            {
                "entry": format_base64(log.entry(said)),
                "receipt": format_receipt(log.receipt_under(said, stamp.note)).decode(),
                "response": format_base64(stamp.response),
            }
        )
    return chain | {"renewals": renewals}


def _renewal(
    log: Log, authority: str, kept: Sequence[Place], stamp: Stamp
) -> tuple[int, Stamp] | None:
    """Find the newest stamp that was made while this one was good, and where this one is stated.

    Later ones are later in time, so it takes a look at few of the files.
    """
    said = log.find(predicate=TIMESTAMP, subject=stamp.digest)
    if not said:
        return None
    low = bisect_right([one.size for one in kept], said[0].index)
    newest = None
    high = len(kept)
    while low < high:
        middle = (low + high) // 2
        found = read_stamp(log, authority, kept[middle])
        if found.stamped.time < stamp.stamped.until:
            newest, low = found, middle + 1
        else:
            high = middle
    if newest is None or newest.stamped.until <= stamp.stamped.until:
        return None
    return said[0].index, newest


def _read(table: Table) -> _Chain:
    table.only("authority", "note", "consistency", "response", "renewals")
    hashes = table.texts("consistency")
    if len(hashes) > MAX_PROOF_HASHES:
        raise table.error(f"more than {MAX_PROOF_HASHES} hashes", key="consistency")
    renewals = table.each("renewals", _read_renewal)
    if len(renewals) > MAX_RENEWALS:
        raise table.error(f"more than {MAX_RENEWALS} renewals", key="renewals")
    return _Chain(
        table.text("authority"),
        table.text("note").encode(),
        tuple(Hash(parse_base64(text, "hash of a time-stamp", size=HASH_BYTES)) for text in hashes),
        parse_base64(table.text("response"), "time-stamp"),
        renewals,
    )


def _read_renewal(table: Table) -> _Renewal:
    table.only("entry", "receipt", "response")
    return _Renewal(
        parse_base64(table.text("entry"), "entry of a renewal"),
        table.text("receipt").encode(),
        parse_base64(table.text("response"), "time-stamp"),
    )


def _check(
    chain: _Chain,
    checkpoint: Checkpoint,
    log_keys: LogKeys,
    policy: TrustPolicy | None,
    now: float,
) -> Finding:
    if policy is None:
        return _uncounted(chain, "no trust policy says whose certificates count")
    stamped = open_checkpoint(chain.note, log_keys)
    check_consistency(
        stamped.size, stamped.root, checkpoint.size, checkpoint.root, chain.consistency
    )
    authority = next((one for one in policy.authorities if one.name == chain.authority), None)
    if authority is None:
        return _uncounted(chain, "the trust policy names no such authority")
    judge = _Judge(authority, log_keys, policy, now)
    try:
        return judge.weigh(chain, stamped.size)
    except UnavailableError:
        return _uncounted(chain, "install 'counterfoil[timestamps]' to have it checked")


def _uncounted(chain: _Chain, why: str) -> Finding:
    return Finding(
        not_checked=(f"The time-stamp of {chain.authority}, which counts for nothing: {why}.",)
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """What the stamps of one authority are held against."""

    authority: Authority
    log_keys: LogKeys
    policy: TrustPolicy
    now: float

    def weigh(self, chain: _Chain, size: int) -> Finding:
        """Check a stamp with its renewals, and say what it is worth."""
        first = last = self._check_time(chain.response, chain.note)
        response = chain.response
        for renewal in chain.renewals:
            last = self._check_renewal(renewal, response, last)
            response = renewal.response
        who = f"{self.authority.name} ({self.authority.operator})"
        when, until = format_instant(first.time), format_instant(last.until)
        if self.now >= last.until:
            nobody = (
                f"The time-stamp of {who}, which says {when}: its certificates ended at {until}, "
                "and this file carries nothing that renews it. Whether its key was stolen since, "
                "nobody answers for; it counts for nothing."
            )
            return Finding(size, not_checked=(nobody,))
        count = len(chain.renewals)
        renewed = {0: "", 1: ", renewed once"}.get(count, f", renewed {count} times")
        proved = (
            f"The first {size} entries of the log, and its signature under them, existed by "
            f"{when}, says {who}; good until {until}{renewed}."
        )
        revoked = f"Whether certificates of {who} were revoked."
        if not is_outside(self.policy, [self.authority.operator]):
            alone = (
                f"Anything against {self.policy.log.operator} about that time: "
                f"{self.authority.name} is its own authority."
            )
            return Finding(size, proved=(proved,), not_checked=(alone, revoked))
        trust = (
            f"{self.authority.operator}, about that time, and that it kept the keys of "
            f"{self.authority.name}."
        )
        return Finding(size, Grade.TIME_STAMPED, (proved,), (revoked,), (trust,))

    def _check_renewal(self, renewal: _Renewal, response: bytes, before: Timestamp) -> Timestamp:
        """Check that a stamp covers the one before, and was made while that was good."""
        statement = parse_statement(parse_envelope(renewal.entry).in_toto)
        digest = sha256(response).hexdigest()
        if short_predicate(statement.predicate_type) != TIMESTAMP or not any(
            one.digest.get(SHA256) == digest for one in statement.subjects
        ):
            raise VerificationError(
                f"a time-stamp of {self.authority.name} is renewed by way of an entry that does "
                "not name it",
                hint="The file was put together wrongly, or changed; ask for it again.",
            )
        receipt = parse_receipt(renewal.receipt)
        check_receipt(renewal.entry, receipt, self.log_keys)
        after = self._check_time(renewal.response, receipt.checkpoint)
        if not before.time <= after.time < before.until:
            raise VerificationError(
                f"a time-stamp of {self.authority.name} was renewed at "
                f"{format_instant(after.time)}, and its certificates are valid until "
                f"{format_instant(before.until)}",
                hint="By then nobody answered for its key any more; ask for the evidence again.",
            )
        return after

    def _check_time(self, response: bytes, note: bytes) -> Timestamp:
        found = check_timestamp(response, note, self.authority)
        if found.time > self.now + MAX_SKEW_S:
            raise VerificationError(
                f"a time-stamp of {self.authority.name} is of {format_instant(found.time)}, which "
                "is still to come",
                hint="Is the clock of this machine right?",
            )
        return found
