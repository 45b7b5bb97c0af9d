"""What calls cost, as the receipts of real transactions say: the table in docs/reference/gas.md.

python tests/contracts/gas.py --write      measure, and write the table anew
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth_abi import encode
from eth_account import Account
from eth_utils import keccak, to_canonical_address, to_checksum_address
from signers import Member, Signature, addresses, domain_of, members
from trees import Tree

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "gas.md"
ROW = re.compile(r"^\| (`[^|]+) \| ([\d,]+) \|$", re.MULTILINE)

ETHER = 10**18
SIZES = {"10³": 10**3, "10⁶": 10**6, "10⁹": 10**9}
LEAF_AT = 7
TREE = Tree({at: b"statement %d" % at for at in (LEAF_AT, LEAF_AT + 1)})
FORK = Tree({0: b"another face"})
ZERO = b"\0" * 32
NEVER = 2**64 - 1


class Chain:
    """A chain by the rules of Prague: a transaction costs at least 10 gas a token of calldata."""

    def __init__(self) -> None:
        self._account = Account.from_key(keccak(text="who pays"))
        rules = MiningChain.configure("Prague", vm_configuration=((0, PragueVM),), chain_id=1)
        account = {"balance": 10**9 * ETHER, "nonce": 0, "code": b"", "storage": {}}
        self._chain = rules.from_genesis(
            AtomicDB(),
            {"difficulty": 0, "gas_limit": 10**9, "timestamp": 1_700_000_000},
            {to_canonical_address(self._account.address): account},
        )
        self._nonce = 0

    def send(self, to: bytes, data: bytes) -> tuple[int, bytes]:
        """Send a transaction; return the gas it used and the address it made, if it made one."""
        signed = self._account.sign_transaction(
            {
                "chainId": 1,
                "nonce": self._nonce,
                "gas": 10_000_000,
                "gasPrice": 10**10,
                "to": to,
                "value": 0,
                "data": data,
            }
        )
        transaction = (
            self._chain.get_vm().get_transaction_builder().decode(bytes(signed.raw_transaction))
        )
        before = self._chain.get_vm().get_block().header.gas_used
        block, _, computation = self._chain.apply_transaction(transaction)
        computation.raise_if_error()
        self._nonce += 1
        return block.header.gas_used - before, computation.msg.storage_address


class Contract:
    """A deployed artifact, called with ABI-encoded arguments."""

    def __init__(self, chain: Chain, name: str, *arguments: Any) -> None:
        path = ROOT / "src" / "counterfoil" / "chain" / "artifacts" / f"{name}.json"
        artifact = json.loads(path.read_text("utf-8"))
        self._chain = chain
        self._types = {
            entry.get("name", "constructor"): [_type(part) for part in entry["inputs"]]
            for entry in artifact["abi"]
            if entry["type"] in {"function", "constructor"}
        }
        code = bytes.fromhex(artifact["bytecode"][2:])
        code += encode(self._types.get("constructor", []), arguments)
        self.deployment, made = chain.send(b"", code)
        self.address = to_checksum_address(made)
        self._to = made

    def cost(self, name: str, *arguments: Any) -> int:
        """Call a function by a transaction; return the gas it used."""
        types = self._types[name]
        selector = keccak(text=f"{name}({','.join(types)})")[:4]
        return self._chain.send(self._to, selector + encode(types, arguments))[0]

    def sign(self, by: list[Member], signed: str, **message: Any) -> list[Signature]:
        """Members' signatures for this contract."""
        return [member.sign(domain_of(self.address), signed, message) for member in by]


def _type(part: dict[str, Any]) -> str:
    """Write the type of a parameter as selectors have it."""
    if not part["type"].startswith("tuple"):
        return part["type"]
    inner = ",".join(_type(component) for component in part["components"])
    return f"({inner}){part['type'].removeprefix('tuple')}"


def _before(size: int) -> int:
    """The earlier size with the longest consistency proof to `size`."""
    return (1 << (size - 1).bit_length() - 1) - 1


def _anchor_costs(chain: Chain) -> Iterator[tuple[str, int]]:
    anchor = Contract(chain, "CheckpointAnchor")
    yield "`CheckpointAnchor` deployed", anchor.deployment
    for threshold, count in ((1, 1), (3, 5)):
        committee = members(10 * count, count)
        quorum = committee[:threshold]
        who = f"{threshold}-of-{count}"
        for name, size in SIZES.items():
            origin = sha256(f"{who} {name}".encode()).digest()
            opened = anchor.cost("open_log", origin, addresses(committee), threshold)
            log = keccak(
                encode(
                    ["bytes32", "uint64", "address[]"], [origin, threshold, addresses(committee)]
                )
            )
            old_size = _before(size)
            costs = []
            for old, new in ((0, old_size), (old_size, size)):
                root = TREE.root(new)
                signed = anchor.sign(quorum, "Checkpoint", log=log, epoch=1, size=new, root=root)
                costs.append(anchor.cost("advance", log, new, root, TREE.proof(old, new), signed))
            if size == SIZES["10³"]:
                yield f"`open_log`, {who}", opened
                yield f"`advance`, {who}, the first time", costs[0]
            yield f"`advance`, {who}, at {name}", costs[1]
            if threshold > 1:
                path = TREE.path(LEAF_AT, size)
                yield (
                    f"`check_inclusion` as a transaction, at {name}",
                    anchor.cost("check_inclusion", log, size, TREE.leaf(LEAF_AT), LEAF_AT, path),
                )
    fork = FORK.root(size)
    signed = anchor.sign(quorum, "Checkpoint", log=log, epoch=1, size=size, root=fork)
    yield (
        "`report_split`, 3-of-5, against an anchored root",
        anchor.cost("report_split", log, 1, size, root, [], fork, signed),
    )
    yield "`rotate`, 3-of-5 to 3-of-5", _rotation(anchor, log, committee)


def _rotation(contract: Contract, committee_id: bytes, old: list[Member]) -> int:
    new = members(200, 5)
    message = {"committee": committee_id, "epoch": 2, "threshold": 3, "members": addresses(new)}
    signed, accepted = (contract.sign(by[:3], "Rotation", **message) for by in (old, new))
    arguments = (addresses(new), 3, signed, accepted)
    if committee_id == ZERO:
        return contract.cost("rotate", *arguments)
    return contract.cost("rotate", committee_id, *arguments)


def _issuer_costs(chain: Chain) -> Iterator[tuple[str, int]]:
    committee = members(300, 5)
    issuers = Contract(chain, "IssuerRegistry", addresses(committee), 3)
    yield "`IssuerRegistry` deployed, 3-of-5", issuers.deployment
    organisation, key = (keccak(text=text) for text in ("an organisation", "its key"))
    fields = {"organisation": organisation, "kind": 1, "key": key, "not_before": 1}
    fields["not_after"] = NEVER
    signed = issuers.sign(committee[:3], "Key", epoch=1, **fields)
    yield "`IssuerRegistry.add`, 3-of-5", issuers.cost("add", *fields.values(), signed)
    yield (
        "`check_issuer` as a transaction",
        issuers.cost("check_issuer", organisation, 1, key, 1_000),
    )
    fields = {"kind": 1, "key": key, "revoked_from": 1_000}
    signed = issuers.sign(committee[:3], "KeyRevocation", epoch=1, **fields)
    yield "`IssuerRegistry.revoke`, 3-of-5", issuers.cost("revoke", *fields.values(), signed)
    yield "`IssuerRegistry.rotate`, 3-of-5 to 3-of-5", _rotation(issuers, ZERO, committee)


def _model_costs(chain: Chain) -> Iterator[tuple[str, int]]:
    committee, size = members(400, 5), SIZES["10⁶"]
    anchor = Contract(chain, "CheckpointAnchor")
    origin = sha256(b"models").digest()
    anchor.cost("open_log", origin, addresses(committee), 3)
    log = keccak(encode(["bytes32", "uint64", "address[]"], [origin, 3, addresses(committee)]))
    root = TREE.root(size)
    signed = anchor.sign(committee[:3], "Checkpoint", log=log, epoch=1, size=size, root=root)
    anchor.cost("advance", log, size, root, [], signed)
    models = Contract(chain, "ModelRegistry", anchor.address, log, addresses(committee), 3, 1)
    yield "`ModelRegistry` deployed, 3-of-5", models.deployment
    use, model = (keccak(text=text) for text in ("a use", "a model"))
    for kind, at, by in (("Authorisation", LEAF_AT, 3), ("Revocation", LEAF_AT + 1, 1)):
        leaf = TREE.leaf(at)
        message = {"use": use, "model": model, "statement": leaf, "epoch": 1}
        proven = (use, model, size, at, leaf, TREE.path(at, size))
        if kind == "Authorisation":
            message |= {"expires": NEVER, "revocation": ZERO}
            signed = models.sign(committee[:by], kind, **message)
            yield (
                "`ModelRegistry.authorise`, 3-of-5, at 10⁶",
                models.cost("authorise", *proven, NEVER, ZERO, signed),
            )
            yield "`check_model` as a transaction", models.cost("check_model", use, model)
        else:
            signed = models.sign(committee[:by], kind, **message)
            yield (
                "`ModelRegistry.revoke`, 1-of-5, at 10⁶",
                models.cost("revoke", *proven, signed),
            )
    yield "`ModelRegistry.rotate`, 3-of-5 to 3-of-5", _rotation(models, ZERO, committee)


def _consent_costs(chain: Chain) -> Iterator[tuple[str, int]]:
    consents = Contract(chain, "ConsentRegistry")
    yield "`ConsentRegistry` deployed", consents.deployment
    grantee = Member(500).address
    what = (keccak(text="a random handle"), keccak(text="a purpose"), grantee)
    yield "`grant`", consents.cost("grant", *what, NEVER)
    grantor = Account.from_key(keccak(text="who pays")).address
    yield "`check_consent` as a transaction", consents.cost("check_consent", grantor, *what)
    yield "`withdraw`", consents.cost("withdraw", *what)


def measure() -> dict[str, int]:
    """Send every transaction of the table."""
    chain = Chain()
    return {
        what: gas
        for costs in (_anchor_costs, _issuer_costs, _model_costs, _consent_costs)
        for what, gas in costs(chain)
    }


def table() -> dict[str, int]:
    """Read the table that is in git."""
    rows = ROW.findall(PAGE.read_text("utf-8"))
    return {what: int(gas.replace(",", "")) for what, gas in rows}


def main() -> None:
    """Print the table, or write it into the page."""
    rows = "\n".join(f"| {what} | {gas:,} |" for what, gas in measure().items())
    if "--write" not in sys.argv:
        sys.stdout.write(f"{rows}\n")
        return
    text = PAGE.read_text("utf-8")
    old = re.search(r"(?<=\| --- \| ---: \|\n)(\|.*\n)*", text)
    if old is None:
        raise SystemExit(f"{PAGE} has no table")
    PAGE.write_text(text[: old.start()] + rows + "\n" + text[old.end() :], "utf-8")


if __name__ == "__main__":
    main()
