"""A durable Merkle tree of payloads in one folder; the log and every stream are one.

    tree.json   what the files hold: widths, format version
    entries     length ‖ body, one after another; 256 of them are an entry bundle
    ends        u64 little-endian: where each entry ends in `entries`
    level0 …    hashes of level 0, 8, 16 …; a slice of 8 KiB is a tile
    slots       the fixed-width part of each payload, where the tree has one
    head        size, root and what was published with them
    journal     commits that the files above may not hold durably yet (see `journal`)
    writer.lock who writes

A commit goes in this order, and recovery runs the same steps from the second on:

    1. the frame is durable in the journal          (before: nothing happened)
    2. the flat files are written                   (not synced: step 1 can redo them)
    3. countersignatures are asked for              (refused: it is never published)
    4. the head is published                        (before: committed, and nobody was told)

Readers in other processes see step 4 only. A new head for an old size is a frame without entries.
When the journal is full, the flat files and the head are synced, and it starts again from its
beginning.
"""

from __future__ import annotations

import copy
from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from counterfoil.core.canonical import JsonValue, format_json
from counterfoil.core.merkle import EMPTY_ROOT, HASH_BYTES, Frontier, Hash
from counterfoil.errors import ConflictError, FormatError, VerificationError
from counterfoil.ledger.disk import Disk, WriterLock, reported, require_posix
from counterfoil.ledger.flatfiles import encode_head
from counterfoil.ledger.journal import MAX_COMMIT_BYTES, Frame, Journal
from counterfoil.ledger.run import LaidOut, find_ends, lay_out
from counterfoil.ledger.tree import Published
from counterfoil.ledger.treeview import END_BYTES, TREE_FORMAT, TreeView

Seal = Callable[[int, Hash], bytes]
Countersign = Callable[["TreeStore", bytes], bytes]


class TreeStore(TreeView):
    """A tree that is durable when `commit` returns; `create` or `open` makes one.

    One writer at a time, any number of readers. A reader's view is that of its last `refresh`.
    """

    _countersign: Countersign | None = None

    def __init__(self, folder: Path, disk: Disk, *, write: bool) -> None:
        super().__init__(folder, disk, write=write)
        self._lock: WriterLock | None = None
        self._journal: Journal | None = None
        self._is_sound = True
        self._before = Frontier()  # the right edge before the newest commit

    @classmethod
    def create(
        cls, folder: Path, *, slot_bytes: int = 0, length_bytes: int = 0, disk: Disk | None = None
    ) -> TreeStore:
        """Make an empty tree in a new folder and open it for writing.

        Args:
            folder: Must not hold a tree yet.
            slot_bytes: Width of the replaceable part at the front of each payload.
            length_bytes: Width of the length before each body: 2 (as in an entry bundle) or 4;
                by default 2, and 4 where there are slots.
            disk: How to write and sync.

        Raises:
            ConflictError: there is a tree already.
            UnavailableError: the disk refuses.
        """
        require_posix()
        disk = disk or Disk()
        with reported(f"cannot make a tree in {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            lock = WriterLock(folder / "writer.lock", str(folder))
            try:
                if (folder / "tree.json").exists():
                    raise ConflictError(f"{folder} holds a tree already", hint="Open it instead.")
                # If we stop anywhere before tree.json is in place, there is no tree, and creating
                # one again starts over.
                (folder / "journal").unlink(missing_ok=True)
                Journal.create(folder / "journal", disk)
                disk.replace(folder, "head", encode_head(0, EMPTY_ROOT, b""))
                widths: JsonValue = {
                    "format": TREE_FORMAT,
                    "length_bytes": length_bytes or (4 if slot_bytes else 2),
                    "slot_bytes": slot_bytes,
                }
                disk.replace(folder, "tree.json", format_json(widths))
                disk.sync_folder(folder.parent)
            finally:
                lock.close()
        return cls.open(folder, write=True, disk=disk)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        write: bool,
        disk: Disk | None = None,
        countersign: Countersign | None = None,
    ) -> TreeStore:
        """Open the tree in `folder`, as the one writer or as a reader.

        A writer first finishes what a crash left unfinished.

        Args:
            folder: Where it is.
            write: Whether to be the writer.
            disk: How to write and sync.
            countersign: Given the tree and a head that is durable and not published, returns the
                one to publish, or raises, and it is not published.

        Raises:
            ConflictError: `write`, and there is a writer already.
            FormatError: the folder holds no tree of ours.
            UnavailableError: the disk refuses.
            VerificationError: the files disagree with each other; nothing is written then.
        """
        store = cls(folder, disk or Disk(), write=write)
        store._countersign = countersign
        try:
            with reported(f"cannot open the tree in {folder}"):
                if write:
                    store._lock = WriterLock(folder / "writer.lock", str(folder))
                    store._journal = Journal(folder / "journal", store._disk, store._length_bytes)
                    store._recover()
                else:
                    store.refresh()
        except BaseException:
            store._is_sound = False
            store.close()
            raise
        return store

    def refresh(self) -> None:
        """Take over the newest published head; the writer has it."""
        if self._lock is None:
            super().refresh()

    # Writing

    def commit(
        self,
        payloads: Sequence[bytes],
        leaves: bytes,
        seal: Seal,
    ) -> bytes:
        """Append, durably, with one data sync, and publish.

        Args:
            payloads: What is stored.
            leaves: Their leaf hashes, 32 bytes each, one after another in the same order.
            seal: Makes the head from the new size and root. It is not called again for a size
                unless the head made before was lost in a crash.

        Returns:
            The head that was published.

        Raises:
            FormatError: a payload, or all together, is too long; nothing happened.
            UnavailableError: the disk refused. The commit may or may not have happened; the next
                call finds out before it does anything else, as opening the folder would.
        """
        self._sound_writer()
        slots, laid = self._lay_out(payloads)
        old = self._published.frontier
        frontier = old.copy()
        completed = frontier.extend(leaves)
        root = frontier.root()
        head = seal(frontier.size, root)
        frame = Frame(old.size, leaves, slots, laid.entries, head)
        # From here on a failure leaves us not knowing what the disk holds.
        self._is_sound = False
        with reported(f"cannot write to {self.folder}"):
            self._make_durable(frame)  # 1
            # If we stop here, nothing was acknowledged; recovery does what follows.
            self._apply(frame, completed, laid.ends)  # 2
            if self._countersign is not None:
                head = self._countersign(self, head)  # 3
            # If we stop here, countersigners know the new head before our readers do.
            self._publish(frontier, root, head)  # 4
        self._is_sound = True
        self._before = old
        return head

    def publish(self, head: bytes) -> None:
        """Replace what is published for the present size, as when countersignatures arrive."""
        self._sound_writer()
        self._is_sound = False
        with reported(f"cannot write to {self.folder}"):
            # The head is rewritten in place: torn, it could not be read again without this.
            self._make_durable(Frame(self.size, b"", b"", b"", head))
            self._publish(self._published.frontier, self._published.root, head)
        self._is_sound = True

    def path(self, index: int, published: Published) -> tuple[Hash, ...]:
        """Prove as a reader does; the newest leaf's path is the edge it was appended to.

        That edge is in memory, and so is the root it leads to: no disk can have changed it.
        """
        if index == self._before.size and published.frontier.size == index + 1:
            return self._before.peaks
        return super().path(index, published)

    def find_out(self) -> None:
        """Find out what became of a commit that failed, and publish it if it is durable.

        Raises:
            As `commit`; then it is still not known.
        """
        self._sound_writer()

    def settle(self) -> None:
        """Make the flat files hold everything, durably, and leave nothing in the journal."""
        journal = self._sound_writer()
        with reported(f"cannot write to {self.folder}"):
            self._files.sync()
            journal.clear()

    def scrub(self, indices: Iterable[int]) -> None:
        """Overwrite payloads with zeros, durably; their leaf hashes stay.

        Only for trees with slots: an all-zero slot is what says that a payload was erased.

        Raises:
            UnavailableError: the disk refused; scrub again.
        """
        assert self._slot_bytes, "only a tree with slots can be scrubbed"  # noqa: S101 our own bug
        self.settle()
        with reported(f"cannot write to {self.folder}"):
            for index in indices:
                self._known(index + 1)
                begin, (end,) = self._read_ends(index, index + 1)
                body = begin + self._length_bytes
                self._files.write("slots", bytes(self._slot_bytes), index * self._slot_bytes)
                self._files.write("entries", bytes(end - body), body)
            self._files.sync("slots", "entries")

    def replace_slots(self, new: Callable[[int, bytes], bytes]) -> None:
        """Rewrite every slot: readers and a crash see all old ones or all new ones.

        Args:
            new: Given index and old slot (all zeros if erased), returns the new slot.
        """
        self.settle()
        width = self._slot_bytes
        old = self._files.read("slots", 0, self.size * width)
        slots = b"".join(
            new(index, old[index * width : (index + 1) * width]) for index in range(self.size)
        )
        with reported(f"cannot write to {self.folder}"):
            self._files.replace("slots", slots)

    def close(self) -> None:
        """Settle if writing, then release files and the writer's lock."""
        try:
            if self._lock is not None and self._lock.is_ours and self._is_sound:
                self.settle()
        finally:
            if self._journal is not None:
                self._journal.close()
                self._journal = None
            super().close()
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # The steps of a commit

    def _lay_out(self, payloads: Sequence[bytes]) -> tuple[bytes, LaidOut]:
        """Lay payloads out as the flat files hold them: slots, and the rest."""
        slot, width = self._slot_bytes, self._length_bytes
        bodies = [payload[slot:] for payload in payloads] if slot else payloads
        lengths = array("Q", map(len, bodies))
        longest = max(lengths, default=0)
        if longest >= 1 << 8 * width:
            raise FormatError(
                f"entry {lengths.index(longest)} of this call has {longest} bytes; the most is "
                f"{(1 << 8 * width) - 1}",
                hint="Store it elsewhere and log its digest.",
            )
        total = sum(lengths) + len(lengths) * (width + slot + HASH_BYTES)
        if total > MAX_COMMIT_BYTES:
            raise FormatError(
                f"this call appends {total} bytes; the most is {MAX_COMMIT_BYTES}",
                hint="Append in several calls.",
            )
        slots = b"".join([payload[:slot] for payload in payloads]) if slot else b""
        return slots, lay_out(bodies, lengths, width, self._entries_end)

    def _make_durable(self, frame: Frame) -> None:
        """Put a frame into the journal, emptied first if it is full."""
        journal = self._require_writer()
        if not journal.has_room(frame.length):
            self._files.sync()
            journal.rewind()
        journal.append(frame)

    def _apply(self, frame: Frame, completed: Sequence[bytes], ends: bytes) -> None:
        """Write a durable frame into the flat files; doing it again changes nothing."""
        before = frame.size_before
        self._files.write("entries", frame.entries, self._entries_end)
        self._files.write("ends", ends, before * END_BYTES)
        for tile_level, hashes in enumerate(completed):
            at = (before >> 8 * tile_level) * HASH_BYTES
            self._files.write(f"level{tile_level}", hashes, at)
        if self._slot_bytes:
            self._files.write("slots", frame.slots, before * self._slot_bytes)
        self._entries_end += len(frame.entries)

    def _publish(self, frontier: Frontier, root: Hash, head: bytes) -> None:
        """Tell the readers."""
        self._files.write_head(frontier.size, root, head)
        self._published = Published(frontier, root, head)

    def _recover(self) -> None:
        """Bring the flat files and the head to where the journal says they are.

        Honest are three states: head and journal end at the same size; the journal is ahead, as
        we stopped before publishing; the journal was rewound and its first new frame is torn, so
        that the synced head alone counts. A head ahead of the journal's last frame is a damaged
        journal: nothing is lost if the flat files still hold what the head says.
        """
        journal = self._require_writer()
        published = self._files.read_head()
        frames = journal.read()
        if published is None and not frames:
            raise VerificationError(
                f"{self.folder}: neither head nor journal can be read",
                hint="Restore the folder from a backup; witnesses know the newest size.",
            )
        size, root, head = published or (0, EMPTY_ROOT, b"")
        is_new = False
        self._entries_end = 0
        if frames:
            start = frames[0].size_before
            # As far as the files can be read yet.
            self._published = Published(Frontier(start), root, head)
            self._entries_end = self._end_of_entries(start)
            frontier = Frontier.at(start, self.node)
            for frame in frames:
                completed = frontier.extend(frame.leaves)
                ends = find_ends(frame.entries, self._length_bytes, self._entries_end)
                self._apply(frame, completed, ends)
            if published is None or frontier.size > size:
                is_new = True
                size, root, head = frontier.size, frontier.root(), frames[-1].head
        self._published = Published(Frontier(size), root, head)
        self._entries_end = self._end_of_entries(size)
        frontier = Frontier.at(size, self.node)
        self._require_lengths(size)
        if frontier.root() != root:
            raise VerificationError(
                f"{self.folder}: the tree on disk is not the one published at size {size}",
                hint="`counterfoil log audit` names the first bad place; restore from a backup.",
            )
        if is_new and self._countersign is not None:
            head = self._countersign(self, head)
        self._publish(frontier, root, head)
        self._files.sync()
        journal.clear()
        self._is_sound = True

    def _require_lengths(self, size: int) -> None:
        """Refuse files that hold more than was ever published: the head was set back."""
        for name, length in (
            ("level0", size * HASH_BYTES),
            ("ends", size * END_BYTES),
            ("entries", self._entries_end),
            ("slots", size * self._slot_bytes),
        ):
            if self._files.length(name) != length:
                raise VerificationError(
                    f"{self.folder / name} holds {self._files.length(name)} bytes where size "
                    f"{size} makes {length}",
                    hint="Head and files are not of the same time; restore the whole folder.",
                )

    def _sound_writer(self) -> Journal:
        """Give the journal, having found out first what became of a commit that failed."""
        journal = self._require_writer()
        if not self._is_sound:
            # Readers in other threads go on with what was published, until all of it is known.
            found = copy.copy(self)
            with reported(f"cannot recover {self.folder}"):
                found._recover()  # noqa: SLF001 one class
            self._published = found._published  # noqa: SLF001
            self._entries_end = found._entries_end  # noqa: SLF001
            self._is_sound = True
        return journal

    def _require_writer(self) -> Journal:
        if self._journal is None:
            raise ConflictError(
                f"{self.folder} is open for reading only", hint="Open it for writing."
            )
        if self._lock is None or not self._lock.is_ours:
            raise ConflictError(
                f"{self.folder} was opened for writing before this process was forked",
                hint="Open it after the fork, in the one process that is to write.",
            )
        return self._journal
