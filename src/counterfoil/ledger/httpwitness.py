"""A witness of somebody else, asked over HTTP.

It is believed in nothing. A line counts if it holds under the witness's own key for the checkpoint
that was sent; anything else that it says is a reason why it has not cosigned.

Source:
    C2SP tlog-witness v1, add-checkpoint.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence

from counterfoil.core.cosignature import check_cosignature
from counterfoil.core.keys import VerifierKey
from counterfoil.core.merkle import Hash
from counterfoil.core.note import NoteSignature, parse_note
from counterfoil.errors import SignatureError
from counterfoil.ledger.localwitness import format_add_checkpoint, read_reply
from counterfoil.ledger.web import ANSWER_WITHIN_S, Peer
from counterfoil.ledger.witness import SIZE_TYPE, STATUS_CONFLICT

MAX_REPLY_BYTES = 64 << 10
"""Longest reply of a witness: cosignatures of a dozen ML-DSA-44 keys."""


class HttpWitness:
    """A witness with an address; see `WitnessClient`. May be used by several threads.

    Args:
        url: Its submission prefix; `/add-checkpoint` is appended.
        keys: Its keys; a reply has to have a line by each.
        within_s: Time for each request, in seconds.
        tls: As `Peer` has it.
    """

    def __init__(
        self,
        url: str,
        keys: Sequence[VerifierKey],
        *,
        within_s: float = ANSWER_WITHIN_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._keys = tuple(keys)
        self._peer = Peer(
            url,
            what="witness",
            hint="Entries are durable without it; see its `url` in the trust policy.",
            within_s=within_s,
            tls=tls,
        )

    def add_checkpoint(
        self, old_size: int, proof: Sequence[Hash], checkpoint: bytes
    ) -> tuple[NoteSignature, ...]:
        """Ask; a line by each key of the witness comes back, and each was checked."""
        doing = "a cosignature"
        answer = self._peer.request(
            "POST",
            "/add-checkpoint",
            format_add_checkpoint(old_size, proof, checkpoint),
            {"Content-Type": "text/plain; charset=utf-8"},
            doing=doing,
            max_bytes=MAX_REPLY_BYTES,
        )
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if answer.status == STATUS_CONFLICT and kind != SIZE_TYPE:
            # A proxy has conflicts of its own; only a witness says what it remembers.
            raise self._peer.unavailable(doing, f"409 that is not {SIZE_TYPE}")
        lines = read_reply(answer.status, answer.body)
        held = lines_that_hold(parse_note(checkpoint).text, lines, self._keys)
        if len(held) < len(self._keys):
            lacking = [key for key in self._keys if not any(line.is_named_by(key) for line in held)]
            raise self._peer.unavailable(
                doing, f"no line that holds by {', '.join(key.label for key in lacking)}"
            )
        return held

    def close(self) -> None:
        """Close the connections that are kept."""
        self._peer.close()


def lines_that_hold(
    text: str, lines: Iterable[NoteSignature], keys: Iterable[VerifierKey]
) -> tuple[NoteSignature, ...]:
    """Keep the first true cosignature of each of `keys`; what others signed proves nothing here.

    Args:
        text: The checkpoint's note text.
        lines: Signature lines, as somebody claims them.
        keys: Of type 04 or 06.
    """
    held: dict[VerifierKey, NoteSignature] = {}
    for key in keys:
        for line in lines:
            if key not in held and line.is_named_by(key):
                try:
                    check_cosignature(text, line, key)
                except SignatureError:
                    continue
                held[key] = line
    return tuple(held.values())
