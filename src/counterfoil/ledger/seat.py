"""A witness's seat on committees that sign anchors: with which account it signs.

    home()/witnessing/<slug>/anchor.json    mode 0600

It holds no key: that is a file of its own, encrypted, or with a signer elsewhere. What is done with
an account is for `counterfoil.chain`; here is what a witness has to know of it to list itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from counterfoil.core.anchoring import AnchorKey
from counterfoil.core.canonical import format_json, parse_canonical
from counterfoil.core.keys import VerifierKey
from counterfoil.core.toml import Table
from counterfoil.errors import FormatError
from counterfoil.ledger.disk import Disk, reported
from counterfoil.ledger.keyfiles import MAX_KEY_FILE_BYTES, read_private

_FORMAT = "anchor-seat/v1"
_NAME = "anchor.json"


@dataclass(frozen=True, slots=True)
class Seat:
    """With which account a witness signs anchors.

    Args:
        anchor: Its anchor key, as trust policies list it.
        account: Name of the local account that holds the key; empty where a signer does.
        passphrase_file: Where that account's passphrase is; empty where the environment has it.
        signer: Address of the signer.
    """

    anchor: AnchorKey
    account: str = ""
    passphrase_file: str = ""
    signer: str = ""

    def __post_init__(self) -> None:
        if bool(self.account) is bool(self.signer):
            raise FormatError(
                "an anchor key is an account's here, or a signer's",
                hint="Run `counterfoil chain member` again.",
            )


def read_seat(folder: Path, key: VerifierKey) -> Seat | None:
    """Read the seat of the witness in a folder; None if it has none.

    Args:
        folder: The witness's.
        key: The witness's; it has signed for the anchor key.

    Raises:
        FormatError: the file is damaged, or another witness's.
        RefusedError: others may read it, or it is a link.
        UnavailableError: it cannot be read.
    """
    path = folder / _NAME
    if not path.exists():
        return None
    data = read_private(path)
    value = parse_canonical(data, what=str(path), max_bytes=MAX_KEY_FILE_BYTES)
    if not isinstance(value, dict):
        raise FormatError(f"{path} is no object", hint="Run `counterfoil chain member` again.")
    seat = Table(value, str(path)).read(_read)
    seat.anchor.check(key)
    return seat


def write_seat(folder: Path, seat: Seat) -> None:
    """Give the witness in a folder its seat; durable on return."""
    data = format_json(
        {
            "counterfoil": _FORMAT,
            "anchor": seat.anchor.to_json(),
            "account": seat.account,
            "passphrase_file": seat.passphrase_file,
            "signer": seat.signer,
        }
    )
    with reported(f"cannot write {folder / _NAME}"):
        Disk().replace(folder, _NAME, data, 0o600)


def _read(table: Table) -> Seat:
    table.only("counterfoil", "anchor", "account", "passphrase_file", "signer")
    if table.text("counterfoil") != _FORMAT:
        raise table.error("another format", key="counterfoil", hint=f"This reads {_FORMAT}.")
    return Seat(
        table.inner("anchor", AnchorKey.from_table),
        table.text("account"),
        table.text("passphrase_file"),
        table.text("signer"),
    )
