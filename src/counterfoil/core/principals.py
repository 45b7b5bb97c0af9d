"""Who speaks: principals, the keys that speak for them, and what each of them may say.

A principal is a role of an organisation (`risk-a`, `data-office`), never a person. It has spoken
when valid keys of all its required algorithms have signed; a dropped ML-DSA signature is no
signature. What it may say is a list of patterns, and an empty list allows nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from counterfoil.core.arguments import require
from counterfoil.core.canonical import JsonValue
from counterfoil.core.keys import Algorithm, VerifierKey, format_vkey, parse_vkey
from counterfoil.core.text import shown
from counterfoil.core.toml import Table
from counterfoil.errors import FormatError

ALGORITHM_NAMES = {"ed25519": Algorithm.ED25519, "ml-dsa-44": Algorithm.COSIGNATURE_ML_DSA_44}
"""What a principal's keys may sign with, by the name used in trust.toml."""

MAX_NAME_CHARACTERS = 100
"""Longest name or line of text in a policy: fits on a line of a report."""

_NAMES_BY_ALGORITHM = {algorithm: name for name, algorithm in ALGORITHM_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Permission:
    """One kind of statement about some subjects.

    Args:
        predicate: Short name of a predicate of ours (`approval`) or the full type of a foreign
            one; `*` in it stands for any characters.
        subject: Name of the subject; `*` likewise.
    """

    predicate: str
    subject: str

    def __post_init__(self) -> None:
        for pattern in (self.predicate, self.subject):
            check_pattern(pattern)

    def covers(self, predicate: str, subject: str) -> bool:
        """Whether both patterns match."""
        return matches(self.predicate, predicate) and matches(self.subject, subject)

    @classmethod
    def from_table(cls, table: Table) -> Permission:
        """Read one element of `may`."""
        table.only("predicate", "subject")
        return cls(table.text("predicate"), table.text("subject"))

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads."""
        return {"predicate": self.predicate, "subject": self.subject}


@dataclass(frozen=True, slots=True)
class Compromise:
    """A key that somebody else may hold: from an index on its signatures prove nothing.

    Args:
        key: Label of the key, `name+keyid`.
        from_index: First index of the log whose statements by this key are void.
    """

    key: str
    from_index: int

    @classmethod
    def from_table(cls, table: Table) -> Compromise:
        """Read one element of `compromised`."""
        table.only("key", "from_index")
        return cls(table.text("key"), table.integer("from_index"))

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads."""
        return {"key": self.key, "from_index": self.from_index}


@dataclass(frozen=True, slots=True)
class Principal:
    """One voice: thresholds count principals, never keys.

    Args:
        name: Its name in the policy.
        organisation: To whom it belongs.
        keys: At least one, each for statements (`ALGORITHM_NAMES`).
        algorithms: All of them must have signed; left empty, every algorithm of `keys`.
        may: What it may say; empty means nothing.
        compromised: Keys of its own that are void from some index on.
    """

    name: str
    organisation: str
    keys: tuple[VerifierKey, ...]
    algorithms: tuple[Algorithm, ...] = ()
    may: tuple[Permission, ...] = ()
    compromised: tuple[Compromise, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "principal")
        check_text(self.organisation, "organisation")
        if not self.keys:
            raise FormatError(
                f"principal {self.name} has no key", hint="Add its verifier key, or remove it."
            )
        for key in self.keys:
            if key.algorithm not in _NAMES_BY_ALGORITHM:
                raise FormatError(
                    f"key {key.label} of {self.name} is a witness's key",
                    hint="Statements are signed with keys of type 01 or 06.",
                )
        present = {key.algorithm for key in self.keys}
        if missing := set(self.algorithms) - present:
            raise FormatError(
                f"principal {self.name} must sign with "
                f"{', '.join(_NAMES_BY_ALGORITHM[one] for one in sorted(missing))} "
                "and has no such key",
                hint="Add the key, or take the algorithm off the list.",
            )
        object.__setattr__(self, "algorithms", tuple(sorted(set(self.algorithms) or present)))
        check_distinct([one.key for one in self.compromised], f"compromised key of {self.name}")
        for one in self.compromised:
            if one.key not in {key.label for key in self.keys}:
                raise FormatError(
                    f"{shown(one.key)} is compromised and no key of {self.name}",
                    hint="Keep the old key in `keys`, so that what it signed before still counts.",
                )

    @classmethod
    def from_table(cls, table: Table) -> Principal:
        """Read one `[[principal]]`."""
        table.only("name", "organisation", "keys", "algorithms", "may", "compromised")
        return cls(
            name=table.text("name"),
            organisation=table.text("organisation"),
            keys=tuple(parse_vkey(text) for text in table.texts("keys")),
            algorithms=tuple(_parse_algorithm(text) for text in table.texts("algorithms")),
            may=table.each("may", Permission.from_table),
            compromised=table.each("compromised", Compromise.from_table),
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads, defaults included."""
        return {
            "name": self.name,
            "organisation": self.organisation,
            "keys": [format_vkey(key) for key in self.keys],
            "algorithms": [_NAMES_BY_ALGORITHM[one] for one in self.algorithms],
            "may": [one.to_json() for one in self.may],
            "compromised": [one.to_json() for one in self.compromised],
        }

    def shortfall(self, signed: Collection[VerifierKey], index: int) -> str:
        """Say what is missing for this principal to have spoken; empty if nothing is.

        Args:
            signed: Keys whose signatures hold, of whomever.
            index: Where in the log the statement stands.
        """
        own = [key for key in self.keys if key in signed]
        void = {one.key for one in self.compromised if one.from_index <= index}
        valid = {key.algorithm for key in own if key.label not in void}
        if own and all(key.label in void for key in own):
            return f"key {own[0].label} of {self.name} is void there, it was compromised"
        missing = [_NAMES_BY_ALGORITHM[one] for one in self.algorithms if one not in valid]
        return f"{self.name} has not signed with {' and '.join(missing)}" if missing else ""


def check_name(text: str, what: str) -> None:
    """Refuse what cannot name something in a policy: a printable word, no spaces.

    Raises:
        FormatError: Empty, too long, or with characters that could hide in a report.
    """
    check_text(text, what)
    if " " in text:
        raise FormatError(f"{what} {shown(text)} has a space in it", hint="Write - instead.")


def check_text(text: str, what: str) -> None:
    """Refuse what is no text, and text that is empty, too long, padded or not plainly printable.

    Control and direction characters could make a report read as what it does not say.

    Raises:
        FormatError: It is.
    """
    require(text, str, f"a text as the {what}", "Write a line of it.")
    if not 0 < len(text) <= MAX_NAME_CHARACTERS or not text.isprintable() or text.strip() != text:
        raise FormatError(
            f"{what} {shown(text)} is not a line of printable text",
            hint=f"Write 1 to {MAX_NAME_CHARACTERS} characters, no spaces around them.",
        )


def check_distinct(names: Collection[str], what: str) -> None:
    """Refuse a name that stands twice where each may stand once.

    Raises:
        FormatError: Naming the first repeated one.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise FormatError(f"{what} {shown(name)} is there twice", hint="Keep one.")
        seen.add(name)


def _parse_algorithm(text: str) -> Algorithm:
    if text not in ALGORITHM_NAMES:
        raise FormatError(
            f"unknown algorithm {shown(text)}", hint=f"Known are {', '.join(ALGORITHM_NAMES)}."
        )
    return ALGORITHM_NAMES[text]


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that is no line of text, or means to use more than `*`.

    Raises:
        FormatError: It is.
    """
    check_text(pattern, "pattern")
    if any(character in "?[]" for character in pattern):
        raise FormatError(
            f"pattern {shown(pattern)} uses more than *",
            hint="Only * has a meaning in patterns; list the cases one by one.",
        )


def matches(pattern: str, text: str) -> bool:
    """Match `*` without backing up: each part is taken where it is first found."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    if not text.startswith(first):
        return False
    at = len(first)
    for part in middle:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return len(text) - len(last) >= at and text.endswith(last)
