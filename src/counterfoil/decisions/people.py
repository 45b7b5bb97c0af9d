"""People: what is recorded about a person, exported or erased on request."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import closing

from counterfoil.core.canonical import JsonValue
from counterfoil.core.record import parse_disclosure
from counterfoil.core.stream import StreamDeclaration, parse_stream
from counterfoil.decisions.stream import DecisionStream, stream_folder
from counterfoil.errors import FormatError
from counterfoil.ledger.log import Log
from counterfoil.ledger.trust import heard_in
from counterfoil.vault import Hold, HoldRule, StreamStore, check_hold
from counterfoil.vault.erase import (
    ERASURE_FIELDS,
    Eraser,
    ErasureCertificate,
    ErasureRequest,
    request_digest,
)
from counterfoil.vault.hold import DEFAULT_RULES
from counterfoil.vault.intent import INTENT_FILE, MAX_ERASED

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
        """Give everything recorded about a person, by system, as they may ask for it.

        Args:
            person: As `data_subjects` named them.
        """
        found: dict[str, list[dict[str, JsonValue]]] = {}
        for declaration in self._declarations():
            with closing(DecisionStream.reopen(self._log, declaration, write=False)) as stream:
                records = _records(stream.store, stream.store.find(person))
            if records:
                found.setdefault(declaration.system, []).extend(records)
        return found

    def erase(
        self,
        person: str,
        *,
        basis: str,
        approvers: tuple[str, str],
        request: bytes = b"",
        rules: tuple[HoldRule, ...] = DEFAULT_RULES,
        placed: Sequence[Hold] = (),
    ) -> tuple[ErasureCertificate, ...]:
        """Erase a person from every stream, if no hold is running.

        Args:
            person: As `data_subjects` named them.
            basis: Why, for instance "GDPR Art. 17(1)(b): consent withdrawn".
            approvers: Two people or roles who agreed.
            request: The request as it was received; only its digest is kept.
            rules: Retention that applies by itself; by default Regulation B's 25 months.
            placed: Holds that somebody placed on these records, such as a court.

        Returns:
            A certificate for each stream.

        Raises:
            FormatError: nothing is recorded about this person.
            RefusedError: a retention hold is running; says until when.
        """
        wanted = ErasureRequest(basis, request_digest(request), approvers)
        audit = DecisionStream.open(
            self._log, ERASURES, fields=ERASURE_FIELDS, pad_to=ERASURE_PAD_TO
        )
        with contextlib.ExitStack() as opened:
            opened.callback(audit.close)
            found: list[tuple[Eraser, list[int]]] = []
            for declaration in self._declarations():
                stream = DecisionStream.reopen(self._log, declaration, write=True)
                opened.callback(stream.close)
                eraser = Eraser(stream.store, audit.store, pad_to=ERASURE_PAD_TO, rules=rules)
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
                check_hold(records, self._log.clock(), rules=rules, placed=placed)
            certificates = tuple(
                eraser.erase(indices, wanted, placed=placed) for eraser, indices in found
            )
            audit.publish()
        return certificates

    def finish(self) -> None:
        """Complete erasures that were interrupted; opening a ledger does this by itself."""
        interrupted = [
            declaration
            for declaration in self._declarations()
            if (stream_folder(self._log, declaration) / INTENT_FILE).exists()
        ]
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
        return list(dict.fromkeys(one.system for one in self._declarations()))

    def _declarations(self) -> list[StreamDeclaration]:
        """Find the declared streams for decisions that are kept here, older ones too."""
        declared = [
            parse_stream(found.envelope.in_toto)
            for found in heard_in(self._log, predicate="stream")
        ]
        return [
            one
            for one in declared
            if one.system != ERASURES and (stream_folder(self._log, one) / "tree.json").exists()
        ]


def _records(store: StreamStore, indices: Sequence[int]) -> list[dict[str, JsonValue]]:
    return [
        {one.name: one.value for one in map(parse_disclosure, store.disclosures(index))}
        for index in indices
    ]
