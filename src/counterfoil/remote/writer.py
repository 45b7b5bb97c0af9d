"""Appending to a ledger elsewhere: envelopes sent whole, every receipt held against what was sent.

    POST /entries       one envelope (application/json), or one a line (application/x-ndjson)
    200                 {"entries": [{"index": N, "digest": hex, "receipt": text}, …]}, in order

Sending again is safe: a server takes each entry once, by its digest, and answers with the place it
has. What a receipt says is believed once it proves that the very entry is under a checkpoint of the
trusted key, of quorum, and of the tree that was seen before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from hashlib import sha256

from counterfoil.core.canonical import JsonValue, parse_json
from counterfoil.core.checkpoint import Checkpoint, open_checkpoint
from counterfoil.core.envelope import parse_envelope
from counterfoil.core.keys import Signer, VerifierKey
from counterfoil.core.merkle import check_inclusion, leaf_hash, leaf_hashes
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.receipt import MAX_RECEIPT_BYTES, Receipt, parse_receipt
from counterfoil.core.text import shown
from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.blobs import resolve, shorten
from counterfoil.remote.beside import RemoteBlobs
from counterfoil.remote.client import Client
from counterfoil.remote.follow import Follower
from counterfoil.remote.sitetree import SiteTree

MAX_POST_ENTRIES = 1_000
"""Envelopes sent with one request; more go in several."""

MAX_POST_BYTES = 4 << 20
"""Bytes of envelopes sent with one request; more go in several."""

MAX_REPLY_BYTES = 64 << 20
"""Longest reply to one request, whatever was sent."""

_REPLY_BYTES = 64 << 10  # for each entry: a receipt with the cosignatures of a dozen witnesses
_DOING = "appending"
_TAKEN = 200


class RemoteWriter:
    """The writer of a ledger elsewhere; see `Writer`.

    Args:
        client: The server.
        policy: Gives the trust policy as it is now: the log's keys.
        tree: What is shown; a newer checkpoint that comes with a receipt is taken over.
        follower: Holds checkpoints against what was seen.
        blobs: Holds large statements until they are sent.
    """

    def __init__(
        self,
        client: Client,
        policy: Callable[[], TrustPolicy],
        tree: SiteTree,
        follower: Follower,
        blobs: RemoteBlobs,
    ) -> None:
        self.tree = tree
        self._client, self._policy, self._follower, self._blobs = client, policy, follower, blobs
        self._lock = threading.Lock()

    def append(self, entries: Sequence[bytes], since: int | None = None) -> list[int]:
        """Append envelopes, or entries that stand for some.

        Where there are more than fit into one request, those sent first are in when a later
        request fails; appending all of them again finds them. The server appends each once,
        whatever `since` says.

        Raises:
            FormatError: one is no envelope, and nothing was sent; or the server takes it for none.
            RefusedError: the server does not take it from us.
            UnavailableError: it is not known whether they are in; appending them again is safe.
            VerificationError: a receipt is false.
        """
        del since
        # All of them before the first is sent: what is no envelope never leaves this machine.
        whole = [self._whole(number, entry) for number, entry in enumerate(entries)]
        indices: list[int] = []
        while len(indices) < len(whole):
            indices += self._send(_first_of(whole, len(indices)))
        return indices

    def require_writable(self) -> None:
        """Let the server say what it takes, when it is asked."""

    def append_alone(
        self, make: Callable[[int], bytes | None], ends: VerifierKey | None = None
    ) -> None:
        """Refuse: a server lets others append at any time."""
        del make, ends
        raise self._not_from_here("end or begin a shard")

    def hand_over(self, new: Signer) -> None:
        """Refuse: who has the log's key is where it lives."""
        del new
        raise self._not_from_here("be handed over to another key")

    def ask_witnesses(self) -> None:
        """See which lines have come since: the server asks."""
        self._follower.follow(self.tree)

    def close(self) -> None:
        """Stop asking."""
        self.tree.close()

    def _whole(self, number: int, entry: bytes) -> bytes:
        data = resolve(entry, self._blobs)
        try:
            parse_envelope(data)
        except FormatError as error:
            raise FormatError(
                f"entry {number} of this call is no envelope, and a server takes nothing else: "
                f"{error}",
                hint="Sign a statement and append its envelope: `attest`, or `append_envelope`.",
            ) from error
        return data

    def _send(self, whole: Sequence[bytes]) -> list[int]:
        is_one = len(whole) == 1
        body = whole[0] if is_one else b"".join([data + b"\n" for data in whole])
        kind = "application/json" if is_one else "application/x-ndjson"
        most = min(MAX_REPLY_BYTES, _REPLY_BYTES * (1 + len(whole)))
        answer = self._client.post("entries", body, kind, most, doing=_DOING)
        if answer.status != _TAKEN:
            raise self._client.refused(answer)
        # What the log holds is what we make of the envelopes, whatever the reply says.
        entries = [shorten(data, self._blobs) for data in whole]
        replies = self._read(answer.body, len(entries), most)
        opened: dict[bytes, Checkpoint] = {}
        receipts = [
            self._check(entry, reply, opened) for entry, reply in zip(entries, replies, strict=True)
        ]
        indices = [receipt.index for receipt in receipts]
        with self._lock:  # several threads may send; one at a time looks at what came of it
            leaves = _appended(entries, indices, self.tree.size)
            for note in opened:
                self._follower.take(self.tree, note, leaves)
        for data in whole:
            self._blobs.sent(sha256(data).hexdigest())
        return indices

    def _read(self, body: bytes, count: int, most: int) -> list[JsonValue]:
        try:
            match parse_json(body, what="the reply", max_bytes=most, max_depth=4):
                case {"entries": list(replies)} if len(replies) == count:
                    return replies
        except FormatError as error:
            raise self._false(str(error)) from error
        raise self._false(f"it has no {count} receipts")

    def _check(self, entry: bytes, reply: JsonValue, opened: dict[bytes, Checkpoint]) -> Receipt:
        """Check that a receipt is of the very entry, and under the trusted key.

        Args:
            entry: What was sent.
            reply: What the server says of it.
            opened: Checkpoints of this reply whose signature holds; most receipts share one.
        """
        digest = sha256(entry).hexdigest()
        match reply:
            case {"index": int(index), "digest": str(said), "receipt": str(text)}:
                if said != digest:
                    raise self._false(f"the digest of an entry is {shown(said)}, not {digest}")
                if len(text) > MAX_RECEIPT_BYTES:
                    raise self._false("a receipt is too long")
                try:
                    receipt = parse_receipt(text.encode("utf-8", "replace"))
                except FormatError as error:
                    raise self._false(str(error)) from error
                if receipt.index != index:
                    raise self._false(f"a receipt is for entry {receipt.index}, not {index}")
                note = receipt.checkpoint
                if note not in opened:
                    opened[note] = open_checkpoint(note, self._policy().log.keys)
                size, root = opened[note].size, opened[note].root
                check_inclusion(leaf_hash(entry), index, size, receipt.path, root)
                return receipt
        raise self._false("it lacks index, digest or receipt of an entry")

    def _not_from_here(self, what: str) -> UnavailableError:
        return UnavailableError(
            f"a log behind {self._client.url} cannot {what}",
            hint="Do it where the log lives: in its folder, or by its address of PostgreSQL.",
        )

    def _false(self, why: str) -> VerificationError:
        return VerificationError(
            f"the reply of {self._client.url} shows nothing: {why}",
            hint="The entries may be in or not; appending them again is safe.",
        )


def _first_of(whole: Sequence[bytes], start: int) -> Sequence[bytes]:
    """Give as many from `start` on as one request takes, at least one."""
    stop, total = start, 0
    while stop < min(len(whole), start + MAX_POST_ENTRIES):
        total += len(whole[stop]) + 1
        if total > MAX_POST_BYTES and stop > start:
            break
        stop += 1
    return whole[start:stop]


def _appended(entries: Sequence[bytes], indices: Sequence[int], size: int) -> bytes:
    """Give the leaf hashes of those entries that follow right after the first `size`, in order."""
    new = {index: entry for index, entry in zip(indices, entries, strict=True) if index >= size}
    if sorted(new) != list(range(size, size + len(new))):
        return b""  # others appended between
    return leaf_hashes([new[index] for index in sorted(new)]) if new else b""
