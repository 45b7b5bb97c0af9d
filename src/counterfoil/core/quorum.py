"""Who watches the log: its witnesses, and how much their cosignatures lift a verdict.

A witness says that the log it saw only ever grew. That is worth something against the log's
operator if somebody else runs the witness. Witnesses of the operator's own count, and lift
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from counterfoil.core.anchoring import AnchorKey
from counterfoil.core.canonical import JsonValue
from counterfoil.core.checkpoint import EarlierKey, LogKeys, earlier_to_json
from counterfoil.core.keys import Algorithm, VerifierKey, format_vkey, parse_vkey
from counterfoil.core.principals import check_name, check_text
from counterfoil.core.text import shown
from counterfoil.core.toml import Table
from counterfoil.errors import FormatError, PolicyError

if TYPE_CHECKING:
    from counterfoil.core.policy import TrustPolicy


MAX_WITNESS_URL_CHARACTERS = 500
"""Longest address of a witness: a host name and a path."""

# A host in lower case, a port, a path without a slash at its end: one spelling of one address.
_URL = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?"
    r"(?:/[A-Za-z0-9._~-]+)*"
)


class Grade(IntEnum):
    """How far a verdict stands without the log operator's word, weakest first.

    Each is reached by itself: an anchored log need not be witnessed, and a time-stamp says nothing
    about whether everybody is shown the same log.
    """

    SELF_WITNESSED = 0
    WITNESSED = 1
    TIME_STAMPED = 2
    ANCHORED = 3

    @property
    def label(self) -> str:
        """As verdicts print it."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """The log a policy is about.

    Args:
        origin: First line of its checkpoints; also the name of its key.
        key: What its checkpoints are signed with, Ed25519.
        operator: The organisation that runs it.
        earlier: What they were signed with before, and up to which size that counts.
    """

    origin: str
    key: VerifierKey
    operator: str
    earlier: tuple[EarlierKey, ...] = ()

    def __post_init__(self) -> None:
        check_text(self.operator, "operator")
        keys = (self.key, *(one.key for one in self.earlier))
        if any(one.algorithm is not Algorithm.ED25519 or one.name != self.origin for one in keys):
            raise FormatError(
                f"{shown(self.key.label)} is not an Ed25519 key of the log {shown(self.origin)}",
                hint="A log's key has type 01 and the log's origin as its name.",
            )
        LogKeys(self.key, self.earlier)  # refuses what do not follow each other

    @property
    def keys(self) -> LogKeys:
        """The key, and those before it."""
        return LogKeys(self.key, self.earlier)

    @classmethod
    def from_table(cls, table: Table) -> LogIdentity:
        """Read `[log]`."""
        table.only("origin", "key", "operator", "earlier")
        return cls(
            table.text("origin"),
            parse_vkey(table.text("key")),
            table.text("operator"),
            table.each("earlier", _read_earlier),
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads."""
        form: dict[str, JsonValue] = {
            "origin": self.origin,
            "key": format_vkey(self.key),
            "operator": self.operator,
        }
        # What is not there is not written: policies keep their digests.
        if self.earlier:
            form["earlier"] = earlier_to_json(self.keys)
        return form


def _read_earlier(table: Table) -> EarlierKey:
    table.only("key", "until_size")
    return EarlierKey(parse_vkey(table.text("key")), table.integer("until_size"))


@dataclass(frozen=True, slots=True)
class Witness:
    """One watcher of the log.

    Args:
        name: Its name in the policy.
        key: What it cosigns with, of type 04 or 06.
        operator: The organisation that runs it.
        anchor: Its second key, if it also signs anchors.
        url: Where it is asked, `http(s)://host[:port][/path]`; empty if the log does not ask it.
        post_quantum: Its key of type 06, beside `key` of type 04. It counts only with both.
    """

    name: str
    key: VerifierKey
    operator: str
    anchor: AnchorKey | None = None
    url: str = ""
    post_quantum: VerifierKey | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "witness")
        check_text(self.operator, "operator")
        if self.key.algorithm is Algorithm.ED25519:
            raise FormatError(
                f"key {self.key.label} of witness {self.name} does not make cosignatures",
                hint="A witness's key has type 04 or 06.",
            )
        if self.anchor is not None:
            self.anchor.check(self.key)
        if self.url:
            check_witness_url(self.url)
        if self.post_quantum is not None and (self.key.algorithm, self.post_quantum.algorithm) != (
            Algorithm.COSIGNATURE_ED25519,
            Algorithm.COSIGNATURE_ML_DSA_44,
        ):
            raise FormatError(
                f"witness {self.name} has no two keys of different kinds",
                hint="With post_quantum, of type 06 (ML-DSA-44), key is of type 04 (Ed25519).",
            )

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """All of these must have cosigned for it to count."""
        return (self.key,) if self.post_quantum is None else (self.key, self.post_quantum)

    @classmethod
    def from_table(cls, table: Table) -> Witness:
        """Read one `[[witness]]`."""
        table.only("name", "key", "operator", "anchor", "url", "post_quantum")
        if table.values.get("url") == "":
            raise table.error("the address of a witness is empty", key="url", hint="Leave url out.")
        return cls(
            table.text("name"),
            parse_vkey(table.text("key")),
            table.text("operator"),
            table.optional("anchor", AnchorKey.from_table, None),
            table.text("url", ""),
            parse_vkey(table.text("post_quantum")) if "post_quantum" in table.values else None,
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads."""
        form: dict[str, JsonValue] = {
            "name": self.name,
            "key": format_vkey(self.key),
            "operator": self.operator,
        }
        if self.anchor is not None:
            form["anchor"] = self.anchor.to_json()
        # What is not there is not written: policies keep their digests.
        if self.url:
            form["url"] = self.url
        if self.post_quantum is not None:
            form["post_quantum"] = format_vkey(self.post_quantum)
        return form


def check_witness_url(url: str) -> None:
    """Refuse what is not the one spelling of an address that can be asked.

    Raises:
        FormatError: It is not.
    """
    if len(url) > MAX_WITNESS_URL_CHARACTERS or not _URL.fullmatch(url):
        raise FormatError(
            f"{shown(url)} is not the address of a witness",
            hint="Write https://host/path: the host in lower case, no slash at the end, no query.",
        )


def check_quorum(policy: TrustPolicy, cosignatures: Iterable[tuple[VerifierKey, int]]) -> Grade:
    """Check that enough of the policy's witnesses cosigned, and say what that is worth.

    The times of the cosignatures are not looked at here.

    Args:
        policy: Names the witnesses and the quorum.
        cosignatures: Keys and Unix seconds of cosignatures that hold for one checkpoint
            (`find_cosignatures` with `TrustPolicy.witness_keys`). Keys of nobody in the policy
            count for nothing; each witness counts once, and only with all its keys.

    Returns:
        `WITNESSED` if at least one of the witnesses that signed is run by another operator than
        the log, else `SELF_WITNESSED`.

    Raises:
        PolicyError: Fewer than the quorum.

    Source:
        C2SP tlog-policy, "Quorum", of the form `any k` of all witnesses.
    """
    keys = {key for key, _ in cosignatures}
    signed = [witness for witness in policy.witnesses if keys.issuperset(witness.keys)]
    if len(signed) < policy.quorum:
        missing = [witness.name for witness in policy.witnesses if witness not in signed]
        halves = [
            f"; {witness.name} counts only with a cosignature by {lacking}, too"
            for witness, lacking in half_signed(policy, keys)
        ]
        raise PolicyError(
            f"{len(signed)} {'witness' if len(signed) == 1 else 'witnesses'} cosigned this "
            "checkpoint, the policy asks for "
            f"{policy.quorum}{''.join(halves)}",
            have=", ".join(witness.name for witness in signed) or "none",
            need=f"{policy.quorum} of {len(policy.witnesses)} witnesses",
            hint=f"Ask for a cosignature of {' or '.join(missing)}. What was made before "
            "the policy asked for so many: verify it with the policy of its time, or have it made "
            "again.",
        )
    if is_outside(policy, (witness.operator for witness in signed)):
        return Grade.WITNESSED
    return Grade.SELF_WITNESSED


def half_signed(
    policy: TrustPolicy, keys: Collection[VerifierKey]
) -> Iterator[tuple[Witness, str]]:
    """Find witnesses that signed with one of two keys, so that they count for nothing.

    Args:
        policy: Names the witnesses.
        keys: Those whose cosignatures hold.

    Yields:
        The witness, and the kind of signature that is missing.
    """
    for witness in policy.witnesses:
        missing = [key for key in witness.keys if key not in keys]
        if 0 < len(missing) < len(witness.keys):
            is_classic = missing[0].algorithm is Algorithm.COSIGNATURE_ED25519
            yield witness, "Ed25519" if is_classic else "ML-DSA-44"


def is_outside(policy: TrustPolicy, operators: Iterable[str]) -> bool:
    """Whether one of these organisations is another than the log's operator."""
    own = _folded(policy.log.operator)
    return any(_folded(operator) != own for operator in operators)


def _folded(operator: str) -> str:
    """Letter case and spacing do not make an operator another one."""
    return " ".join(operator.split()).casefold()
