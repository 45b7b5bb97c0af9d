"""Anchoring: how a checkpoint of a log reaches the chain, and what is true if we stop on the way.

    step                                        if we stop after it
    1. what is to be anchored is on the disk    nobody signed; the next run goes on with the same
                                                checkpoint
    2. members remember it and sign; their      a signature for a checkpoint that is not anchored
       answers are on the disk                  harms nobody: it is of the log's only history
    3. the transaction is on the disk, then     the next run sends the same bytes; see `outbox`
       sent
    4. its block is final                       the next run finds it so
    5. the proof of it is fetched, checked,     the next run finds no statement, and does 5 and 6
       and kept with the log                    again
    6. an `anchor` statement is in the log      all is done

Nothing is recorded as anchored that is not in a final block, whoever sent it there. What is on the
chain is compared with the log first: a log that is behind its anchors, or has another history, is
told so, and nobody is asked to sign.

Not checked: that the node tells the truth (see `node`), unless the policy names validators: then
only what stands in a block that they sealed is stated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from counterfoil.chain.anchor import Anchor
from counterfoil.chain.anchored import keep_anchor
from counterfoil.chain.anchorproof import format_anchor_proof
from counterfoil.chain.answers import MAX_WORD
from counterfoil.chain.authenticate import validators_of
from counterfoil.chain.desk import Desk
from counterfoil.chain.fetchproof import fetch_anchor_proof
from counterfoil.chain.member import Member, check_answer, committee_of
from counterfoil.chain.outbox import FINAL_WITHIN_S, Outbox
from counterfoil.chain.place import expected, open_contract, require_chain
from counterfoil.chain.request import AnchorRequest, AnchorSignature
from counterfoil.chain.shelf import Settled
from counterfoil.core.canonical import JsonValue
from counterfoil.core.statement import RFC9162_SHA256, Subject
from counterfoil.core.testimony import is_confirmation
from counterfoil.core.text import parse_decimal
from counterfoil.errors import (
    ConflictError,
    CounterfoilError,
    FormatError,
    PolicyError,
    RefusedError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.engine import Writers
from counterfoil.ledger.localwitness import RememberedError
from counterfoil.ledger.log import Attested, Log
from counterfoil.ledger.reading import Found
from counterfoil.ledger.trust import Trust, heard_in, newest_heard


@dataclass(frozen=True, slots=True)
class Standing:
    """How a log stands with its chain, as of the newest final block.

    Args:
        log_size: Entries of the log.
        anchored: The newest final anchor; None if there is none.
        anchors: How many there are.
        is_stopped: Whether a split view of the log is on record there.
        cost_wei: What the anchors that the log states have cost, as far as it knows.
    """

    log_size: int
    anchored: Anchor | None
    anchors: int
    is_stopped: bool
    cost_wei: int


class Anchoring:
    """Anchors one log on the chain of its trust policy.

    Args:
        log: The log; what is anchored is what it has published.
        outbox: Sends for the account that pays.
        members: Who is asked to sign. Those the committee does not have are not asked.

    Raises:
        PolicyError: the policy names no chain, or another than the outbox sends to; or an anchor
            key is not its witness's.
        VerificationError: on the chain is another contract than the policy names.
        UnavailableError: the chain does not answer.
    """

    def __init__(self, log: Log, outbox: Outbox, members: Sequence[Member] = ()) -> None:
        self._log = log
        self._outbox = outbox
        self._members = {member.address: member for member in members}
        self._policy = Trust(log).show()
        self.rules = require_chain(self._policy)
        committee_of(self._policy)
        self.contract = open_contract(outbox.chain, self.rules)
        self._id = bytes.fromhex(self.rules.log)
        self._desk = Desk(log)

    def standing(self) -> Standing:
        """Say how the log stands with its chain; reads all that it states about its anchors.

        Raises:
            VerificationError: the chain holds another history of this log.
            ConflictError: this folder is behind what is anchored.
        """
        newest = self._newest(final=True)
        return Standing(
            self._log.size,
            newest,
            self.contract.anchors(self._id) if newest else 0,
            newest is not None and self.contract.is_stopped(self._id),
            sum(cost_of(found.statement.predicate) for found in self._stated()),
        )

    def run(self, timeout_s: float = FINAL_WITHIN_S) -> list[Attested]:
        """Anchor the newest checkpoint, and state every final anchor that the log does not yet.

        Args:
            timeout_s: How long to wait for finality, in seconds.

        Returns:
            The statements made; empty if there was nothing new to anchor.

        Raises:
            ConflictError: this folder is behind what is anchored, or another process writes to it.
            VerificationError: the chain holds another history of this log, or lies.
            FormatError: the policy names validators, and no validators seal this chain.
            PolicyError: others do than the policy names.
            RefusedError: the contract refuses: a split view is on record, for instance.
            UnavailableError: too few members have signed, it is not final yet, or something does
                not answer. The next run goes on where this one stopped.
        """
        self._log.refresh()
        self._require_voice()
        self._open()
        made = self._state()
        if (request := self._choose()) is None:
            return made
        if self._anchored(final=False) < request.checkpoint.size:
            self._submit(*self._collect(request))
        self._wait(request.checkpoint.size, timeout_s)
        made += self._state()
        self._desk.clear()
        return made

    def _require_voice(self) -> None:
        """Refuse before anything is paid for, if nobody may state an anchor of this log."""
        subject = Subject(self._log.origin, {RFC9162_SHA256: self._log.root.hex()})
        try:
            Trust(self._log).check(self._log.sign([subject], "anchor", {}))
        except PolicyError as error:
            raise PolicyError(
                f"the operator may not say `anchor` about {self._log.origin}",
                need="a principal of this machine that may",
                hint="`counterfoil chain join` adds it, or write it into the trust policy.",
            ) from error

    def _open(self) -> None:
        """Begin the log in the contract, if nobody has."""
        try:
            self.contract.committee_of(self._id, final=False)
        except RefusedError:
            members = committee_of(self._policy)
            opening = self.contract.open_log(self._log.origin, members, self.rules.threshold)
            key = f"open {self.contract.address} {self._id.hex()}"
            self._outbox.submit(key, opening)
            self._outbox.wait(key)

    def _choose(self) -> AnchorRequest | None:
        """Go on with what was asked before, or ask for the newest checkpoint."""
        anchored, old = self._anchored(final=False), self._desk.request()
        if old is not None and (
            (old.chain_id, old.contract, old.log) != (self.rules.id, self.rules.contract, self._id)
            or old.checkpoint.size <= self._anchored(final=True)
        ):
            self._desk.clear()
            old = None
        if old is not None and (old.checkpoint.size <= anchored or old.epoch == self._epoch()):
            return old
        return self._renew() if self._has_news(anchored) else None

    def _renew(self, *remembered: int) -> AnchorRequest:
        """Ask for the newest checkpoint, proven from sizes that members remember, too."""
        known = (*remembered, self._anchored(final=False))
        return self._desk.ask(self.rules.id, self.rules.contract, self._id, self._epoch(), known)

    def _has_news(self, anchored: int) -> bool:
        """Whether the log holds more than who confirmed it."""
        return any(
            not is_confirmation(self._log.entry(index)) for index in range(anchored, self._log.size)
        )

    def _collect(self, request: AnchorRequest) -> tuple[AnchorRequest, list[AnchorSignature]]:
        """Have enough members sign what is asked, or what has to be asked instead.

        A member may remember another size than the request proves from: it has gone on since, or
        cosigned what the log published in between. It follows a request that proves from there.
        """
        for _ in self._members:
            try:
                return request, self._signatures(request)
            except RememberedError as remembered:
                request = self._renew(remembered.size)
        return request, self._signatures(request)

    def _signatures(self, request: AnchorRequest) -> list[AnchorSignature]:
        """Have as many members sign as the committee's threshold asks for."""
        committee = self.contract.committee_of(self._id, final=False)
        answers: list[AnchorSignature] = []
        lacking: list[str] = []
        for address in map(str.lower, committee.members):
            if len(answers) == committee.threshold:
                break
            try:
                answers.append(self._ask(address, request))
            except RememberedError as error:
                if error.size <= self._log.size:
                    raise
                lacking.append(str(error))  # a new request could not prove from there
            except CounterfoilError as error:  # one member must not keep the others from signing
                lacking.append(f"{error}{f' ({error.hint})' if error.hint else ''}")
        if len(answers) < committee.threshold:
            raise UnavailableError(
                f"{len(answers)} of the {committee.threshold} members that it takes have signed "
                f"{request.checkpoint.size} entries: {'; '.join(lacking)}",
                hint="Run it again when more have.",
            )
        return answers

    def _ask(self, address: str, request: AnchorRequest) -> AnchorSignature:
        kept = self._desk.answer(address)
        if kept is not None:
            return kept
        if address not in self._members:
            raise UnavailableError(
                f"nobody here knows how to ask {address}",
                hint="Name a folder to hand files around: --exchange.",
            )
        answer = self._members[address].sign(request)
        if answer.address != address:
            raise VerificationError(f"{address} answers as {answer.address}")
        check_answer(answer, request)
        self._desk.keep(answer)
        return answer

    def _submit(self, request: AnchorRequest, answers: Sequence[AnchorSignature]) -> None:
        size, root = request.checkpoint.size, request.checkpoint.root
        anchored = self._anchored(final=False)
        proof = self._log.consistency(anchored, size) if anchored else ()
        call = self.contract.advance(
            self._id, size, root, proof, [answer.signature for answer in answers]
        )
        # The chain does not have it (looked at just now), so what failed before may be tried anew.
        self._outbox.submit(self._key(size), call, again=True)

    def _wait(self, size: int, timeout_s: float) -> None:
        """Wait until our transaction, or somebody else's of the same, is final."""
        if self._outbox.find(self._key(size)) is not None:
            self._outbox.wait(self._key(size), timeout_s)
        if self._anchored(final=True) < size:
            raise UnavailableError(
                f"the anchor of {size} entries is in a block that is not final yet",
                hint="Run it again later; nothing is sent twice.",
            )

    def _state(self) -> list[Attested]:
        """Keep the proof of every final anchor, and state it, where the log does not yet."""
        if self._newest(final=True) is None:
            return []
        stated = self._stated_size()
        made = []
        for number in range(self.contract.anchors(self._id) - 1, -1, -1):
            anchor = self.contract.anchor_at(self._id, number)
            if anchor.size <= stated:
                break
            compare(self._log, anchor)
            made.append(anchor)
        return [one for anchor in reversed(made) if (one := self._attest(anchor)) is not None]

    def _attest(self, anchor: Anchor) -> Attested | None:
        chain, root = self.contract.chain, self._log.root_at(anchor.size)
        sought, authority = expected(self.rules, anchor.size, root), validators_of(self.rules)
        try:
            # Its own block is the earliest that shows it, so the root existed by then.
            proof = fetch_anchor_proof(chain, sought, block=anchor.number, authority=authority)
        except (UnavailableError, PolicyError):
            # Nodes forget the state of old blocks, and validators come and go.
            proof = fetch_anchor_proof(chain, sought, authority=authority)
        keep_anchor(self._log, self.rules, anchor.size, format_anchor_proof(proof))
        body: dict[str, JsonValue] = {
            "chain_id": self.rules.id,
            "contract": self.rules.contract,
            "log": self.rules.log,
            "size": anchor.size,
            "block": {
                "number": anchor.number,
                "hash": chain.block(anchor.number).hash.hex(),
                "time": anchor.time,
            },
            "transaction": None,
            "gas": None,
            "price_wei": None,
        }
        sent = self._outbox.find(self._key(anchor.size))
        if isinstance(sent, Settled) and sent.receipt is not None and sent.receipt.succeeded:
            body["transaction"] = sent.receipt.tx_hash.hex()
            body["gas"] = sent.receipt.gas_used
            body["price_wei"] = str(sent.receipt.gas_price_wei)
        # Said again, a statement counts no more than before: once, where it stood first.
        said = self._log.find(predicate="anchor", subject=root.hex())
        if any(found.statement.predicate == body for found in said):
            return None
        return self._log.attest(
            [Subject(self._log.origin, {RFC9162_SHA256: root.hex()})], "anchor", body
        )

    def _newest(self, *, final: bool) -> Anchor | None:
        """Give the newest anchor, compared with the log."""
        if not self.contract.anchors(self._id, final=final):
            return None
        newest = self.contract.latest(self._id, final=final)
        compare(self._log, newest)
        return newest

    def _anchored(self, *, final: bool) -> int:
        """Give the size at the newest anchor, 0 if there is none."""
        newest = self._newest(final=final)
        return 0 if newest is None else newest.size

    def _epoch(self) -> int:
        return self.contract.committee_of(self._id, final=False).epoch

    def _stated_size(self) -> int:
        """Give the largest size that the log states to be anchored here; sizes only grow."""
        newest = newest_heard(self._log, predicate="anchor", subject=self._log.origin)
        if newest is None:
            return 0
        # Only a log that has moved to another chain since has to be read further back.
        here = [newest] if self._is_here(newest) else self._stated()
        return max((size_of(found.statement.predicate) for found in here), default=0)

    def _stated(self) -> list[Found]:
        found = heard_in(self._log, predicate="anchor", subject=self._log.origin)
        return [one for one in found if self._is_here(one)]

    def _is_here(self, found: Found) -> bool:
        place = (self.rules.id, self.rules.contract, self.rules.log)
        said = found.statement.predicate
        return (said.get("chain_id"), said.get("contract"), said.get("log")) == place

    def _key(self, size: int) -> str:
        return f"advance {self.contract.address} {self._id.hex()} {size}"


def compare(log: Log, anchor: Anchor) -> None:
    """Compare an anchor with the log's own tree.

    Raises:
        ConflictError: the log is behind it.
        VerificationError: the log has another history.
    """
    name = log.engine.name
    if anchor.size > log.size:
        behind = (
            f"{name} has {log.size} entries, and {anchor.size} are anchored in block "
            f"{anchor.number}: "
        )
        if log.engine.writers in {Writers.NOBODY, Writers.SERVER}:
            raise ConflictError(
                behind + "this copy may be behind the log, or the log was set back",
                hint="Update the copy, as `counterfoil log mirror` does, and compare again; if "
                "that changes nothing, ask whoever runs the ledger.",
            )
        raise ConflictError(
            behind + "this ledger was restored from a snapshot, or is a copy of one that went on",
            hint="Do not append here; go on with the newest copy, or start a new log.",
        )
    if log.root_at(anchor.size) != anchor.root:
        raise VerificationError(
            f"the chain holds another root over the first {anchor.size} entries than "
            f"{name}: {anchor.root.hex()}",
            hint="Entries were rewritten, or the log forked; keep the folder as evidence.",
        )


def size_of(body: Mapping[str, JsonValue]) -> int:
    """Read how many entries an anchor covers, from its statement; 0 where it does not say."""
    size = body.get("size")
    return size if isinstance(size, int) else 0


def cost_of(body: Mapping[str, JsonValue]) -> int:
    """Compute what an anchor cost, from its statement; wei, 0 where it does not say."""
    match body:
        case {"gas": int(gas), "price_wei": str(price)}:
            with suppress(FormatError):
                return gas * parse_decimal(price, "price_wei", MAX_WORD)
    return 0
