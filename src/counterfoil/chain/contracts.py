"""Contracts of ours: their artifacts, deployed by the outbox and known by the hash of their code.

The artifact of each lies beside this module: its interface, its creation code, and the keccak-256
of the code that has to be found at its address. Constructors keep nothing in the code, so that
hash is one constant a release, on every chain. What a contract began with is told by the
transaction that made it, and by nothing else: `check_creation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any, ClassVar, Self

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.abi import collapse_if_tuple
from eth_utils.crypto import keccak

from counterfoil.chain.answers import HASH_BYTES, TxReceipt, parse_address
from counterfoil.chain.node import Chain
from counterfoil.chain.outbox import FINAL_WITHIN_S, Outbox
from counterfoil.chain.shelf import Settled
from counterfoil.chain.transaction import Call, made_contract
from counterfoil.chain.typed import Signature
from counterfoil.core.canonical import parse_json
from counterfoil.errors import FormatError, UnavailableError, VerificationError

CONTRACTS = ("CheckpointAnchor", "IssuerRegistry", "ModelRegistry", "ConsentRegistry")

_SELECTOR_BYTES = 4


@dataclass(frozen=True, slots=True)
class Artifact:
    """What was compiled.

    Args:
        name: The contract's.
        creation: The code that makes it; encoded constructor arguments follow it.
        code_hash: keccak-256 of the code that it then has; 32 bytes.
        evm_version: What it was compiled for.
        functions: Types of arguments and of results, by name; the constructor's is empty.
        slots: Where documented variables lie in its storage.
        signed_types: Fields of what is signed for it, by name.
    """

    name: str
    creation: bytes
    code_hash: bytes
    evm_version: str
    functions: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    slots: Mapping[str, int]
    signed_types: Mapping[str, str]

    def encode(self, function: str, *values: object) -> bytes:
        """Write a call, or the creation code where `function` is empty.

        Raises:
            FormatError: a value does not fit the type that the contract takes.
        """
        takes, _ = self.functions.get(function, ((), ()))
        try:
            encoded = encode(takes, values)
        except (EncodingError, TypeError, ValueError, OverflowError) as error:
            raise FormatError(
                f"{self.name}.{function or 'constructor'} does not take this: {error!s:.200}",
                hint=f"It takes ({', '.join(takes)}).",
            ) from error
        if not function:
            return self.creation + encoded
        selector = keccak(text=f"{function}({','.join(takes)})")[:_SELECTOR_BYTES]
        return bytes(selector) + encoded

    def decode(self, function: str, data: bytes) -> tuple[Any, ...]:
        """Read what a call returned.

        Raises:
            UnavailableError: it is nothing that this contract returns.
        """
        _, gives = self.functions[function]
        try:
            return tuple(decode(gives, data))
        except (DecodingError, ValueError, OverflowError) as error:
            raise UnavailableError(
                f"what the node gives for {self.name}.{function} is nonsense: {error!s:.200}",
                hint="Ask another node of this chain.",
            ) from error


@cache
def load_artifact(name: str) -> Artifact:
    """Load the artifact of a contract.

    Raises:
        FormatError: there is no such contract.
    """
    if name not in CONTRACTS:
        raise FormatError(f"there is no contract {name!r}", hint=f"{', '.join(CONTRACTS)}.")
    file = resources.files(__package__) / "artifacts" / f"{name}.json"
    fields: Any = parse_json(file.read_bytes(), what=f"artifact of {name}")
    functions = {"": ((), ())} | {
        entry.get("name", ""): (
            tuple(map(collapse_if_tuple, entry["inputs"])),
            tuple(map(collapse_if_tuple, entry["outputs"])),
        )
        for entry in fields["abi"]
        if entry["type"] in {"function", "constructor"}
    }
    return Artifact(
        name=name,
        creation=_unhex(fields["bytecode"]),
        code_hash=_unhex(fields["runtime_code_hash"]),
        evm_version=fields["evm_version"],
        functions=functions,
        slots=fields["slots"],
        signed_types=fields["signed_types"],
    )


class Contract:
    """A contract of ours at an address; `open` checks that it has the code of one.

    Reading is as of the newest final block, so that nothing is told that may go again; with
    `final=False` as of the newest. What changes something is a `Call`, for the outbox to send.
    """

    name: ClassVar[str]

    def __init__(self, chain: Chain, address: str) -> None:
        self.chain = chain
        self.address = parse_address(address)
        self.artifact = load_artifact(self.name)

    @classmethod
    def open(cls, chain: Chain, address: str) -> Self:
        """Take the contract at an address, if its code is what was compiled.

        Raises:
            VerificationError: it is another contract, or none.
            UnavailableError: no answer.
        """
        contract = cls(chain, address)
        check_code(chain, contract.address, contract.artifact)
        return contract

    def _call(self, function: str, *values: object) -> Call:
        return Call(self.address, self.artifact.encode(function, *values))

    def _read(self, function: str, *values: object, final: bool) -> tuple[Any, ...]:
        at = None
        if final:
            block = self.chain.final()
            if block is None:
                raise UnavailableError(
                    f"no block of the chain {self.chain.chain_id} is final yet",
                    hint="Wait, or ask with final=False and do not rely on it.",
                )
            at = block.number
        data = self.artifact.encode(function, *values)
        return self.artifact.decode(function, self.chain.call(self.address, data, at=at))


@dataclass(frozen=True, slots=True)
class Deployed:
    """A contract that was made, and is final.

    Args:
        name: Which.
        address: Where.
        receipt: Of the transaction that made it.
    """

    name: str
    address: str
    receipt: TxReceipt


def deploy(
    outbox: Outbox, name: str, *values: object, timeout_s: float = FINAL_WITHIN_S
) -> Deployed:
    """Make a contract and check what was made. Safe to repeat: it is made once.

    Args:
        outbox: Sends it.
        name: Which, of `CONTRACTS`.
        values: What its constructor takes.
        timeout_s: How long to wait until it is final, in seconds.

    Raises:
        FormatError: there is no such contract, or it takes something else.
        VerificationError: there is other code at its address than was compiled.
        UnavailableError: it is not final yet; deploy again to go on waiting.
    """
    artifact = load_artifact(name)
    profile = outbox.chain.profile
    if not profile.runs(artifact.evm_version):
        raise FormatError(
            f"{name} needs the EVM of {artifact.evm_version}, and the profile {profile.name!r}"
            f" has {profile.evm_version}",
            hint="Correct the profile, or take another chain.",
        )
    key = deployment_key(name, *values)
    outbox.submit(key, Call(None, artifact.encode("", *values)))
    receipt = outbox.wait(key, timeout_s)
    done = outbox.find(key)
    assert isinstance(done, Settled)  # noqa: S101 what `wait` waited for
    address = made_contract(outbox.account.address, done.nonce)
    if receipt.contract != address:
        raise VerificationError(
            f"the node says that {name} is at {receipt.contract}, and it must be at {address}",
            hint="Do not rely on this node; ask another one of this chain.",
        )
    check_code(outbox.chain, address, artifact, at=receipt.block_number)
    return Deployed(name, address, receipt)


def deployment_key(name: str, *values: object) -> str:
    """Name the transaction that makes a contract, for the outbox."""
    code = load_artifact(name).encode("", *values)
    return f"deploy {name} {sha256(code).hexdigest()[:32]}"


def check_code(chain: Chain, address: str, artifact: Artifact, at: int | None = None) -> None:
    """Check that the code at an address is the contract's.

    Raises:
        VerificationError: it is not.
        UnavailableError: no answer.
    """
    code = chain.code(address, at)
    if not code:
        raise VerificationError(
            f"there is no contract at {address} on the chain {chain.chain_id}",
            hint="Check address and chain; a deployment is there once it is in a block.",
        )
    found = bytes(keccak(code))
    if found != artifact.code_hash:
        raise VerificationError(
            f"the contract at {address} is no {artifact.name} of this version: its code hash is"
            f" {found.hex()}, not {artifact.code_hash.hex()}",
            hint="Check the address, or use the version of counterfoil that deployed it.",
        )


def check_creation(contract: Contract, tx_hash: bytes, *values: object) -> None:
    """Check that a final transaction made a contract, with our creation code and these arguments.

    The code at an address does not tell what its storage began with. Other creation code can leave
    the same code behind, and whatever it likes in the storage: roots that nobody signed, or a
    committee of its own for a log that others will open.

    Args:
        contract: As `Contract.open` gave it; its code is not looked at again.
        tx_hash: Of the transaction that is said to have made it, 32 bytes.
        values: What the constructor was given.

    Raises:
        VerificationError: it did not make it, or with other creation code or arguments.
        UnavailableError: it is in no final block, or no answer.
    """
    chain = contract.chain
    receipt, final = chain.tx_receipt(tx_hash), chain.final()
    if (
        receipt is None
        or final is None
        or receipt.block_number > final.number
        or not chain.contains(receipt)
    ):
        raise UnavailableError(
            f"the transaction 0x{tx_hash.hex()} is in no final block",
            hint="Check it; if it was sent just now, wait until it is final.",
        )
    if not receipt.succeeded or receipt.contract != contract.address:
        raise VerificationError(
            f"the transaction 0x{tx_hash.hex()} did not make {contract.address}",
            hint="Ask whoever deployed it for the transaction that did.",
        )
    if chain.tx_data(tx_hash) != contract.artifact.encode("", *values):
        raise VerificationError(
            f"{contract.address} was not made by the creation code of {contract.artifact.name}, or"
            " from other arguments: anything may have been in its storage from the beginning",
            hint="Do not rely on it; deploy another one.",
        )


def hashes(values: Sequence[bytes]) -> list[bytes]:
    """Check that each is 32 bytes: shorter ones would be filled up with zeros unseen.

    Raises:
        FormatError: one is not.
    """
    for value in values:
        if len(value) != HASH_BYTES:
            raise FormatError(
                f"{len(value)} bytes where a contract takes 32", hint="Give the whole hash."
            )
    return list(values)


def pairs(signatures: Sequence[Signature]) -> list[tuple[bytes, bytes]]:
    """Write signatures as contracts take them."""
    return [(one.r, one.vs) for one in signatures]


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
