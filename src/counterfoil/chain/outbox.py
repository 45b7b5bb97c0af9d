"""The outbox: transactions that reach their chain once, whatever stops, drops or reorganises.

    with Outbox(chain, account) as outbox:
        outbox.submit("advance/…/1024", call)        on the disk before anyone is sent it
        tx_receipt = outbox.wait("advance/…/1024")   returns when it is final, and not before

A *key* names what must not happen twice. For each key there is one nonce, and the chain lets one
transaction have it: however often it is sent, and in however many versions, one can count.

    step                                   if we stop before it      if we stop after it
    1. gas and fees are asked for,         nothing happened          nothing happened: signed bytes
       and it is signed, in memory                                   never left the process
    2. it is on the disk, synced           as before                 the next `step` sends it
    3. nodes are sent it                   as after 2                as after 2: sending the same
                                                                     bytes again changes nothing
    4. it is in a block                    it is sent again          it is looked for again: a block
                                                                     that is not final can go
    5. that block is final                 as after 4                the next `step` finds it so
    6. what became of it is on the disk    as after 5                `wait` says so

What is dropped, or in a block that was reorganised away, has no receipt any more, and is sent
again, byte for byte. What nobody takes is signed anew at the same nonce, for an eighth more.

Not checked: that the node tells the truth about finality; see `node`. And a key that is used
elsewhere as well can have its nonce taken: that is `displaced`, and never tried again by itself.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

from counterfoil.chain.account import Account
from counterfoil.chain.answers import TxReceipt
from counterfoil.chain.node import Chain
from counterfoil.chain.rpc import NodeError
from counterfoil.chain.shelf import (
    DISPLACED,
    MAX_ATTEMPTS,
    REVERTED,
    SUCCEEDED,
    Attempt,
    Pending,
    Settled,
    Shelf,
    call_digest,
    check_key,
)
from counterfoil.chain.transaction import Call, Transaction
from counterfoil.errors import ConflictError, FormatError, RefusedError, UnavailableError
from counterfoil.ledger.disk import Disk, WriterLock, reported
from counterfoil.ledger.keyfiles import home

FINAL_WITHIN_S = 1800.0
"""How long `wait` waits by default: finality takes some 15 minutes on Ethereum."""

MAX_PENDING = 64
"""Transactions under way at once: nodes keep no more of one account."""

_GAS_MARGIN = (5, 4)  # of what the node estimates: state may have changed when it is run
_BUMP = (9, 8)  # nodes replace a transaction from a tenth more on
_SUSPICION_POLLS = 10  # looks for which a taken nonce has to look taken


class Outbox:
    """Sends for one account on one chain; one process at a time. Not for several threads at once.

    Args:
        chain: The chain.
        account: Who signs and pays.
        clock: POSIX time in seconds.
        sleep: Waits that many seconds.
        disk: The disk.

    Raises:
        ConflictError: another process sends for this account.
        UnavailableError: the chain does not answer, or the disk refuses.
    """

    def __init__(
        self,
        chain: Chain,
        account: Account,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        disk: Disk | None = None,
    ) -> None:
        self.chain = chain
        self.account = account
        self._clock = clock
        self._sleep = sleep
        self._shelf = Shelf(outbox_folder(chain, account.address), disk)
        self._shelf.make()
        with reported(f"cannot lock {self._shelf.folder}"):
            self._lock = WriterLock(
                self._shelf.folder / "writer.lock", f"the outbox of {account.address}"
            )
        self._is_closed = False
        self._suspected: dict[int, float] = {}
        self._said: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process send; what is under way stays so. Safe to repeat."""
        if not self._is_closed:
            self._is_closed = True
            self._lock.close()

    def submit(self, key: str, call: Call, *, gas: int | None = None, again: bool = False) -> None:
        """Make sure that `call` is sent, once. Safe to repeat, before and after a crash.

        Args:
            key: What it is for: of calls with one key, one is ever sent.
            call: What is to be done.
            gas: The most that it may use, where the node's estimate is not to be asked for.
            again: Whether to try anew what was reverted or displaced. Look at the chain first.

        Raises:
            RefusedError: the contract would revert; nothing was sent.
            ConflictError: another call has this key, or what had it came to nothing.
            UnavailableError: too little money, fees above the profile's, no answer, or the disk
                refuses. Nothing was sent.
        """
        check_key(key)
        self._check_open()
        pending = self._shelf.pending()
        if self._is_known(key, call, pending, again=again):
            return
        if len(pending) >= MAX_PENDING:
            raise UnavailableError(
                f"{MAX_PENDING} transactions of {self.account.address} are under way",
                hint="Wait until some are final.",
            )
        self.chain.check_identity()
        mined = self.chain.nonce(self.account.address)
        nonce = max(mined, pending[-1].nonce + 1 if pending else 0)
        transaction = self._price(call, nonce, gas)
        signed = self.account.sign_transaction(transaction)
        entry = Pending(key, (Attempt(signed, int(self._clock())),))
        # If we stop before the next line, nothing happened; after it, `step` sends what it says.
        self._shelf.put(entry)
        with contextlib.suppress(UnavailableError):  # `step` sends it as well
            self._send(entry)

    def step(self) -> None:
        """Look once at all that is under way: settle what is final, send again what is nowhere.

        Raises:
            VerificationError: the node lies, or serves another chain.
            UnavailableError: no answer; everything stays as it is.
        """
        self._check_open()
        pending = self._shelf.pending()
        if not pending:
            return
        self.chain.check_identity()
        # In this order: what is counted in a final block has a receipt when that is asked for.
        final, taken = self._final()
        for entry in pending:
            receipt = self._receipt(entry)
            if receipt is None:
                self._chase(entry, is_taken=entry.nonce < taken)
            elif receipt.block_number <= final and self.chain.contains(receipt):
                outcome = SUCCEEDED if receipt.succeeded else REVERTED
                self._settle(entry, outcome, receipt)

    def wait(self, key: str, timeout_s: float = FINAL_WITHIN_S) -> TxReceipt:
        """Wait until the transaction for `key` is final.

        Args:
            key: As submitted.
            timeout_s: How long, in seconds.

        Raises:
            RefusedError: it is final, and was reverted; says why as far as that can be told.
            ConflictError: another transaction took its nonce.
            VerificationError: the node lies.
            UnavailableError: it is not final yet. It stays under way; wait again.
        """
        deadline = time.monotonic() + timeout_s
        trouble = ""
        while True:
            try:
                self.step()
            except UnavailableError as error:
                trouble = str(error)
            found = self.find(key)
            if isinstance(found, Settled):
                return self._result(found)
            if found is None:
                raise FormatError(f"nothing was submitted for {key!r}", hint="Submit it first.")
            if time.monotonic() >= deadline:
                said = trouble or self._said.get(found.nonce) or "no trouble is known"
                raise UnavailableError(
                    f"{key} is not final after {timeout_s:g} s: {said}",
                    hint="It stays under way, and is never sent twice: wait again.",
                )
            self._sleep(self.chain.profile.poll_s)

    def find(self, key: str) -> Pending | Settled | None:
        """Say what is known about a key."""
        for entry in self._shelf.pending():
            if entry.key == key:
                return entry
        return self._shelf.find_settled(key)

    def pending(self) -> tuple[Pending, ...]:
        """List what is under way, by nonce."""
        return self._shelf.pending()

    def settled(self) -> Iterator[Settled]:
        """Read what is settled, in no order; what it cost is in the receipts."""
        return self._shelf.settled()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ConflictError(
                "this outbox is closed, and another may send by now", hint="Open a new one."
            )

    def _is_known(self, key: str, call: Call, pending: tuple[Pending, ...], *, again: bool) -> bool:
        for entry in pending:
            if entry.key == key:
                self._check_same(key, call_digest(entry.call), call)
                return True
        done = self._shelf.find_settled(key)
        if done is None or (again and done.outcome != SUCCEEDED):
            return False
        self._check_same(key, done.call, call)
        self._result(done)
        return True

    def _check_same(self, key: str, known: bytes, call: Call) -> None:
        if known != call_digest(call):
            raise ConflictError(
                f"something else was submitted for {key} before",
                hint="Give another key to what is another thing.",
            )

    def _result(self, done: Settled) -> TxReceipt:
        if done.receipt is None:
            raise ConflictError(
                f"{done.key} will never be: another transaction of {self.account.address} took"
                f" its nonce {done.nonce}",
                hint="Look at the chain; if it is not there, submit it again=True.",
            )
        if not done.receipt.succeeded:
            raise RefusedError(
                f"{done.key} was reverted in block {done.receipt.block_number}",
                reasons=(done.reason,),
                hint="Its gas is spent and nothing was done. Mend the cause, submit it again=True.",
            )
        return done.receipt

    def _final(self) -> tuple[int, int]:
        """Give the number of the newest final block, and how many nonces are taken for good."""
        final = self.chain.final()
        if final is None:
            return -1, 0
        try:
            return final.number, self.chain.nonce(self.account.address, at=final.number)
        except NodeError:  # the node no longer has the state of that block
            return final.number, 0

    def _receipt(self, entry: Pending) -> TxReceipt | None:
        for attempt in reversed(entry.attempts):
            receipt = self.chain.tx_receipt(attempt.signed.hash)
            if receipt is not None:
                return receipt
        return None

    def _chase(self, entry: Pending, *, is_taken: bool) -> None:
        """Deal with a transaction that is in no block."""
        now = time.monotonic()
        if not is_taken:
            self._suspected.pop(entry.nonce, None)
            self._send(self._bumped(entry))
            return
        # Nodes behind one address may not all have caught up, so one look is not enough.
        since = self._suspected.setdefault(entry.nonce, now)
        if now - since >= _SUSPICION_POLLS * self.chain.profile.poll_s:
            self._settle(entry, DISPLACED, None)

    def _settle(self, entry: Pending, outcome: str, receipt: TxReceipt | None) -> None:
        digest = call_digest(entry.call)
        reason = self._why(entry, receipt) if receipt and not receipt.succeeded else ""
        self._shelf.settle(Settled(entry.key, entry.nonce, digest, outcome, receipt, reason))
        self._said.pop(entry.nonce, None)

    def _why(self, entry: Pending, receipt: TxReceipt) -> str:
        """Find out why a transaction was reverted, as far as that can be told afterwards."""
        gas = entry.attempts[0].signed.transaction.gas
        if receipt.gas_used >= gas:
            return f"it ran out of gas: {gas} units were not enough"
        to, data, before = entry.call.to, entry.call.data, receipt.block_number - 1
        try:
            if to is not None:
                self.chain.call(to, data, at=before, sender=self.account.address)
        except RefusedError as error:
            return error.reasons[0]
        except NodeError:  # the node no longer has the state of that block
            return "the node does not say why"
        return "it would have succeeded a block earlier"

    def _send(self, entry: Pending) -> None:
        signed = entry.attempts[-1].signed
        try:
            self.chain.send_raw(signed.raw, signed.hash)
            self._said.pop(entry.nonce, None)
        except NodeError as error:
            # It may have it already, or may not want it now. What counts is what is in blocks.
            self._said[entry.nonce] = error.reason

    def _bumped(self, entry: Pending) -> Pending:
        """Offer more, if the last offer was not taken for long."""
        last = entry.attempts[-1]
        profile = self.chain.profile
        if self._clock() - last.time < profile.bump_after_s or len(entry.attempts) >= MAX_ATTEMPTS:
            return entry
        old = last.signed.transaction
        base = self.chain.head().base_fee_wei
        tip_wei = _more(old.tip_wei)
        max_fee_wei = max(_more(old.max_fee_wei), 2 * base + tip_wei)
        if max_fee_wei > profile.max_fee_wei:
            self._said[entry.nonce] = (
                f"it offers {old.max_fee_wei} wei for a unit of gas, and the profile allows no more"
                f" than {profile.max_fee_wei}"
            )
            return entry
        try:
            signed = self.account.sign_transaction(
                replace(old, tip_wei=tip_wei, max_fee_wei=max_fee_wei)
            )
        except UnavailableError as error:  # the signer sleeps; the old version is still good
            self._said[entry.nonce] = str(error)
            return entry
        bumped = replace(entry, attempts=(*entry.attempts, Attempt(signed, int(self._clock()))))
        # If we stop before the next line, the new version has not left the process.
        self._shelf.put(bumped)
        return bumped

    def _price(self, call: Call, nonce: int, gas: int | None) -> Transaction:
        """Ask what it needs, and refuse what cannot be paid."""
        chain, address = self.chain, self.account.address
        head = chain.head()
        if gas is None:
            estimate = chain.estimate_gas(address, call.to, call.data, call.value_wei)
            gas = min(estimate * _GAS_MARGIN[0] // _GAS_MARGIN[1], max(estimate, head.gas_limit))
        if gas > head.gas_limit:
            raise UnavailableError(
                f"this needs {gas} units of gas, and a block has {head.gas_limit}",
                hint="Split what is to be done; no block of this chain can hold it.",
            )
        tip_wei = chain.tip_wei()
        if head.base_fee_wei + tip_wei > chain.profile.max_fee_wei:
            raise UnavailableError(
                f"a unit of gas costs {head.base_fee_wei + tip_wei} wei now, and the profile"
                f" allows {chain.profile.max_fee_wei}",
                hint="Wait until it is cheaper, or raise max_fee_wei in the profile.",
            )
        max_fee_wei = min(2 * head.base_fee_wei + tip_wei, chain.profile.max_fee_wei)
        need, have = call.value_wei + gas * max_fee_wei, chain.balance_wei(address)
        if have < need:
            raise UnavailableError(
                f"{address} has {have} wei on the chain {chain.chain_id}, and needs {need}",
                hint=f"Send at least {need - have} wei to it, then try again; nothing was sent.",
            )
        return Transaction(chain.chain_id, nonce, call, gas, max_fee_wei, tip_wei)


def outbox_folder(chain: Chain, address: str) -> Path:
    """Say where the transactions of an account on a chain lie.

    The first block is part of it: a development chain that began anew has the same id.
    """
    place = f"{chain.chain_id}-{chain.genesis.hex()[:16]}"
    return home() / "chain" / place / address.lower()


def read_outbox(chain: Chain, address: str) -> Shelf:
    """Read what is under way and settled for an account, while another process may send for it."""
    return Shelf(outbox_folder(chain, address))


def _more(wei: int) -> int:
    return max(wei + 1, -(-wei * _BUMP[0] // _BUMP[1]))
