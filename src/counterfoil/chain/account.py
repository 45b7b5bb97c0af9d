"""The organisation's account on EVM chains: a key in an encrypted file, or a signer elsewhere.

    ~/.counterfoil/accounts/NAME.json     Web3 Secret Storage v3 (scrypt, AES-128-CTR), mode 0600

Whoever signs is checked: a signature that is not of the account's key, or of another transaction
than was asked for, is never used.

Source:
    Web3 Secret Storage, version 3; EIP-712; EIP-1559.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from eth_keys.datatypes import PrivateKey

from counterfoil.chain.answers import parse_address, read_data
from counterfoil.chain.keystore import Keystore
from counterfoil.chain.rpc import Rpc
from counterfoil.chain.transaction import Signed, Transaction, check_signed
from counterfoil.chain.typed import Message, Signature, digest, text_digest
from counterfoil.core.canonical import JsonValue, parse_json
from counterfoil.errors import FormatError, SignatureError, UnavailableError
from counterfoil.ledger.disk import Disk, reported
from counterfoil.ledger.keyfiles import (
    MAX_KEY_FILE_BYTES,
    MAX_PASSPHRASE_BYTES,
    home,
    make_private,
    read_private,
    write_private,
)
from counterfoil.ledger.places import file_name

MAX_SCRYPT_N = 2**20
"""Largest cost of a key file that is opened: a gibibyte of memory for some seconds."""

_PASSPHRASE = "COUNTERFOIL_PASSPHRASE"  # noqa: S105 the name of an environment variable
_SCRYPT_N = 2**18  # what geth takes, and OWASP's upper row; about a second
_SCRYPT_R = 8  # what everybody takes; 128 bytes for each of r times n are needed at once
_MAX_SCRYPT_RP = 64  # r times p: with n, what bounds time
_MAX_PBKDF2_ROUNDS = 10_000_000
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_KEY_BYTES = 32


class Account(Protocol):
    """Whoever signs for an address.

    What these return was signed with the key of `address`, and is what was asked to be signed.
    They raise `SignatureError` or `VerificationError` where a signer gave something else, and
    `UnavailableError` where it gave nothing.
    """

    @property
    def address(self) -> str:
        """The account, with its checksum."""

    def sign_transaction(self, transaction: Transaction) -> Signed:
        """Sign a transaction, and send nothing."""

    def sign_typed(self, message: Message) -> Signature:
        """Sign typed data."""

    def sign_text(self, text: str) -> Signature:
        """Sign a text, as `text_digest` hashes it."""


class LocalAccount:
    """An account whose key is in memory.

    Args:
        secret: 32 bytes.

    Raises:
        FormatError: they are no key.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _KEY_BYTES or not 0 < int.from_bytes(secret, "big") < _ORDER:
            raise FormatError(
                "an account's key has 32 bytes, as a number from 1 to the curve's order",
                hint="Make one: counterfoil chain key.",
            )
        self._key = PrivateKey(secret)
        self.address: str = self._key.public_key.to_checksum_address()

    def sign_transaction(self, transaction: Transaction) -> Signed:
        """Sign; see `Account`."""
        to = {} if transaction.call.to is None else {"to": transaction.call.to}
        raw = Keystore.sign_transaction(
            {
                "type": 2,
                "chainId": transaction.chain_id,
                "nonce": transaction.nonce,
                "gas": transaction.gas,
                "maxFeePerGas": transaction.max_fee_wei,
                "maxPriorityFeePerGas": transaction.tip_wei,
                "value": transaction.call.value_wei,
                "data": transaction.call.data,
                **to,
            },
            self._key.to_bytes(),
        ).raw_transaction
        return check_signed(bytes(raw), transaction, self.address)

    def sign_typed(self, message: Message) -> Signature:
        """Sign; see `Account`."""
        return self._sign(digest(message))

    def sign_text(self, text: str) -> Signature:
        """Sign; see `Account`."""
        return self._sign(text_digest(text))

    def encrypt(self, passphrase: str) -> bytes:
        """Write the key as an encrypted JSON file."""
        _check_passphrase(passphrase)
        box = Keystore.encrypt(self._key.to_bytes(), passphrase, "scrypt", _SCRYPT_N)
        return json.dumps(box).encode()

    def _sign(self, hashed: bytes) -> Signature:
        signature = Signature.parse(self._key.sign_msg_hash(hashed).to_bytes())
        return _check_signer(signature, hashed, self.address)


class RemoteAccount:
    """An account whose key a signer elsewhere holds, asked by RPC.

    It is asked for `eth_signTransaction`, `eth_signTypedData_v4` and `personal_sign`, never to
    send: a transaction has to be on the disk before anyone sends it. Tested with anvil; signers
    that call these methods otherwise need something in front that translates.

    Args:
        rpc: The signer.
        address: The account.

    Raises:
        FormatError: that is no address.
    """

    def __init__(self, rpc: Rpc, address: str) -> None:
        self._rpc = rpc
        self.address = parse_address(address)

    def sign_transaction(self, transaction: Transaction) -> Signed:
        """Have it signed; see `Account`."""
        what: dict[str, JsonValue] = {
            "type": "0x2",
            "chainId": hex(transaction.chain_id),
            "from": self.address,
            "nonce": hex(transaction.nonce),
            "gas": hex(transaction.gas),
            "maxFeePerGas": hex(transaction.max_fee_wei),
            "maxPriorityFeePerGas": hex(transaction.tip_wei),
            "value": hex(transaction.call.value_wei),
            "data": "0x" + transaction.call.data.hex(),
        }
        if transaction.call.to is not None:
            what["to"] = transaction.call.to
        answer = self._rpc.call("eth_signTransaction", what)
        # geth answers with an object, others with the bytes alone.
        raw = answer.get("raw") if isinstance(answer, dict) else answer
        return check_signed(read_data(raw, "signed transaction"), transaction, self.address)

    def sign_typed(self, message: Message) -> Signature:
        """Have it signed; see `Account`."""
        answer = self._rpc.call("eth_signTypedData_v4", self.address, json.dumps(message))
        signature = Signature.parse(read_data(answer, "signature"))
        return _check_signer(signature, digest(message), self.address)

    def sign_text(self, text: str) -> Signature:
        """Have it signed; see `Account`."""
        answer = self._rpc.call("personal_sign", "0x" + text.encode().hex(), self.address)
        signature = Signature.parse(read_data(answer, "signature"))
        return _check_signer(signature, text_digest(text), self.address)


def read_passphrase(file: Path | None) -> str | None:
    """Find the passphrase of an account where nobody sits: in a file, or in the environment.

    Args:
        file: Holds it, and perhaps a line feed at its end; None for the environment.

    Returns:
        None if there is none.

    Raises:
        FormatError: the file is not UTF-8.
        UnavailableError: it cannot be read.
    """
    if file is None:
        return os.environ.get(_PASSPHRASE)
    with reported(f"cannot read {file}"), file.open("rb") as opened:
        data = opened.read(MAX_PASSPHRASE_BYTES + 2)  # longer ones are refused by who uses them
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise FormatError(f"{file} is not UTF-8", hint="Write the passphrase anew.") from error


def account_path(name: str) -> Path:
    """Say where the key of a local account lies.

    Raises:
        FormatError: that is no name for one.
    """
    return home() / "accounts" / f"{file_name(name, 'account')}.json"


def create_account(
    path: Path, passphrase: str, random: Callable[[int], bytes] = secrets.token_bytes
) -> LocalAccount:
    """Make a key and write it, encrypted; it is durable on return.

    Args:
        path: `NAME.json`; missing folders are made with mode 0700.
        passphrase: Opens it.
        random: Returns that many unpredictable bytes; anything else than the default is for tests.

    Raises:
        ConflictError: there is a key already; it is never overwritten.
        FormatError: the passphrase is empty or too long.
        UnavailableError: the disk refuses.
    """
    secret = random(_KEY_BYTES)
    while not 0 < int.from_bytes(secret, "big") < _ORDER:  # as likely as guessing a key
        secret = random(_KEY_BYTES)
    account = LocalAccount(secret)
    _save(path, account, passphrase)
    return account


def import_account(path: Path, box: bytes, passphrase: str) -> LocalAccount:
    """Take over a key from an encrypted JSON file, under the same passphrase.

    Raises:
        FormatError: it is no such file, or the passphrase is wrong.
        ConflictError: there is a key already.
        UnavailableError: the disk refuses.
    """
    account = _open(box, passphrase, "key file")
    _save(path, account, passphrase)
    return account


def load_account(path: Path, passphrase: str) -> LocalAccount:
    """Open a key file that nobody else could have read.

    Raises:
        RefusedError: others may read it, or it is a link.
        FormatError: it is no key file, or the passphrase is wrong.
        UnavailableError: there is none, or it cannot be read.
    """
    return _open(_read(path), passphrase, str(path))


def stated_address(path: Path) -> str:
    """Read whose key a file holds, without opening it. Nothing shows that it is so.

    Raises:
        RefusedError: others may read it, or it is a link.
        FormatError: it is no key file, or does not say.
        UnavailableError: there is none, or it cannot be read.
    """
    stated = _check_box(_read(path), str(path)).address
    if not isinstance(stated, str):
        raise _no_box(str(path))
    return parse_address("0x" + stated.removeprefix("0x").lower(), str(path))


def _save(path: Path, account: LocalAccount, passphrase: str) -> None:
    box = account.encrypt(passphrase)
    with reported(f"saving the account {path}"):
        make_private(path.parent)
        write_private(path, box, Disk())


def _read(path: Path) -> bytes:
    if not os.path.lexists(path):
        raise UnavailableError(
            f"there is no account {path}", hint="Make one: counterfoil chain key."
        )
    return read_private(path)


def _open(box: bytes, passphrase: str, what: str) -> LocalAccount:
    read = _check_box(box, what)
    _check_passphrase(passphrase)
    try:
        account = LocalAccount(bytes(Keystore.decrypt(dict(read.locked), passphrase)))
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError(
            f"{what} does not open: the passphrase is wrong, or the file damaged",
            hint="Check the passphrase, or restore the file from a backup.",
        ) from error
    stated = read.address
    if stated is not None and str(stated).lower() != account.address[2:].lower():
        raise FormatError(
            f"{what} names the account {stated!r:.50}, and holds the key of {account.address}",
            hint="Do not use it before you know which one is meant.",
        )
    return account


@dataclass(frozen=True, slots=True)
class _Box:
    """A key file, read as far as that goes without its passphrase.

    Args:
        locked: What it takes to open it, and nothing else: the library takes `N` for `n` and
            what comes later for what came before, so what was not looked at must not reach it.
        address: Whose key it says it holds, if it does.
    """

    locked: Mapping[str, JsonValue]
    address: object


def _check_box(box: bytes, what: str) -> _Box:
    """Read a key file, and bound what opening it costs."""
    match parse_json(box, what=what, max_bytes=MAX_KEY_FILE_BYTES):
        case {
            "version": 3,
            "crypto": {
                "cipher": "aes-128-ctr",
                "cipherparams": {"iv": str(iv)},
                "ciphertext": str(ciphertext),
                "mac": str(mac),
                "kdf": "scrypt" | "pbkdf2" as kdf,
                "kdfparams": {"salt": str(salt), "dklen": 32, **costs},
            },
            **more,
        } if kdf == "scrypt" or costs.get("prf") == "hmac-sha256":
            known: dict[str, JsonValue] = dict(_check_costs(kdf, costs, what))
            if kdf == "pbkdf2":
                known["prf"] = "hmac-sha256"
            crypto: dict[str, JsonValue] = {
                "cipher": "aes-128-ctr",
                "cipherparams": {"iv": iv},
                "ciphertext": ciphertext,
                "mac": mac,
                "kdf": kdf,
                "kdfparams": {**known, "salt": salt, "dklen": _KEY_BYTES},
            }
            return _Box({"version": 3, "crypto": crypto}, more.get("address"))
    raise _no_box(what)


def _check_costs(kdf: str, costs: Mapping[Any, Any], what: str) -> dict[str, int]:
    names = ("n", "r", "p") if kdf == "scrypt" else ("c",)
    known = {
        name: value
        for name in names
        if isinstance(value := costs.get(name), int) and not isinstance(value, bool) and value > 0
    }
    if len(known) != len(names):
        raise _no_box(what)
    n, r, p, rounds = (known.get(name, 1) for name in ("n", "r", "p", "c"))
    if (
        n > MAX_SCRYPT_N
        or n * r > MAX_SCRYPT_N * _SCRYPT_R
        or r * p > _MAX_SCRYPT_RP
        or rounds > _MAX_PBKDF2_ROUNDS
    ):
        raise FormatError(
            f"{what} would cost more to open than is spent on a key file",
            hint=f"scrypt with n of at most {MAX_SCRYPT_N}, as geth writes it.",
        )
    return known


def _check_passphrase(passphrase: str) -> None:
    if not 1 <= len(passphrase.encode("utf-8", "surrogatepass")) <= MAX_PASSPHRASE_BYTES:
        raise FormatError(
            f"the passphrase of an account has 1 to {MAX_PASSPHRASE_BYTES} bytes",
            hint="Choose a sentence.",
        )


def _check_signer(signature: Signature, hashed: bytes, address: str) -> Signature:
    signer = signature.recover(hashed)
    if signer != address:
        raise SignatureError(
            f"the signer signed with the key of {signer}, not of {address}, or something else",
            hint="Name the account whose key the signer holds.",
        )
    return signature


def _no_box(what: str) -> FormatError:
    return FormatError(
        f"{what} is no encrypted key file (Web3 Secret Storage, version 3)",
        hint="Export the account from your wallet as a JSON keystore.",
    )
