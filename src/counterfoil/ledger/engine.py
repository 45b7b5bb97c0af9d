"""Where the entries of a log live, and what `Log` asks of that place.

A folder of this machine (see `embedded`), or PostgreSQL and an object store (`cluster`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

from counterfoil.core.checkpoint import LogKeys
from counterfoil.core.keys import Signer, VerifierKey
from counterfoil.ledger.blobs import Blobs
from counterfoil.ledger.countersign import Witnesses
from counterfoil.ledger.index import Read, Resolve, Root
from counterfoil.ledger.keeping import Keeping
from counterfoil.ledger.tree import Tree


class Writers(StrEnum):
    """Who may append where a log lives."""

    ONE = "one"  # process at a time
    ANY = "any"  # number of processes
    SERVER = "server"  # which is asked, and decides whom it lets
    NOBODY = "nobody"  # a copy, or a place that the log has left


class Writer(Protocol):
    """Gives entries their place.

    `append` returns the index of each entry once all of them are durable and under a published
    checkpoint that `tree` shows. It raises `FormatError` where an entry is too long,
    `ConflictError` where somebody else writes or the log was set back, and `UnavailableError`
    where it is not known whether they are in; the next call finds out, also one with no entries.
    With `since`, what was appended from that index on is not appended again, whoever did: its index
    is that of the first one there. Then the indices need not follow each other.
    May be used by several threads.

    `ask_witnesses` asks who has not cosigned the newest checkpoint, and returns when `tree` shows
    that with all lines that came.

    `append_alone` and `hand_over` are done while nobody else appends, in whichever process, and are
    durable as a whole or not at all. Both raise as `append`.
    """

    @property
    def tree(self) -> Tree:
        """What is published, at least all that `append` has returned."""

    def append(self, entries: Sequence[bytes], since: int | None = None) -> Sequence[int]:
        """Append entries, in this order, none or all; see above."""

    def require_writable(self) -> None:
        """Refuse as `Engine.require_writable`, as far as is known here; nobody is asked."""

    def append_alone(
        self, make: Callable[[int], bytes | None], ends: VerifierKey | None = None
    ) -> None:
        """Append one entry; see above.

        Args:
            make: Makes it of the index that it gets; or None, if nothing is to be appended there.
            ends: Key of the log that goes on after it: from here on this one takes nothing more.
        """

    def hand_over(self, new: Signer) -> None:
        """Have the log go on with its next key; this writer appends nothing afterwards; see above.

        The newest checkpoint is published once more, signed by both keys and cosigned.
        """

    def ask_witnesses(self) -> None:
        """Ask again for cosignatures; see above. It raises as `append`."""

    def close(self) -> None:
        """Let the next writer in."""


class Finder(Protocol):
    """An index of a log that others keep, too, and may leave something out of.

    `find` gives positions below `size`, ascending, as `Index.find` does; whoever asks checks each.
    It gives None where the index does not cover that size, and this process cannot have it do so.
    """

    def find(
        self,
        subject: str | None,
        predicate: str | None,
        issuer: str | None,
        size: int,
        *,
        last: int | None = None,
        within_s: float | None = None,
    ) -> list[int] | None:
        """Find statements; see above."""

    def close(self) -> None:
        """Release what is held open."""


class Engine(Protocol):
    """A place where a log lives.

    What `read` gives was published under the log's keys, and is compared with its checkpoint before
    it is believed. `write` raises as `Writer.append` where there can be no writer.
    """

    @property
    def name(self) -> str:
        """What messages call the place."""

    @property
    def keys(self) -> LogKeys:
        """The log's, as they are now; their name is the origin."""

    @property
    def is_shared(self) -> bool:
        """Whether others may append while this process does."""

    @property
    def writers(self) -> Writers:
        """Who may append, as long as the log is here."""

    @property
    def blobs(self) -> Blobs:
        """What lies beside the log."""

    @property
    def keeping(self) -> Keeping | None:
        """Where what is private is kept, if not in a folder of this machine."""

    @property
    def witnesses(self) -> Witnesses:
        """Who is asked about each checkpoint; by a writer of this process, or by nobody."""

    def shared_index(self, read: Read, resolve: Resolve, root: Root) -> Finder | None:
        """Open the index that lies where the log does; None where there is none."""

    def moved_to(self) -> str:
        """Tell where the log was moved to from here; empty if it was not."""

    def shown(self) -> bytes:
        """Give the checkpoint that the place has shown last, where it keeps one besides; or none.

        What `read` gives from then on has as many entries, unless the place was set back.
        """

    def reached(self) -> int | None:
        """Count the entries that the place has, as it says now; None where only `read` tells.

        That is as many as were shown before, unless the place was set back.
        """

    def require_writable(self) -> None:
        """Refuse at once where nobody can append, before anything is kept that goes with it.

        Raises:
            MovedError: the log was moved away, or has ended.
            RefusedError: this is a copy.
        """

    def read(self) -> Tree:
        """Open what is published, for reading."""

    def write(self) -> Writer:
        """Become a writer."""
