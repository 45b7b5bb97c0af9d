"""Evidence files: collected, rendered for people, verified by anyone.

evidence   collecting what one decision rests on    verify       checking it, offline
verdict    what a verification found, in words      difference   which visible figure differs
confirmed  who outside confirms a log, and its grades
logs       one log or several shards                 shards       what is shown of the others
logged     the statements, each in its log
page       letter and proof in one HTML file        page_v1, letter_v1, page_v2   how versions look
markup     text that cannot become anything else    proof        the machine-readable half
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.lazy import offer

if TYPE_CHECKING:
    from counterfoil.evidence.confirmed import grade_log as grade_log
    from counterfoil.evidence.evidence import Evidence as Evidence
    from counterfoil.evidence.evidence import EvidenceFile as EvidenceFile
    from counterfoil.evidence.markup import visible as visible
    from counterfoil.evidence.verdict import Verdict as Verdict

_HOMES = {
    "Evidence": ".evidence",
    "EvidenceFile": ".evidence",
    "Verdict": ".verdict",
    "grade_log": ".confirmed",
    "visible": ".markup",
}

__all__ = [*_HOMES]  # noqa: PLE0604 every key is a string

if not TYPE_CHECKING:
    __getattr__, __dir__ = offer(__name__, _HOMES)
