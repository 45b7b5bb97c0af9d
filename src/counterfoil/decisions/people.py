"""People: what is recorded about a person, exported or erased on request, or held."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import closing
from datetime import date

from counterfoil.core.canonical import JsonValue
from counterfoil.core.record import parse_disclosure
from counterfoil.core.stream import StreamDeclaration, parse_stream
from counterfoil.decisions.holds import HOLDS, LegalHold, open_holds
from counterfoil.decisions.stream import DecisionStream, streams_of
from counterfoil.errors import FormatError, RefusedError, UnavailableError
from counterfoil.ledger.log import Log
from counterfoil.ledger.trust import Trust, heard_in, newest_heard
from counterfoil.vault import Hold, HoldRule, StreamStore, check_hold
from counterfoil.vault.erase import (
    ERASURE_FIELDS,
    Eraser,
    ErasureCertificate,
    ErasureRequest,
    request_digest,
)
from counterfoil.vault.intent import INTENT_NOTE, MAX_ERASED

ERASURES = "counterfoil/erasures"  # no model can be called that
ERASURE_PAD_TO = 16  # a batch does not tell how many erasures it covers, up to this many


class People:
    """The people in one ledger's decision streams; in the vault only, never in the log.

    Args:
        log: Where the streams are declared.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def export(self, person: str) -> dict[str, list[dict[str, JsonValue]]]:
        """Give everything recorded about a person here, by system, as they may ask for it.

        Args:
            person: As `data_subjects` named them.

        Raises:
            UnavailableError: nothing is, and systems have records that are elsewhere.
        """
        found: dict[str, list[dict[str, JsonValue]]] = {}
        for declaration in self._systems():
            with closing(DecisionStream.reopen(self._log, declaration, write=False)) as stream:
                records = _records(stream.store, stream.store.find(person))
            if records:
                found.setdefault(declaration.system, []).extend(records)
        elsewhere = [] if found else self.elsewhere()
        if elsewhere:
            raise UnavailableError(
                f"nothing is recorded about {person!r} here, and the records of "
                f"{', '.join(elsewhere)} are elsewhere",
                hint="Ask where the log is now, or whoever recorded them.",
            )
        return found

    def erase(
        self,
        person: str,
        *,
        basis: str,
        approvers: tuple[str, str],
        request: bytes = b"",
        rules: Sequence[HoldRule] = (),
        placed: Sequence[Hold] = (),
    ) -> tuple[ErasureCertificate, ...]:
        """Erase a person from every stream, if no hold is running.

        Holds that were placed on the person, and the retention that the trust policy states, are
        asked in any case, and all of them before anything is destroyed.

        Args:
            person: As `data_subjects` named them.
            basis: Why, for instance "GDPR Art. 17(1)(b): consent withdrawn".
            approvers: Two people or roles who agreed.
            request: The request as it was received; only its digest is kept.
            rules: Retention that applies as well.
            placed: Holds that apply as well, such as one that another archive keeps.

        Returns:
            A certificate for each stream.

        Raises:
            ConflictError: one of the streams is written to, or a hold is being placed.
            FormatError: nothing is recorded about this person.
            RefusedError: a hold is running; says which, who placed it, and until when. Or the log
                holds a newer policy than was adopted here, whose retention may ask for more.
            VerificationError: the log knows of holds that are not here.
        """
        wanted = ErasureRequest(basis, request_digest(request), approvers)
        self._require_newest_policy()
        audit = DecisionStream.open(
            self._log, ERASURES, fields=ERASURE_FIELDS, pad_to=ERASURE_PAD_TO
        )
        with contextlib.ExitStack() as opened:
            opened.callback(audit.close)
            # Open for writing until we are done, so that nobody places a hold meanwhile.
            holds = opened.enter_context(open_holds(self._log, write=True))
            asked = (*placed, *(one.hold for one in holds.list(person)))
            streams = []
            for declaration in self._systems():
                streams.append(DecisionStream.reopen(self._log, declaration, write=True))
                opened.callback(streams[-1].close)
            found: list[tuple[Eraser, list[int]]] = []
            # Records of holds last: until then they can be asked again.
            for stream in (*streams, *holds.streams):
                eraser = Eraser(
                    stream.store,
                    audit.store,
                    pad_to=ERASURE_PAD_TO,
                    rules=(*Trust(self._log).retention(stream.declaration.system), *rules),
                )
                eraser.finish()
                # Every record is decrypted and asked, as an index may be damaged.
                indices = stream.store.find(person, scan=True)
                found += [
                    (eraser, indices[at : at + MAX_ERASED])
                    for at in range(0, len(indices), MAX_ERASED)
                ]
            if not found:
                raise FormatError(
                    f"nothing is recorded about {person!r}",
                    hint="Use the name that was given as data subject.",
                )
            # All holds before the first destruction: a person is erased everywhere or nowhere.
            for eraser, indices in found:
                records = _records(eraser.store, indices)
                check_hold(records, self._log.clock(), rules=eraser.rules, placed=asked)
            certificates = tuple(
                eraser.erase(indices, wanted, placed=asked) for eraser, indices in found
            )
            audit.publish()
        return certificates

    def hold(self, person: str, *, basis: str, by: str, until: date | None = None) -> LegalHold:
        """Place a legal hold on a person: nothing about them is erased while it runs.

        It is durable on return, encrypted, and its batch is in the log.

        Args:
            person: As `data_subjects` name them; also one about whom nothing is recorded yet.
            basis: The order, dispute or law, as the refusal of an erasure will name it.
            by: Who places it; a role rather than a name.
            until: The day, UTC, from whose beginning on it binds no more; None holds until it is
                released.

        Raises:
            ConflictError: somebody else places a hold, or erases.
            FormatError: `until` has passed, or a text is empty or too long.
            PolicyError: the trust policy lets nobody here declare the stream of holds.
            VerificationError: the log knows of holds that are not here.
        """
        with open_holds(self._log, write=True) as holds:
            return holds.place(person, basis, by, until)

    def holds(self, person: str | None = None) -> tuple[LegalHold, ...]:
        """List legal holds, those that have ended or were released included, oldest first.

        Args:
            person: Only those on this person.

        Raises:
            VerificationError: the log knows of holds that are not here.
        """
        with open_holds(self._log, write=False) as holds:
            return holds.list(person)

    def release(self, person: str, hold: str, *, by: str, reason: str) -> LegalHold:
        """Release a legal hold; its record stays beside that of the release.

        Args:
            person: Whom it is on.
            hold: Its `id`, or the first 8 digits or more.
            by: Who releases it.
            reason: Why.

        Raises:
            ConflictError: it was released already; or as `hold`.
            FormatError: no hold on this person is named so; or as `hold`.
        """
        with open_holds(self._log, write=True) as holds:
            return holds.release(person, hold, by, reason)

    def finish(self) -> None:
        """Complete erasures that were interrupted; opening a ledger does this by itself."""
        begun = set(streams_of(self._log).with_note(INTENT_NOTE))
        if not begun:
            return  # without asking which streams there are: a log elsewhere would be read for it
        interrupted = [one for one in self._declarations() if one.stream_id in begun]
        if not interrupted:
            return
        with contextlib.ExitStack() as opened:
            audit = DecisionStream.open(
                self._log, ERASURES, fields=ERASURE_FIELDS, pad_to=ERASURE_PAD_TO
            )
            opened.callback(audit.close)
            for declaration in interrupted:
                stream = DecisionStream.reopen(self._log, declaration, write=True)
                opened.callback(stream.close)
                Eraser(stream.store, audit.store, pad_to=ERASURE_PAD_TO).finish()
            audit.publish()

    def systems(self) -> list[str]:
        """List the systems whose decisions are kept here, oldest first."""
        return list(dict.fromkeys(one.system for one in self._systems()))

    def elsewhere(self) -> list[str]:
        """List the systems that have records in the log's batches which are not kept here."""
        kept = set(streams_of(self._log).ids())
        missing = [
            one.system
            for one in self._declared()
            if one.stream_id not in kept
            and newest_heard(self._log, predicate="batch", subject=one.stream_id.hex())
        ]
        return list(dict.fromkeys(missing))

    def _require_newest_policy(self) -> None:
        later = Trust(self._log).unadopted()
        if later is None:
            return
        entry, policy = later
        reason = f"version {policy.version} (entry {entry}) may ask for records to be kept longer"
        raise RefusedError(
            "the log holds a newer trust policy than was adopted on this machine",
            reasons=(reason,),
            hint="Adopt it here, `counterfoil policy adopt FILE`, and ask again.",
        )

    def _systems(self) -> list[StreamDeclaration]:
        """Find the declared streams for decisions that are kept here, older ones too."""
        return [one for one in self._declarations() if one.system != HOLDS]

    def _declarations(self) -> list[StreamDeclaration]:
        """Find the declared streams that are kept here and can be erased from."""
        kept = set(streams_of(self._log).ids())
        return [one for one in self._declared() if one.system != ERASURES and one.stream_id in kept]

    def _declared(self) -> list[StreamDeclaration]:
        return [
            parse_stream(found.envelope.in_toto)
            for found in heard_in(self._log, predicate="stream")
        ]


def _records(store: StreamStore, indices: Sequence[int]) -> list[dict[str, JsonValue]]:
    return [
        {one.name: one.value for one in map(parse_disclosure, store.disclosures(index))}
        for index in indices
    ]
