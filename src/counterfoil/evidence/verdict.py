"""What a verification found, in words for whoever holds the evidence.

A verdict exists only where everything that was checked holds: what is false raises instead. It
says how far it reaches: what is proved, what nobody looked at, whom one still has to trust, and by
which trust policy it was judged.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterfoil.evidence.markup import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from counterfoil.core.canonical import JsonValue

EXIT_TRUSTED = 0
"""Holds, under a trust policy that the verifier got from elsewhere."""

EXIT_UNTRUSTED = 20
"""Holds together, and there was no trust policy: nobody says whose word it is."""

_WIDTH = 88
"""Columns of the printed verdict: fits a terminal and a mail."""

_GRADES = {
    "self-witnessed": "Nobody outside the log's operator counts as confirming the log.",
    "witnessed": "Somebody other than the log's operator cosigned, having seen no other history.",
    "time-stamped": "An authority outside the log's operator says by when the log was so.",
    "anchored": "A chain that the log's operator does not run alone holds a root of this log.",
}

_COMPARE = "Compare this digest with one that you got from elsewhere than the evidence."
_GET_A_POLICY = (
    "Anybody can make keys and a log. Get the trust policy from a source that you trust, and "
    "verify again with --trust."
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification that found nothing false.

    Args:
        what: Kind and name of what was verified, such as `decision 17 of credit`.
        grade: How far it stands without the log operator's word, such as `witnessed`: the highest
            grade that it reaches.
        trusted: Whether it was judged under a trust policy that came from elsewhere.
        policy: SHA-256 of that policy in hex; None without one.
        proved: What is proved, one sentence each.
        not_checked: What was not checked or cannot be, one sentence each.
        trust: Whom one still has to trust, and for what, one sentence each.
        facts: The proven values.
        grades: All grades that it reaches, lowest first, where there are several. Each is reached
            by itself, and does not include those before it.
    """

    what: str
    grade: str
    trusted: bool
    policy: str | None
    proved: tuple[str, ...]
    not_checked: tuple[str, ...]
    trust: tuple[str, ...]
    facts: Mapping[str, JsonValue]
    grades: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # A trusted verdict that cannot name its policy is our own bug, not a property of a file.
        if self.trusted != (self.policy is not None):
            raise AssertionError("a verdict is trusted exactly where it names a policy")
        if not self.grades:
            object.__setattr__(self, "grades", (self.grade,))
        if self.grade != self.grades[-1]:
            raise AssertionError("the grade of a verdict is the highest of its grades")

    @property
    def exit_code(self) -> int:
        """What the command line exits with."""
        return EXIT_TRUSTED if self.trusted else EXIT_UNTRUSTED

    def as_dict(self) -> dict[str, JsonValue]:
        """Return everything as JSON, for `--json`."""
        return {
            "what": self.what,
            "trusted": self.trusted,
            "grade": self.grade,
            "grades": list(self.grades),
            "policy": self.policy,
            "proved": list(self.proved),
            "not_checked": list(self.not_checked),
            "trust": list(self.trust),
            "facts": dict(self.facts),
        }

    def __str__(self) -> str:
        """Lay the verdict out as plain text; hostile names cannot steer the terminal."""
        parts = [
            visible(f"{'HOLDS' if self.trusted else 'HOLDS TOGETHER, NOT TRUSTED'}: {self.what}")
        ]
        proved = "Proved" if self.trusted else "Proved, if the keys in it are the right ones"
        parts += [
            _listed(heading, mark, sentences)
            for heading, mark, sentences in (
                (proved, "+", self.proved),
                ("Not checked", "-", self.not_checked),
                ("You still have to trust", "!", self.trust),
            )
            if sentences
        ]
        meanings = (f"{grade}. {_GRADES.get(grade, '')}" for grade in self.grades)
        parts.append(_listed("Grade", " ", meanings))
        advice = _COMPARE if self.trusted else _GET_A_POLICY
        parts.append(_listed("Trust policy, SHA-256", " ", (self.policy or "none given", advice)))
        return "\n\n".join(parts)


def _listed(heading: str, mark: str, sentences: Iterable[str]) -> str:
    wrapped = (
        textwrap.fill(
            visible(sentence),
            _WIDTH,
            initial_indent=f"  {mark} ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for sentence in sentences
    )
    return "\n".join((heading, *wrapped))
