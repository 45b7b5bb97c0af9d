"""The page, version 2: version 1, with a check in it that does not end in NOT TRUSTED.

Frozen like version 1, whose modules it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.evidence import page_v1
from counterfoil.evidence.markup import Markup, tag, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from counterfoil.core.canonical import JsonValue
    from counterfoil.evidence.proof import Proof


def render(
    proof: Proof, facts: Mapping[str, JsonValue], generator: str, evidence: Markup
) -> Markup:
    """Write the page; see `page_v1.render`."""
    return page_v1.render(proof, facts, generator, evidence, _how_to_check)


def _how_to_check(noun: str) -> list[Markup]:
    return [
        tag(
            "p",
            text(
                f"This {noun} carries its own proof. Anyone can check it on their own computer, "
                "offline, without asking whoever wrote it. It takes the program counterfoil, and "
                "a trust policy: a small file, trust.toml, that says whose signatures count. Get "
                f"both from somewhere else than this {noun}: the policy from the website of the "
                "organisation, a supervisory authority or a consumer organisation. FILE is the "
                "name of this file:"
            ),
        ),
        tag(
            "p",
            tag("code", text("counterfoil verify FILE --trust trust.toml")),
            class_="command",
        ),
        tag(
            "p",
            text(
                "Without the trust policy the check ends in NOT TRUSTED: nothing is wrong then, "
                "only nobody has said whose word it is. The guide that comes with the program, "
                "docs/how-to/check-a-letter.md, goes through all of it."
            ),
        ),
    ]
