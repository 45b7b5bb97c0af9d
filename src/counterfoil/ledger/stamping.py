"""Time-stamping: how a checkpoint gets an authority's time, and what is true if we stop on the way.

    step                                        if we stop after it
    1. the authority's answer is checked        the next run asks again
    2. it is kept with the ledger, durably      the next run states it
    3. a `timestamp` statement with its digest  all is done
       is in the log

A time-stamp shows something as long as its certificates are valid. It is renewed by every later
one: the statement is under the checkpoint that is stamped then, so what it names existed while its
certificates were good. Nothing has to be kept up for each stamp alone, however many there are.

An authority that is silent, or answers nonsense, keeps no other one from stamping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from counterfoil.core.authority import Authority
from counterfoil.core.instant import format_instant
from counterfoil.core.statement import SHA256, Subject
from counterfoil.core.testimony import is_confirmation
from counterfoil.errors import PolicyError, UnavailableError
from counterfoil.ledger.log import Log
from counterfoil.ledger.stamps import Place, Stamp, keep_stamp, kept_stamps, read_stamp
from counterfoil.ledger.timestamps import (
    STAMPED_WITHIN_S,
    Timestamp,
    ask_authority,
    require_library,
)
from counterfoil.ledger.trust import Trust

TIMESTAMP = "timestamp"
"""Short name of the predicate that names a time-stamp."""

RENEW_WITHIN_S = 90 * 86_400
"""A stamp whose certificates end within this time is renewed, if that is asked for."""


class _NotRenewedError(UnavailableError):
    """An authority has answered, and with what ends no later than the stamp that stands."""


@dataclass(frozen=True, slots=True)
class Stamped:
    """A time-stamp just made.

    Args:
        authority: Who made it, as the policy names it.
        size: Entries that it covers.
        stamp: What it says.
        index: Of its statement.
    """

    authority: str
    size: int
    stamp: Timestamp
    index: int


@dataclass(frozen=True, slots=True)
class Stamping:
    """What a run did.

    Args:
        made: The time-stamps that are new in the log.
        lacking: By the name of an authority, why there is none of it.
        size: Entries of the log.
    """

    made: tuple[Stamped, ...]
    lacking: dict[str, str]
    size: int


def stamp_log(log: Log, *, renew: bool = False, within_s: float = STAMPED_WITHIN_S) -> Stamping:
    """Have the newest checkpoint stamped by every authority of the policy, and state that.

    An authority is not asked again where the log holds nothing new but time-stamps.

    Args:
        log: The log; what is stamped is what it has published.
        renew: Ask also where there is nothing new, if the certificates behind the newest stamp end
            within `RENEW_WITHIN_S`. An answer that is not valid for longer is not kept.
        within_s: Time for each authority to answer, in seconds.

    Raises:
        ConflictError: another process writes here, or the folder is behind its witness.
        PolicyError: the policy names no authority with an address, or nobody here may say so.
        UnavailableError: no authority has stamped what needs it, or the library is not installed.
    """
    require_library()
    log.refresh()
    policy = Trust(log).show()
    authorities = [one for one in policy.authorities if one.url]
    if not authorities:
        raise PolicyError(
            "the trust policy names no time-stamping authority to ask",
            need="an [[authority]] with a url",
            hint="Add one and adopt it: see docs/how-to/time-stamp-a-ledger.md.",
        )
    _require_voice(log)
    made: list[Stamped] = []
    lacking: dict[str, str] = {}
    note, size = log.checkpoint, log.size
    for authority in authorities:
        made += _state_kept(log, authority)
    due = [one for one in authorities if size and _is_due(log, one, size, renew=renew)]
    standing = 0
    for authority in due:
        try:
            made += _stamp(log, authority, note, size, within_s)
        except UnavailableError as error:
            lacking[authority.name] = str(error)
            standing += isinstance(error, _NotRenewedError)
    if due and len(lacking) == len(due) > standing:
        raise UnavailableError(
            f"no authority has stamped the {size} entries: {'; '.join(lacking.values())}",
            hint="Run it again later; the log goes on without it.",
        )
    return Stamping(tuple(made), lacking, log.size)


def _stamp(
    log: Log, authority: Authority, note: bytes, size: int, within_s: float
) -> Sequence[Stamped]:
    response, stamped = ask_authority(authority, note, log.clock(), within_s=within_s)
    kept = kept_stamps(log, authority.name)
    if kept and not _has_news(log, kept[-1].size):
        newest = read_stamp(log, authority.name, kept[-1])
        if stamped.until <= newest.stamped.until:
            raise _NotRenewedError(
                f"{authority.name} still signs with certificates that end at "
                f"{format_instant(stamped.until)}, so its stamp renews nothing; that of "
                f"{kept[-1].size} entries stands until then",
                hint="Ask the authority when it changes them.",
            )
    stamp = Stamp(note, response, stamped)
    place = keep_stamp(log, authority.name, size, stamp)
    return [_state(log, authority.name, place, stamp)]


def _state_kept(log: Log, authority: Authority) -> list[Stamped]:
    """State what was kept and not stated when we were stopped; that is the newest, if any."""
    kept = kept_stamps(log, authority.name)
    if not kept or log.find(predicate=TIMESTAMP, subject=kept[-1].digest, last=1):
        return []
    stamp = read_stamp(log, authority.name, kept[-1])
    return [_state(log, authority.name, kept[-1], stamp)]


def _state(log: Log, authority: str, place: Place, stamp: Stamp) -> Stamped:
    attested = log.attest(
        [_subject(log, place.digest)],
        TIMESTAMP,
        {
            "authority": authority,
            "size": place.size,
            "root": log.root_at(place.size).hex(),
            "time": format_instant(stamp.stamped.time),
            "until": format_instant(stamp.stamped.until),
        },
    )
    return Stamped(authority, place.size, stamp.stamped, attested.index)


def _is_due(log: Log, authority: Authority, size: int, *, renew: bool) -> bool:
    kept = kept_stamps(log, authority.name)
    if not kept or _has_news(log, kept[-1].size):
        return True
    if not renew or kept[-1].size >= size:
        return False
    until = read_stamp(log, authority.name, kept[-1]).stamped.until
    return until - log.clock() < RENEW_WITHIN_S


def _has_news(log: Log, size: int) -> bool:
    """Whether the log holds more than who confirmed it."""
    return any(not is_confirmation(log.entry(index)) for index in range(size, log.size))


def _subject(log: Log, digest: str) -> Subject:
    return Subject(log.origin, {SHA256: digest})


def _require_voice(log: Log) -> None:
    """Refuse before anybody is asked, if nobody may state a time-stamp of this log."""
    try:
        Trust(log).check(log.sign([_subject(log, "0" * 64)], TIMESTAMP, {}))
    except PolicyError as error:
        raise PolicyError(
            f"the operator may not say `{TIMESTAMP}` about {log.origin}",
            need="a principal of this machine that may",
            hint="Write it into the trust policy.",
        ) from error
