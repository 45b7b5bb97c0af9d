"""The demonstration's chain: one of this machine, where there is one, and what it proves.

It takes the extra `chain` and anvil. Without them the demonstration goes on, and says that nothing
is anchored.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import counterfoil as cf
from counterfoil import chain as chains
from counterfoil.errors import UnavailableError
from counterfoil.ledger.log import Log

if TYPE_CHECKING:
    from counterfoil.chain import DevChain, LocalAccount

GRANT_WEI = 10**18
PROVES = (
    "the contract holds the log's root, and takes no other one of that size: a log rewritten by "
    "whoever has all its keys and its witness is noticed"
)
PROVES_NOT = (
    "anything against whoever runs the chain: one process of one operator makes its blocks, and "
    "can make another chain in a second. So the letter's grade stays what it was"
)


@dataclass(frozen=True, slots=True)
class Anchored:
    """A checkpoint that is anchored.

    Args:
        size: Entries under its root.
        block: Number of the block.
        gas: What it used.
    """

    size: int
    block: int
    gas: int


class Place:
    """The ledger's place on the chain of this machine.

    Args:
        ledger: The ledger.
        dev: The chain.
        account: Pays, and is the one member of the committee, beside the local witness.
    """

    def __init__(self, ledger: cf.Ledger, dev: DevChain, account: LocalAccount) -> None:
        self._ledger = ledger
        self._dev = dev
        self._account = account

    def anchor(self) -> Anchored:
        """Anchor the newest checkpoint."""
        policy = self._ledger.policy.show()
        with (
            chains.Outbox(self._dev.connect(), self._account) as outbox,
            chains.members_here(policy, self._account) as members,
        ):
            made = chains.Anchoring(self._ledger, outbox, members).run()[-1]
        match made.statement.predicate:
            case {"size": int(size), "block": {"number": int(block)}, "gas": int(gas)}:
                return Anchored(size, block, gas)
        raise AssertionError("an anchor that we sent says what it cost")

    def compare(self, log: Log) -> None:
        """Compare a log with all that is anchored; see `audit_anchors`."""
        rules = chains.require_chain(self._ledger.policy.show())
        chains.audit_anchors(log, self._dev.connect(), rules)


def find_program() -> dict[str, str]:
    """Find the program that runs the chain: the variable that names it, if there is one."""
    try:
        found = chains.find_anvil()
    except UnavailableError:  # the extra is not installed
        return {}
    return {} if found is None else {"COUNTERFOIL_ANVIL": str(found)}


def take_place(
    folder: Path, ledger: cf.Ledger, by: tuple[str, ...], stack: ExitStack
) -> Place | str:
    """Start a chain and give the ledger a place on it; the chain ends with `stack`.

    Args:
        folder: The demonstration's.
        ledger: The ledger.
        by: Principals who sign the policy that names the chain.
        stack: Ends it.

    Returns:
        The place, or why there is none.
    """
    try:
        dev = stack.enter_context(chains.DevChain(folder / "chain"))
    except UnavailableError as error:
        return f"{error}. {error.hint}"
    account = chains.create_account(chains.account_path("demo"), "demonstration")
    dev.grant(account.address, GRANT_WEI)
    with chains.Outbox(dev.connect(), account) as outbox:
        chains.join_chain(ledger, outbox, by=by)
    shutil.copy(ledger.folder / "trust.toml", folder / "trust.toml")
    return Place(ledger, dev, account)
