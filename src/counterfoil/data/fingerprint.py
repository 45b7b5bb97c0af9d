"""Fingerprints: the Merkle root of a data set, salted, so that it tells nothing about the rows.

    leaf = SHA-256(00 ‖ salt ‖ part)

The parts are: of a table, its header and then each row, as compact JSON arrays; of a file, its
chunks of 1 MiB; of a folder, each file's path, size and SHA-256, in the order of their paths. The
salt and the leaves stay with the owner: whoever has both and the data can name the part that
differs, and whoever has only the root cannot guess a row.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from counterfoil.core.merkle import Hash, root_of
from counterfoil.data.rows import read_rows
from counterfoil.errors import FormatError, VerificationError
from counterfoil.ledger.disk import reported, require_there

SALT_BYTES = 32
CHUNK_BYTES = 1 << 20
MAX_CELL_CHARACTERS = 1 << 20  # a longer cell is a missing quotation mark
MAX_LINE_CHARACTERS = 1 << 24  # a longer line is no row: some 100,000 columns fit
_TABLE_SUFFIXES = {".csv": ",", ".tsv": "\t"}
_PROGRESS_PARTS = 1 << 14

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a data set is, as of one reading.

    Args:
        kind: `table`, `file` or `folder`.
        source: `csv`, `frame`, `bytes` or `files`: the same rows read another way differ.
        leaves: Of all parts, in order.
        columns: Of a table: name and type.
        parts: Rows, chunks or files (a table's header not counted).
        size: Bytes read; 0 for a table in memory.
    """

    kind: str
    source: str
    leaves: list[Hash]
    columns: tuple[tuple[str, str], ...]
    parts: int
    size: int

    @property
    def root(self) -> Hash:
        """The salted root: what is logged."""
        return root_of(self.leaves)

    def name_part(self, place: int) -> str:
        """Say in words what leaf number `place` is."""
        if self.kind == "table":
            if place == 0:
                return "the header"
            line = f" (line {place + 1} of the file)" if self.source == "csv" else ""
            return f"row {place}{line}"
        return (
            f"the chunk from byte {place * CHUNK_BYTES}"
            if self.kind == "file"
            else (f"file number {place + 1} in order of paths")
        )


def fingerprint(source: Any, salt: bytes, progress: Progress | None = None) -> Fingerprint:
    """Read a data set once and fingerprint it.

    Args:
        source: A path (a `.csv` or `.tsv` file is a table, another file its bytes, a folder its
            files), or a table in memory (see `read_rows`).
        salt: 32 random bytes, kept with the data.
        progress: Called now and then with the number of parts done.

    Raises:
        FormatError: empty, ragged, not UTF-8, or not a data set at all.
        UnavailableError: it cannot be read.
        VerificationError: it changed while it was read.
    """
    leaves = _Leaves(salt, progress)
    if isinstance(source, str | os.PathLike):
        with reported(f"cannot read {source}"):
            return _read(Path(source), leaves)
    table = read_rows(source, allow_missing=True)
    leaves.add(orjson.dumps(table.names))
    for row in table.rows:
        leaves.add(orjson.dumps(row))
    types = _types(source, table.names)
    return Fingerprint("table", "frame", leaves.hashes, types, len(table.rows), 0)


class _Leaves:
    """The leaves of a data set as it is read."""

    def __init__(self, salt: bytes, progress: Progress | None) -> None:
        self.hashes: list[Hash] = []
        self._begun = sha256(b"\x00" + salt)
        self._progress = progress

    def add(self, part: bytes) -> None:
        leaf = self._begun.copy()
        leaf.update(part)
        self.hashes.append(Hash(leaf.digest()))
        if self._progress is not None and len(self.hashes) % _PROGRESS_PARTS == 0:
            self._progress(len(self.hashes))


def _read(path: Path, leaves: _Leaves) -> Fingerprint:
    """Read what lies at a path, by what it is."""
    if path.is_symlink():
        raise FormatError(f"{path} is a symbolic link", hint="Give the file it points to.")
    if path.is_dir():
        return _folder(path, leaves)
    require_there(path)
    if not path.is_file():
        raise FormatError(f"{path} is no file and no folder", hint="Check the path.")
    with _steady(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise FormatError(f"{path} is empty", hint="Give a file with contents.")
        if path.suffix.lower() in _TABLE_SUFFIXES:
            columns = tuple((name, "text") for name in _csv(path, file, leaves))
            rows = len(leaves.hashes) - 1
            if rows < 1:
                raise FormatError(f"{path} has a header and no rows", hint="Give rows.")
            return Fingerprint("table", "csv", leaves.hashes, columns, rows, size)
        while chunk := file.read(CHUNK_BYTES):
            leaves.add(chunk)
        return Fingerprint("file", "bytes", leaves.hashes, (), len(leaves.hashes), size)


class _steady:  # noqa: N801 used like a function
    """Open a file for reading and notice if it is not the same file afterwards."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> io.BufferedReader:
        self._file = self._path.open("rb")
        self._before = self._state()
        return self._file

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        after = self._state()
        self._file.close()
        if kind is None and after != self._before:
            raise _changed(self._path)

    def _state(self) -> tuple[object, ...]:
        at_path, opened = self._path.stat(), os.fstat(self._file.fileno())
        return (at_path.st_ino, opened.st_ino, opened.st_size, opened.st_mtime_ns)


def _csv(path: Path, file: io.BufferedReader, leaves: _Leaves) -> list[str]:
    """Add the rows of a CSV file, header first; return the header."""
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    text = io.TextIOWrapper(file, encoding="utf-8", errors="strict", newline="")
    delimiter = _TABLE_SUFFIXES[path.suffix.lower()]
    reader = csv.reader(_lines(path, text), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        if not header:
            raise FormatError(f"{path} begins with an empty line", hint="Name the columns there.")
        if len(set(header)) != len(header):
            raise FormatError(f"{path} has two columns of one name", hint="Rename one.")
        leaves.add(orjson.dumps(header))
        for row in reader:
            if len(row) != len(header):
                raise FormatError(
                    f"{path}, line {reader.line_num}: {len(row)} values where the header has "
                    f"{len(header)}",
                    hint="Every row needs a value for each column.",
                )
            leaves.add(orjson.dumps(row))
    except UnicodeDecodeError as error:
        # It is decoded some lines ahead, so the place is somewhere behind the last line that came.
        where = f"after line {reader.line_num}" if reader.line_num else "in its first lines"
        raise FormatError(
            f"{path} is not UTF-8 {where}: {error.reason}",
            hint="Save it as UTF-8.",
        ) from error
    except csv.Error as error:
        raise FormatError(
            f"{path}, line {reader.line_num}: {error}", hint="Is a quotation mark missing?"
        ) from error
    finally:
        text.detach()
    return header


def _lines(path: Path, text: io.TextIOWrapper) -> Iterator[str]:
    """Read line by line, each of bearable length and plain text."""
    number = 1
    while line := text.readline(MAX_LINE_CHARACTERS + 1):
        if len(line) > MAX_LINE_CHARACTERS:
            raise FormatError(
                f"{path}, line {number} has more than {MAX_LINE_CHARACTERS} characters",
                hint="Is this a table, with a line for each row?",
            )
        if "\0" in line:
            raise FormatError(
                f"{path}, line {number} holds a NUL character",
                hint="Was it saved as UTF-16? Save it as UTF-8.",
            )
        number += 1
        yield line


def _folder(path: Path, leaves: _Leaves) -> Fingerprint:
    """Add the files of a folder in the order of their paths."""
    found = _files(path)
    size = 0
    for name, file_path in found:
        with _steady(file_path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            length = os.fstat(file.fileno()).st_size
        size += length
        leaves.add(orjson.dumps([name, length, digest]))
    if not leaves.hashes:
        raise FormatError(f"{path} holds no files", hint="Give a folder with files.")
    if _files(path) != found:
        raise _changed(path)
    return Fingerprint("folder", "files", leaves.hashes, (), len(leaves.hashes), size)


def _files(path: Path) -> list[tuple[str, Path]]:
    """List the files below a folder: names within it, and paths.

    Raises:
        FormatError: something there is neither file nor folder, or has a name that is not UTF-8.
    """
    found: list[tuple[str, Path]] = []
    waiting = [path]
    while waiting:
        for item in waiting.pop().iterdir():
            if item.is_symlink():
                raise FormatError(f"{item} is a symbolic link", hint="Put the file itself there.")
            if item.is_dir():
                waiting.append(item)
            elif item.is_file():
                found.append((_name_within(path, item), item))
            else:
                raise FormatError(f"{item} is no file and no folder", hint="Take it out.")
    return sorted(found)


def _name_within(folder: Path, path: Path) -> str:
    name = path.relative_to(folder).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise FormatError(
            f"the name of {str(path)!a} is not UTF-8", hint="Rename the file."
        ) from error
    return name


def _changed(path: Path) -> VerificationError:
    return VerificationError(
        f"{path} changed while it was read", hint="Read it once nobody writes it."
    )


def _types(table: Any, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    dtypes = getattr(table, "dtypes", None)
    if dtypes is not None and hasattr(table, "columns"):
        return tuple(zip(names, map(str, dtypes), strict=True))
    dtype = str(getattr(table, "dtype", "value"))
    return tuple((name, dtype) for name in names)
