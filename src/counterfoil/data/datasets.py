"""Data sets on the ledger: added, listed, compared, cleared for training.

The log gets a salted root and a description. Salt and leaves, with which a changed row can be
named, stay in the ledger's private folder:

    private/data/<root>.json      salt, kind, description
    private/data/<root>.leaves    32 bytes for each part
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from counterfoil.core import principals
from counterfoil.core.arguments import require, require_each
from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.core.merkle import Hash, root_of, split_hashes
from counterfoil.core.statement import SHA256, Subject
from counterfoil.core.text import format_base64, parse_base64
from counterfoil.data.fingerprint import SALT_BYTES, Fingerprint, Progress, fingerprint
from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.gate import Clearance, Gate
from counterfoil.ledger.keyfiles import home
from counterfoil.ledger.log import Log
from counterfoil.ledger.reading import Found
from counterfoil.ledger.trust import heard_in
from counterfoil.vault.files import files_of

# A word: a name of several could pass for a sentence of ours wherever it is printed.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")  # a name that looks like one could stand for another thing
_SHOWN_DIFFERENCES = 5
_MAX_KEPT_BYTES = 1 << 10  # three short texts
_MAX_LEAVES_BYTES = 4 << 30  # of some hundred million rows, more than are compared at once


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set as it was attested.

    Args:
        name: What people call it.
        digest: Its salted root, hex.
        index: Of its statement in the log.
        about: The statement's predicate.
    """

    name: str
    digest: str
    index: int
    about: dict[str, JsonValue]

    @property
    def subject(self) -> Subject:
        """The data set as the subject of a statement."""
        return Subject(self.name, {"sha256": self.digest})


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between a data set as attested and as it is now.

    Args:
        places: What each differing part is, in words; at most the first few.
        count: How many parts differ, added and missing ones included.
        parts: How many were compared: all that were attested, or all that there are now, if more.
    """

    places: tuple[str, ...]
    count: int
    parts: int


class Datasets:
    """The data sets of one ledger.

    Args:
        log: Where they are attested.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._files = files_of(log)

    def add(
        self,
        source: Any,
        name: str,
        *,
        licence: str = "",
        origin: str = "",
        personal: bool = True,
        purposes: Sequence[str] = ("training",),
        consent: str | None = None,
        by: Sequence[str] = ("operator",),
        progress: Progress | None = None,
    ) -> Dataset:
        """Fingerprint a data set and attest it; adding the same one again changes nothing.

        Args:
            source: A path, or a table in memory (see `fingerprint`).
            name: Letters, digits and `. _ -`; at most 100 characters.
            licence: Under which it may be used.
            origin: Where it is from.
            personal: Whether it is about people.
            purposes: What it may be used for.
            consent: On what consent or other ground, where it is about people.
            by: Local principals who attest it.
            progress: Called now and then with the number of parts read.

        Raises:
            FormatError: the source is not a data set, or name or a purpose cannot be used.
            UnavailableError: the disk refuses.
            VerificationError: the source changed while it was read.
        """
        check_name(name, "data set")
        purposes = require_each(purposes, str, "a list of purposes", 'Write ["training"].')
        for purpose in purposes:  # as a policy names them, or no gate would know them
            principals.check_name(purpose, "purpose")
        self._require_apart(source)
        for known in self.list(name):
            if self.is_same(known, source):
                return known
        salt = self._log.random(SALT_BYTES)
        print_ = fingerprint(source, salt, progress)
        digest = print_.root.hex()
        about: dict[str, JsonValue] = {
            "name": name,
            "kind": print_.kind,
            "rows": print_.parts,
            "columns": [{"name": column, "type": kind} for column, kind in print_.columns],
            "bytes": print_.size,
            "licence": licence,
            "source": origin,
            "personal": personal,
            "purposes": list(purposes),
            "consent": consent,
        }
        # Signed first, so that what cannot be stated leaves no files behind.
        envelope = self._log.sign([Subject(name, {"sha256": digest})], "dataset", about, by=by)
        # If we stop before the statement is in the log, the private files are of no data set
        # that anybody knows, and adding it again makes new ones.
        self._keep(digest, salt, print_)
        made = self._log.append_envelope(envelope)
        return Dataset(name, digest, made.index, about)

    def list(self, name: str | None = None) -> list[Dataset]:
        """List the data sets, or the versions of one name, oldest first."""
        found = heard_in(self._log, predicate="dataset", subject=name)
        return [_dataset(one) for one in found if SHA256 in one.statement.subjects[0].digest]

    def show(self, name: str) -> Dataset:
        """Give the newest data set of this name, or the one with this digest.

        Raises:
            FormatError: there is none.
        """
        require(name, str, "the name or digest of a data set", "`ledger.data.list()` shows them.")
        found = self.list(name)
        if not found:
            raise FormatError(
                f"there is no data set {name!r} in {self._log.engine.name}",
                hint="`counterfoil data list` shows what there is.",
            )
        return found[-1]

    def diff(self, name: str, source: Any) -> Difference | None:
        """Compare a data set as attested with `source`; None if every part is the same.

        Raises:
            FormatError: there is no such data set, or the source is of another kind.
            UnavailableError: salt and leaves are not on this machine.
        """
        dataset = self.show(name)
        salt, kind, kept = self._kept(dataset)
        print_ = fingerprint(source, salt)
        if print_.source != kind:
            raise FormatError(
                f"{dataset.name} was added as {kind}, and this is {print_.source}",
                hint="Compare with a source of the same kind.",
            )
        places = [
            print_.name_part(place)
            for place, (was, now) in enumerate(zip(kept, print_.leaves, strict=False))
            if was != now
        ]
        count = len(places) + abs(len(kept) - len(print_.leaves))
        if count == 0:
            return None
        if len(kept) != len(print_.leaves):
            more = "more" if len(print_.leaves) > len(kept) else "fewer"
            places.append(f"{abs(len(kept) - len(print_.leaves))} {more} at the end")
        return Difference(
            tuple(places[:_SHOWN_DIFFERENCES]), count, max(len(kept), len(print_.leaves))
        )

    def check(self, name: str, source: Any) -> Dataset:
        """Check that `source` is the data set that was attested, whole and unchanged.

        Raises:
            VerificationError: it differs; names the rows.
        """
        dataset = self.show(name)
        difference = self.diff(dataset.digest, source)
        if difference is not None:
            raise VerificationError(
                f"{dataset.name} is not what was attested: {', '.join(difference.places)}"
                + (" and more" if difference.count > len(difference.places) else "")
                + f" ({difference.count} of {difference.parts} parts differ)",
                hint="Use the attested data, or add these with `counterfoil data add`: under this "
                "name as a new version, under another as other data.",
            )
        return dataset

    def clear(self, name: str, purpose: str = "training", *, source: Any = None) -> Clearance:
        """Clear a data set for a purpose under the policy, and record it.

        Args:
            name: Name or digest.
            purpose: What it is to be used for.
            source: The data about to be used, to be compared with what was attested.

        Raises:
            RefusedError: the policy enforces, and something is missing; lists everything.
            VerificationError: `source` is not what was attested.
        """
        dataset = self.show(name) if source is None else self.check(name, source)
        return Gate(self._log).clear_data(dataset.subject, purpose)

    def is_same(self, dataset: Dataset, source: Any) -> bool:
        """Whether `source` is that data set, as far as can be told here."""
        try:
            return self.diff(dataset.digest, source) is None
        except (FormatError, UnavailableError):
            return False  # another kind of source, or its salt is gone: a new version

    def _require_apart(self, source: Any) -> None:
        """Refuse a folder that holds this ledger or private keys, or lies within one of them."""
        if not isinstance(source, str | os.PathLike):
            return
        data = Path(source).resolve()
        for folder, what in ((self._log.folder, "the ledger"), (home(), "private keys")):
            own = folder.resolve()
            if own.is_relative_to(data) or data.is_relative_to(own):
                raise FormatError(
                    f"{what} in {folder} would be part of the data set {source}",
                    hint="Put the data into a folder of their own.",
                )

    def _keep(self, digest: str, salt: bytes, print_: Fingerprint) -> None:
        self._files.put(f"data/{digest}.leaves", b"".join(print_.leaves))
        kept: JsonValue = {
            "check": _check_of(salt, print_.source),
            "salt": format_base64(salt),
            "source": print_.source,
        }
        self._files.put(f"data/{digest}.json", format_json(kept))

    def _kept(self, dataset: Dataset) -> tuple[bytes, str, Sequence[Hash]]:
        name = f"data/{dataset.digest}.json"
        where = self._files.where(name)
        if not self._files.has(name):
            raise UnavailableError(
                f"salt and leaves of {dataset.name} are not here: there is no {where}",
                hint="They lie with the ledger of whoever added it; the log has only the root.",
            )
        match parse_canonical(self._files.get(name, _MAX_KEPT_BYTES), what=where):
            case {"check": str(check), "salt": str(encoded), "source": str(kind)}:
                salt = parse_base64(encoded, "salt", size=SALT_BYTES)
                data = self._files.get(f"data/{dataset.digest}.leaves", _MAX_LEAVES_BYTES)
                leaves = split_hashes(data)
                if check == _check_of(salt, kind) and root_of(leaves).hex() == dataset.digest:
                    return salt, kind, leaves
        raise VerificationError(
            f"{where} and its leaves are not those of {dataset.name}",
            hint="Restore what is private from a backup.",
        )


def check_name(name: str, what: str) -> None:
    """Refuse names that are no plain names: paths, control characters, or too long.

    Raises:
        FormatError: says which characters may be used.
    """
    require(name, str, f"a text as the name of a {what}", "Write a number as `str(4711)`.")
    if not _NAME.fullmatch(name) or ".." in name or _DIGEST.fullmatch(name):
        raise FormatError(
            f"{name[:120]!r} cannot be the name of a {what}",
            hint="Use letters, digits and . _ - (at most 100, no spaces, no `..`, no `/`).",
        )


def _check_of(salt: bytes, source: str) -> str:
    """Tie salt and kind of source together: a changed salt must not look like changed data."""
    return sha256(salt + source.encode()).hexdigest()


def _dataset(found: Found) -> Dataset:
    subject = found.statement.subjects[0]
    return Dataset(
        subject.name, subject.digest[SHA256], found.index, dict(found.statement.predicate)
    )
