"""Which epoch a stream's vault is in: the note `vault.json` beside the stream's tree.

    {"began": 1795392000, "ends": 1797984000, "epoch": 3, "format": "counterfoil vault v1",
     "retiring": 2, "stream": "<stream id, hex>"}

At an epoch's end the keys of all surviving records are wrapped anew and the old wrapping key is
destroyed. `retiring` names the epoch whose key is still to be destroyed, 0 where there is none:
as long as it stands, both keys exist and every slot opens under one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from counterfoil.core.canonical import format_json, parse_canonical
from counterfoil.core.text import parse_hex
from counterfoil.errors import FormatError

EPOCH_S = 30 * 86_400  # a month, as a request must be answered within one (GDPR Art. 12(3))
EPOCH_NOTE = "vault.json"
_FORMAT = "counterfoil vault v1"
_MAX_BYTES = 1024
_MAX_EPOCHS = 2**32 - 1  # a slot has 32 bits for it
_HINT = "Restore vault.json from the newest backup of the stream."


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch of one stream.

    Args:
        stream: Stream id, 32 bytes.
        number: 1 for the first.
        began: Unix seconds.
        ends: Unix seconds; by then the wrapping key is to be destroyed.
        retiring: Number of the epoch whose key is still to be destroyed; 0 for none.
    """

    stream: bytes
    number: int
    began: int
    ends: int
    retiring: int = 0

    def next(self, now: int) -> Epoch:
        """Begin the epoch after this one, equally long; this one is then retiring.

        A clock that went backwards does not take the beginning with it.
        """
        began = max(now, self.began)
        ends = began + self.ends - self.began
        return Epoch(self.stream, self.number + 1, began, ends, retiring=self.number)

    def settled(self) -> Epoch:
        """Say of this epoch that the key before it is destroyed."""
        return replace(self, retiring=0)


def format_epoch(epoch: Epoch) -> bytes:
    """Write `vault.json`."""
    return format_json(
        {
            "began": epoch.began,
            "ends": epoch.ends,
            "epoch": epoch.number,
            "format": _FORMAT,
            "retiring": epoch.retiring,
            "stream": epoch.stream.hex(),
        }
    )


def parse_epoch(data: bytes, where: str) -> Epoch:
    """Read `vault.json`; the inverse of `format_epoch`.

    Raises:
        FormatError: the note is not what `format_epoch` writes.
    """
    match parse_canonical(data, what=where, max_bytes=_MAX_BYTES):
        case {
            "began": int(began),
            "ends": int(ends),
            "epoch": int(number),
            "format": "counterfoil vault v1",
            "retiring": int(retiring),
            "stream": str(stream),
            **more,
        } if not more and not any(isinstance(n, bool) for n in (began, ends, number, retiring)):
            if 0 <= began < ends and 1 <= number <= _MAX_EPOCHS and retiring in (0, number - 1):
                return Epoch(
                    parse_hex(stream, f"{where}: stream", size=32), number, began, ends, retiring
                )
    raise FormatError(f"{where} does not describe a vault's epoch", hint=_HINT)
