"""People: what is recorded about a person, exported or erased on request, or held."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import date

from counterfoil.core.arguments import require, require_each
from counterfoil.core.canonical import JsonValue
from counterfoil.core.stream import StreamDeclaration
from counterfoil.decisions.erasing import Erasing, read_records
from counterfoil.decisions.holds import LegalHold, open_holds
from counterfoil.decisions.kept import (
    ERASURES,
    HOLDS,
    Lost,
    check_set_aside,
    find_away,
    find_elsewhere,
    find_kept,
    find_lost,
    go_on_without,
    require_here,
    with_way_out,
)
from counterfoil.decisions.stream import DecisionStream
from counterfoil.errors import UnavailableError
from counterfoil.ledger.log import Log
from counterfoil.vault import Hold, HoldRule
from counterfoil.vault.erase import ErasureCertificate, ErasureRequest, request_digest

_SYSTEMS = ("a list of systems", 'Write ["credit"].')
_REQUEST = ("the request as bytes", "Give it as it was received: `Path(…).read_bytes()`.")


class People:
    """The people in one ledger's decision streams; in the vault only, never in the log.

    Args:
        log: Where the streams are declared.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._erasing = Erasing(log)

    def export(
        self, person: str, *, without: Sequence[str] = ()
    ) -> dict[str, list[dict[str, JsonValue]]]:
        """Give everything recorded about a person here, by system, as they may ask for it.

        Args:
            person: As `data_subjects` named them.
            without: Systems whose records do not open here, or are not all here, to go on without.

        Raises:
            FormatError: a system of `without` is here, all of it, and opens.
            UnavailableError: nothing is, and systems have records that are elsewhere, or not all
                here. Or those of a system do not open here, and it is not in `without`.
        """
        found: dict[str, list[dict[str, JsonValue]]] = {}
        without, aside = require_each(without, str, *_SYSTEMS), [*find_away(self._log)]
        for declaration in self._systems():
            system = declaration.system
            try:
                opened = DecisionStream.reopen(self._log, declaration, write=False)
            except UnavailableError as error:
                if system not in without:
                    raise with_way_out(error, system) from error
                aside.append(system)
                continue
            with closing(opened) as stream:
                records = read_records(stream.store, stream.store.find(person))
            if records:
                found.setdefault(system, []).extend(records)
        check_set_aside(without, aside)
        if not found:
            require_here(self._log, person, without)
        return found

    def erase(
        self,
        person: str,
        *,
        basis: str,
        approvers: tuple[str, str],
        request: bytes | None = None,
        rules: Sequence[HoldRule] = (),
        placed: Sequence[Hold] = (),
        without: Sequence[str] = (),
    ) -> tuple[ErasureCertificate, ...]:
        """Erase a person from every stream, if no hold is running.

        Holds that were placed on the person, and the retention that the trust policy states, are
        asked in any case, and all of them before anything is destroyed. So is whether the erasure
        can be stated in the log. Of a person whose erasure was interrupted, it is finished.

        Args:
            person: As `data_subjects` named them.
            basis: Why, for instance "GDPR Art. 17(1)(b): consent withdrawn".
            approvers: Two people or roles who agreed.
            request: The request as it was received, if it came in writing; its digest is kept.
            rules: Retention that applies as well.
            placed: Holds that apply as well, such as one that another archive keeps.
            without: Systems whose records are not here, or do not open here, and are left: the
                certificates say so. Of one that is here in part, that part is erased.

        Returns:
            A certificate for each stream.

        Raises:
            ConflictError: one of the streams is written to, or a hold is being placed.
            FormatError: nothing is recorded about this person, or a system of `without` is here.
            PolicyError: the trust policy lets nobody here state erasures.
            RefusedError: a hold is running; says which, who placed it, and until when. Or the log
                holds a newer policy than was adopted here, whose retention may ask for more. Or
                systems have records that are not here, in part or all, and are not in `without`.
            UnavailableError: a key is not on this machine, all records are elsewhere, or something
                broke down after records were destroyed. Says so, and the next call goes on.
            VerificationError: the log knows of holds or erasures that are not here.
        """
        require_each(approvers, str, "two approvers", 'Write ("privacy officer", "legal").')
        if request is not None:
            require(request, bytes, *_REQUEST)
        digest = request_digest(request) if request else None
        wanted = ErasureRequest(basis, digest, approvers)
        without = require_each(without, str, *_SYSTEMS)
        return self._erasing.erase(person, wanted, rules, placed, without)

    def erasures(self, request: bytes | None = None) -> tuple[ErasureCertificate, ...]:
        """List the certificates of all erasures, oldest first; there is no name in them.

        Args:
            request: Only of this request, as it was received.

        Raises:
            UnavailableError: they are elsewhere, or their keys are not on this machine.
        """
        if request is not None:
            require(request, bytes, *_REQUEST)
        certificates = self._erasing.certificates()
        if request is not None:
            digest = request_digest(request)
            certificates = [one for one in certificates if one.request == digest]
        return tuple(certificates)

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

    def finish(self) -> tuple[ErasureCertificate, ...]:
        """Complete erasures that were interrupted; opening a ledger does this by itself.

        Returns:
            Their certificates.

        Raises:
            ConflictError: somebody else writes to one of the streams, or erases.
            UnavailableError: it cannot be finished here, or not yet. Says what stands.
        """
        return self._erasing.finish()

    def destroy_again(self) -> int:
        """Destroy records again that certificates list, where an older copy brought them back.

        Opening a ledger does this by itself, for streams whose notes are older than the newest
        erasure from them. Nobody is asked: it was decided, and no name is needed for it.

        Returns:
            How many were destroyed.

        Raises:
            UnavailableError: it cannot be done here, or not yet.
        """
        return self._erasing.destroy_again()

    def lost(self) -> tuple[Lost, ...]:
        """Find the streams that the log knows more of than is kept here, or that no key here opens.

        The first is so where what is private was restored from an older copy than the log, or
        changed. Streams that were never here are not among them, see `elsewhere`.
        """
        return find_lost(self._log)

    def recover(self, *, despite_lost_holds: bool = False) -> tuple[Lost, ...]:
        """Go on without what is lost of the streams of erasures and holds, or opens no more.

        In the place of each, another one is declared, which names it and the size that it had; the
        log keeps that. Nothing is destroyed: what is left of the old one still counts, and all of
        it does again once its key is put back.

        Args:
            despite_lost_holds: Whether people may be erased although nobody knows any more who is
                held: that the holds that are lost are placed again is then for whoever says so.

        Returns:
            What is gone on without; nothing where nothing is lost.

        Raises:
            PolicyError: the trust policy lets nobody here declare such a stream.
            RefusedError: holds are lost, and not `despite_lost_holds`.
            UnavailableError: a key is not on this machine.
            VerificationError: what is left was changed; or the log itself is an older copy, which
                cannot go on.
        """
        return go_on_without(self._log, despite_lost_holds=despite_lost_holds)

    def systems(self) -> list[str]:
        """List the systems whose decisions are kept here, oldest first."""
        return list(dict.fromkeys(one.system for one in self._systems()))

    def elsewhere(self) -> list[str]:
        """List the systems that have records in the log's batches which are not kept here."""
        return find_elsewhere(self._log)

    def _systems(self) -> list[StreamDeclaration]:
        """Find the declared streams for decisions that are kept here, older ones too."""
        return [one for one in find_kept(self._log) if one.system not in {ERASURES, HOLDS}]
