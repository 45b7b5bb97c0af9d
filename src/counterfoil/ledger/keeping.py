"""Where what is private of a log is kept, and what the vault asks of such a place.

A folder of one machine (see `vault.folder`), or the database of a log that outgrew one (`cluster`).
Records of streams are encrypted by the vault, and in a database all else is too; a place holds no
keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from counterfoil.core.merkle import Hash


class StreamTree(Protocol):
    """The tree of a stream: of each payload the front is a slot, which can be replaced.

    An all-zero slot is that of an erased payload. Proofs are as `Tree` gives them, commits as
    `TreeStore` makes them.
    """

    @property
    def size(self) -> int:
        """Number of payloads, erased ones included."""

    def refresh(self) -> None:
        """Take over what the writer has published; for readers."""

    def root(self, size: int | None = None) -> Hash:
        """Compute the root at `size` payloads, by default now."""

    def leaf(self, index: int) -> Hash:
        """Read a leaf hash."""

    def hashes(self, tile_level: int, start: int, stop: int) -> list[Hash]:
        """Read the stored hashes [start, stop) of level `8 * tile_level`."""

    def inclusion(self, index: int, size: int | None = None) -> tuple[Hash, ...]:
        """Prove that the leaf at `index` is in the tree of `size` leaves."""

    def consistency(self, old_size: int, size: int | None = None) -> tuple[Hash, ...]:
        """Prove that the tree of `size` leaves extends that of `old_size`."""

    def payloads(self, start: int, stop: int) -> Iterator[bytes | None]:
        """Read the payloads [start, stop), slot first; None for one that was erased."""

    def commit(
        self, payloads: Sequence[bytes], leaves: bytes, seal: Callable[[int, Hash], bytes]
    ) -> bytes:
        """Append payloads, durably when this returns."""

    def scrub(self, indices: Sequence[int]) -> None:
        """Erase payloads; their leaf hashes stay."""

    def replace_slots(self, new: Callable[[int, bytes], bytes]) -> None:
        """Rewrite every slot: readers and a crash see all old ones or all new ones."""


class SubjectRows(Protocol):
    """Which records of a stream are about whom, by tags of one epoch.

    `size` tells how many records are covered, which may be less than there are; whoever opens it
    reads the rest from the payloads and calls `extend`. A reader's additions stay in memory.
    """

    size: int

    def extend(self, tags: Sequence[bytes | None]) -> None:
        """Note whom the next records are about; None for a record without a named subject."""

    def check(self) -> None:
        """Start over if the rows are not those that were written."""

    def places(self, tag: bytes) -> list[int]:
        """Find every record of a subject, in order."""

    def flush(self, *, at_least: int = 1) -> None:
        """Write what waits, if that many rows do."""

    def forget(self, places: Sequence[int]) -> None:
        """Remove records; doing it again is harmless."""

    def start_over(self, epoch: int) -> None:
        """Destroy all rows, and begin an empty index of `epoch`."""

    def close(self) -> None:
        """Write what waits, and release what is held open."""


class OpenPlace(Protocol):
    """A place that was opened, by the one writer of its stream or by a reader.

    Beside the tree it holds a few notes, each by its name, which are durable when they are written.
    """

    @property
    def tree(self) -> StreamTree:
        """What is committed, at least all that this writer has."""

    def note(self, name: str) -> bytes | None:
        """Read a note; None if it is not there."""

    def put_note(self, name: str, data: bytes) -> None:
        """Write a note, or replace it."""

    def destroy_note(self, name: str) -> None:
        """Remove a note, so that nothing there gives it back; doing it again is harmless."""

    def subjects(self, epoch: int) -> SubjectRows:
        """Open the index of subjects, as it is of this epoch."""

    def find_out(self) -> None:
        """Find out what became of a commit that failed; for the writer.

        Raises:
            ConflictError: somebody else has written since.
            UnavailableError: it is still not known.
        """

    def close(self) -> None:
        """Release everything, and let the next writer in."""


class StreamPlace(Protocol):
    """Where one stream is kept, or is to be."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def address(self) -> str:
        """Where another process of this user finds it: a folder, or a URL with its password."""

    @property
    def keeps_copies(self) -> bool:
        """Whether what is erased or replaced lives on there, out of a program's reach."""

    def exists(self) -> bool:
        """Whether a stream is kept there."""

    def create(self, note: str, data: bytes) -> OpenPlace:
        """Make an empty stream with this note, and open it for writing.

        Raises:
            ConflictError: there is one already.
            UnavailableError: the place refuses.
        """

    def remove(self) -> None:
        """Remove the stream, at once and for good: it was moved elsewhere.

        Raises:
            UnavailableError: the place refuses. Then it is there whole, or not there; remove again.
        """

    def open(self, *, write: bool) -> OpenPlace:
        """Open the stream, as its one writer or as a reader.

        Raises:
            ConflictError: `write`, and there is a writer already.
            FormatError: there is none.
            UnavailableError: the place refuses.
        """


class Files(Protocol):
    """Files that are private: salts of data sets, models. Names are `data/…` and `models/…`."""

    def where(self, name: str) -> str:
        """Tell what messages call the file."""

    def names(self) -> list[str]:
        """List them."""

    def has(self, name: str) -> bool:
        """Whether it is there."""

    def get(self, name: str, most: int) -> bytes:
        """Read a file that is there, of so many bytes at most.

        Raises:
            FormatError: it has more.
            UnavailableError: it is not there, or the place refuses.
            VerificationError: it was changed.
        """

    def put(self, name: str, data: bytes) -> None:
        """Put a file there, whole and durably, in the place of another one of this name."""

    def remove(self, name: str) -> None:
        """Remove a file that was moved elsewhere."""


class Parts(Protocol):
    """Files in a database, each in parts; what is in them is for the vault to encrypt."""

    name: str  # what messages call the place

    def names(self) -> list[str]:
        """List the files."""

    def has(self, name: str) -> bool:
        """Whether it is there."""

    def read(self, name: str) -> Iterator[bytes]:
        """Read a file part by part; none if it is not there."""

    def write(self, name: str, parts: Iterable[bytes]) -> None:
        """Put a file there, all parts or none."""

    def remove(self, name: str) -> None:
        """Remove a file."""


class Streams(Protocol):
    """Where all streams of a log are kept."""

    def ids(self) -> list[bytes]:
        """List the streams that are kept there, by their ids of 32 bytes."""

    def with_note(self, *names: str) -> list[bytes]:
        """List those beside which one of these notes lies."""

    def place(self, stream: bytes) -> StreamPlace:
        """Tell where a stream is kept, or is to be."""


class Keeping(Protocol):
    """What keeps all that is private of a log, where that is no folder of this machine."""

    @property
    def streams(self) -> Streams:
        """Its streams."""

    @property
    def files(self) -> Parts:
        """All else."""
