"""Files that commands read and write: rows to decide on, predictions, tickets, requests."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterfoil.cli import output
from counterfoil.errors import ConflictError, FormatError, UnavailableError
from counterfoil.models import import_optional, parse_terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from counterfoil import Model, Terms

TICKET_SUFFIX = ".ticket.json"


def read_rows(
    path: Path, columns: Sequence[str | None] = ()
) -> tuple[Any, list[list[str | None] | None]]:
    """Read rows, and apart from them columns that a model is not to see.

    Args:
        path: A CSV file.
        columns: Names of such columns; None for one that is not asked for.

    Returns:
        The other columns as a table, and the values of each of `columns` as they are written.

    Raises:
        FormatError: it is no table, or has no such column.
        UnavailableError: it cannot be read, or pandas is not installed.
    """
    pandas = import_optional("pandas", "'counterfoil[demo]'")
    data = read_file(path)
    try:
        text = data.decode("utf-8-sig")
        header, *lines = _even_rows(text)
        # In one go, so that every column has one type.
        rows = pandas.read_csv(io.StringIO(text), low_memory=False)
    except (ValueError, csv.Error) as error:
        raise FormatError(
            f"{path} is no table that can be read: {error}",
            hint="Give a CSV file in UTF-8, with a header and as many values in every row.",
        ) from error
    if len(header) == 1 and ";" in header[0]:
        raise FormatError(
            f"{path} has one column, called {header[0]!r}: it seems to be separated by semicolons",
            hint="Save it with commas between the values.",
        )
    apart: list[list[str | None] | None] = []
    for column in columns:
        if column is None:
            apart.append(None)
            continue
        if column not in header:
            raise FormatError(
                f"{path} has no column {column!r}", hint=f"Its columns are {', '.join(header)}."
            )
        # Not as pandas reads them: the names 007 and NA stay what they are.
        place = header.index(column)
        apart.append([line[place] or None for line in lines])
    return rows.drop(columns=[one for one in columns if one is not None]), apart


def read_terms(path: Path) -> Terms:
    """Read the terms on which a model decides.

    Raises:
        FormatError: the file holds no terms.
        UnavailableError: it cannot be read.
    """
    return parse_terms(read_file(path), str(path))


def _even_rows(text: str) -> list[list[str]]:
    """Split into rows, refusing ones longer or shorter than the header; pandas makes them fit.

    Raises:
        ValueError: there are none, or one differs in length.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    for row in reader:
        if rows and row and len(row) != len(rows[0]):
            wrong = f"line {reader.line_num} has {len(row)} values, the header {len(rows[0])}"
            raise ValueError(wrong)
        if row:  # a blank line is none
            rows.append(row)
    if not rows:
        raise ValueError("it is empty")
    return rows


def fit_rows(rows: Any, model: Model) -> tuple[Any, list[str]]:
    """Give the columns the model was trained with, in its order, and say which are left out.

    Raises:
        FormatError: one is missing.
    """
    names = list(model.predictor.names)
    if not names:  # it was trained on bare numbers, and takes what comes
        return rows, []
    missing = [name for name in names if name not in rows.columns]
    if missing:
        raise FormatError(
            f"the rows have no column {', '.join(missing)}",
            hint=f"{model.name} was trained on {', '.join(names)}.",
        )
    return rows[names], [output.plain(str(name)) for name in rows.columns if name not in names]


def format_predictions(made: Sequence[Mapping[str, Any]]) -> bytes:
    """Write record, outcome and score of each row as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("record", "outcome", "score"))
    for one in made:
        outcome = one["outcome"]
        named = json.dumps(outcome) if isinstance(outcome, list | dict) else outcome
        writer.writerow((one["index"], named, one["score"]))
    return text.getvalue().encode()


def check_new(path: Path) -> None:
    """Check that a file can be written there, and that none is there, before anything is done.

    Raises:
        ConflictError: there is one; results replace nothing.
        UnavailableError: there is no folder for it, or it may not be written to.
    """
    if os.path.lexists(path):
        raise _there_already(path)
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UnavailableError(
            f"cannot write {path}: {path.parent} is no folder that can be written to",
            hint="Make the folder first, or name another; nothing was done.",
        )


def check_tickets(folder: Path, numbers: Iterable[int]) -> None:
    """Make the folder, and check that it holds no ticket of these numbers yet.

    Raises:
        ConflictError: it does: tickets of another system.
        UnavailableError: the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused("make", folder, error) from error
    for number in numbers:
        check_new(_ticket_file(folder, number))


def write_tickets(folder: Path, signed: Mapping[int, bytes]) -> None:
    """Write each ticket to a file named after its record.

    Raises:
        As `write_file`.
    """
    for number, ticket in signed.items():
        write_file(_ticket_file(folder, number), ticket)


def _ticket_file(folder: Path, number: int) -> Path:
    return folder / f"{number}{TICKET_SUFFIX}"


def find_tickets(paths: Sequence[Path]) -> list[Path]:
    """Find ticket files: those named, and those in the folders named.

    Raises:
        FormatError: a folder holds none.
    """
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.glob(f"*{TICKET_SUFFIX}")) if path.is_dir() else [path]
        if not inside:
            raise FormatError(
                f"{path} holds no tickets", hint=f"Their names end in {TICKET_SUFFIX}."
            )
        files += inside
    return files


def write_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a result to a new file; a private one is its owner's only, from the beginning.

    Raises:
        ConflictError: there is a file already.
        UnavailableError: the disk refuses.
    """
    mode = 0o600 if private else 0o666
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
    except FileExistsError as error:
        raise _there_already(path) from error
    except OSError as error:
        raise _refused("write", path, error) from error


def read_file(path: Path) -> bytes:
    """Read a file that the user named.

    Raises:
        FormatError: there is none.
        UnavailableError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FormatError(f"there is no file {path}", hint="Check the path.") from error
    except OSError as error:
        raise _refused("read", path, error) from error


def _there_already(path: Path) -> ConflictError:
    return ConflictError(
        f"there is a file {path} already", hint="A result replaces nothing; give another name."
    )


def _refused(doing: str, path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"cannot {doing} {path}: {error.strerror}", hint="Check the path and its permissions."
    )
