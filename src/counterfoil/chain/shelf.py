"""Transactions on the disk: those under way by nonce, those that are settled by what they are for.

    pending/<nonce>.json             canonical JSON; the signed bytes, every version of them
    settled/<sha256(key)>.json       canonical JSON; what became of it, for good
    writer.lock                      one process at a time sends for an account

All 0600 in folders of 0700: signed bytes can be sent by whoever reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from counterfoil.chain.answers import (
    HASH_BYTES,
    MAX_NUMBER,
    MAX_WORD,
    TxReceipt,
    parse_address,
)
from counterfoil.chain.transaction import Call, Signed, parse_signed
from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.core.text import parse_decimal, parse_hex
from counterfoil.errors import CounterfoilError, FormatError
from counterfoil.ledger.disk import Disk, read_file, reported
from counterfoil.ledger.keyfiles import make_private

MAX_KEY_CHARACTERS = 200
"""Longest name of what a transaction is for."""

MAX_ATTEMPTS = 24
"""Versions of one transaction: each offers an eighth more than the last, so 16 times the first."""

MAX_ENTRY_BYTES = 8 * 1024 * 1024
"""Longest file: that many versions of the longest transaction, in hexadecimal."""

SUCCEEDED, REVERTED, DISPLACED = OUTCOMES = ("succeeded", "reverted", "displaced")

_FORMAT = "counterfoil transaction v1"
_SETTLED_FORMAT = "counterfoil settled transaction v1"
_HINT = "Restore the file from a backup; without it, nobody knows what was sent."


@dataclass(frozen=True, slots=True)
class Attempt:
    """One version of a transaction.

    Args:
        signed: What is handed to nodes.
        time: When it was signed, POSIX time in seconds.
    """

    signed: Signed
    time: int


@dataclass(frozen=True, slots=True)
class Pending:
    """A transaction under way. All versions do the same, at the same nonce: one can count.

    Args:
        key: What it is for.
        attempts: Its versions, the last one being what nodes should know.
    """

    key: str
    attempts: tuple[Attempt, ...]

    @property
    def nonce(self) -> int:
        """Its place among the account's transactions."""
        return self.attempts[0].signed.transaction.nonce

    @property
    def call(self) -> Call:
        """What it does."""
        return self.attempts[0].signed.transaction.call


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a transaction, for good.

    Args:
        key: What it was for.
        nonce: Its place among the account's transactions.
        call: Digest of what it did, from `call_digest`.
        outcome: `succeeded`, `reverted`, or `displaced`: another one took its nonce.
        receipt: The chain's; None where it was displaced.
        reason: Why it was reverted, as far as that could be told.
    """

    key: str
    nonce: int
    call: bytes
    outcome: str
    receipt: TxReceipt | None
    reason: str = ""


class Shelf:
    """The files of one account on one chain.

    Args:
        folder: Where they are; made when something is first put there.
        disk: The disk.
    """

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self.folder = folder
        self._disk = disk or Disk()
        self._pending = folder / "pending"
        self._settled = folder / "settled"

    def make(self) -> None:
        """Make the folders.

        Raises:
            UnavailableError: the disk refuses.
        """
        with reported(f"making {self.folder}"):
            for folder in (self.folder, self._pending, self._settled):
                make_private(folder)
            self._disk.sync_folder(self.folder)

    def pending(self) -> tuple[Pending, ...]:
        """Read what is under way, by nonce.

        Raises:
            FormatError: a file is not as it was written.
            UnavailableError: it cannot be read.
        """
        with reported(f"cannot list {self._pending}"):
            paths = list(self._pending.glob("*.json")) if self._pending.exists() else []
        found = []
        for path in paths:
            entry = parse_pending(read_file(path, MAX_ENTRY_BYTES), str(path))
            if path.name != f"{entry.nonce}.json":
                raise FormatError(f"{path} holds the nonce {entry.nonce}", hint=_HINT)
            found.append(entry)
        return tuple(sorted(found, key=lambda entry: entry.nonce))

    def settled(self) -> Iterator[Settled]:
        """Read everything that is settled, in no order."""
        for path in self._settled.glob("*.json"):
            yield parse_settled(read_file(path, MAX_ENTRY_BYTES), str(path))

    def find_settled(self, key: str) -> Settled | None:
        """Read what became of the transaction for `key`, if that is settled."""
        path = self._settled_path(key)
        if not path.exists():
            return None
        return parse_settled(read_file(path, MAX_ENTRY_BYTES), str(path))

    def put(self, entry: Pending) -> None:
        """Write down a transaction, or its new version; durable on return.

        Raises:
            UnavailableError: the disk refuses, and nothing may be sent.
        """
        self._replace(self._pending, f"{entry.nonce}.json", format_pending(entry))

    def settle(self, done: Settled) -> None:
        """Write down what became of a transaction under way.

        Raises:
            UnavailableError: the disk refuses; it is found again as under way.
        """
        path = self._settled_path(done.key)
        self._replace(self._settled, path.name, format_settled(done))
        # If we stop here, it is on both sides, and the next look settles it again.
        self._forget(done.nonce)

    def _settled_path(self, key: str) -> Path:
        return self._settled / f"{sha256(key.encode()).hexdigest()}.json"

    def _replace(self, folder: Path, name: str, data: bytes) -> None:
        with reported(f"cannot write {folder / name}"):
            self._disk.replace(folder, name, data, 0o600)

    def _forget(self, nonce: int) -> None:
        with reported(f"cannot remove {nonce}.json from {self._pending}"):
            (self._pending / f"{nonce}.json").unlink(missing_ok=True)
            self._disk.sync_folder(self._pending)


def check_key(key: str) -> None:
    """Check the name of what a transaction is for.

    Raises:
        FormatError: it is empty, too long, or not printable ASCII.
    """
    if not 0 < len(key) <= MAX_KEY_CHARACTERS or not (key.isascii() and key.isprintable()):
        raise FormatError(
            "what a transaction is for is named in 1 to"
            f" {MAX_KEY_CHARACTERS} printable ASCII characters",
            hint="Name it after what must not happen twice.",
        )


def call_digest(call: Call) -> bytes:
    """Hash what a transaction does: SHA-256(address or nothing ‖ value, 32 bytes ‖ data)."""
    to = b"" if call.to is None else bytes.fromhex(call.to[2:])
    return sha256(to + call.value_wei.to_bytes(32, "big") + call.data).digest()


def format_pending(entry: Pending) -> bytes:
    """Write a transaction under way."""
    attempts: list[JsonValue] = [
        {"raw": one.signed.raw.hex(), "time": one.time} for one in entry.attempts
    ]
    return format_json({"format": _FORMAT, "key": entry.key, "attempts": attempts})


def parse_pending(data: bytes, what: str = "transaction") -> Pending:
    """Read a transaction under way; the inverse of `format_pending`.

    Raises:
        FormatError: it is none, or its versions do different things.
    """
    match parse_canonical(data, what=what, max_bytes=MAX_ENTRY_BYTES):
        case {"format": str(kind), "key": str(key), "attempts": list(listed), **more}:
            known = kind == _FORMAT and not more and 0 < len(listed) <= MAX_ATTEMPTS
            attempts = tuple(_parse_attempt(one, what) for one in listed) if known else ()
            alike = {
                (one.signed.sender, made.chain_id, made.nonce, made.call)
                for one in attempts
                for made in (one.signed.transaction,)
            }
            if len(alike) == 1:
                check_key(key)
                return Pending(key, attempts)
    raise FormatError(f"{what} is no transaction under way", hint=_HINT)


def format_settled(done: Settled) -> bytes:
    """Write what became of a transaction."""
    receipt = done.receipt
    return format_json(
        {
            "format": _SETTLED_FORMAT,
            "key": done.key,
            "nonce": str(done.nonce),
            "call": done.call.hex(),
            "outcome": done.outcome,
            "reason": done.reason,
            "receipt": None
            if receipt is None
            else {
                "hash": receipt.tx_hash.hex(),
                "block": str(receipt.block_number),
                "block_hash": receipt.block_hash.hex(),
                "gas_used": str(receipt.gas_used),
                "gas_price_wei": str(receipt.gas_price_wei),
                "contract": receipt.contract,
            },
        }
    )


def parse_settled(data: bytes, what: str = "settled transaction") -> Settled:
    """Read what became of a transaction; the inverse of `format_settled`.

    Raises:
        FormatError: it is nothing of the kind.
    """
    match parse_canonical(data, what=what, max_bytes=MAX_ENTRY_BYTES):
        case {
            "format": str(kind),
            "key": str(key),
            "nonce": str(nonce),
            "call": str(call),
            "outcome": str(outcome),
            "reason": str(reason),
            "receipt": listed,
            **more,
        } if kind == _SETTLED_FORMAT and outcome in OUTCOMES and not more:
            if (listed is None) == (outcome == DISPLACED):
                check_key(key)
                return Settled(
                    key,
                    parse_decimal(nonce, what, MAX_NUMBER),
                    parse_hex(call, what, size=HASH_BYTES),
                    outcome,
                    None if listed is None else _parse_receipt(listed, outcome, what),
                    reason,
                )
    raise FormatError(f"{what} does not say what became of a transaction", hint=_HINT)


def _parse_attempt(value: object, what: str) -> Attempt:
    match value:
        case {"raw": str(raw), "time": int(time), **more} if not more and time >= 0:
            try:
                return Attempt(parse_signed(parse_hex(raw, what)), time)
            except CounterfoilError as error:
                raise FormatError(f"{what}: {error}", hint=_HINT) from error
    raise FormatError(f"{what} holds something that is no transaction", hint=_HINT)


def _parse_receipt(value: object, outcome: str, what: str) -> TxReceipt:
    match value:
        case {
            "hash": str(tx_hash),
            "block": str(block),
            "block_hash": str(block_hash),
            "gas_used": str(gas_used),
            "gas_price_wei": str(price),
            "contract": str() | None as contract,
            **more,
        } if not more:
            return TxReceipt(
                tx_hash=parse_hex(tx_hash, what, size=HASH_BYTES),
                block_number=parse_decimal(block, what, MAX_NUMBER),
                block_hash=parse_hex(block_hash, what, size=HASH_BYTES),
                succeeded=outcome == SUCCEEDED,
                gas_used=parse_decimal(gas_used, what, MAX_NUMBER),
                gas_price_wei=parse_decimal(price, what, MAX_WORD),
                contract=None if contract is None else parse_address(contract, what),
            )
    raise FormatError(f"{what} holds something that is no receipt", hint=_HINT)
