"""Pillar 2: decisions recorded with their reasons, replayed, overridden, reconciled.

decisions   what a ledger's `decisions` offers       people     what its `people` does
rows        what is recorded of a decision           stream     the stream of one system
holds       legal holds on people                    erasing    a person, from all streams
kept        which streams are here, lost, elsewhere
recorder    recording from a server's threads        channel, ring, worker   how that gets out
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.lazy import offer

if TYPE_CHECKING:
    from counterfoil.decisions.decisions import Decision as Decision
    from counterfoil.decisions.decisions import DecisionBatch as DecisionBatch
    from counterfoil.decisions.decisions import Decisions as Decisions
    from counterfoil.decisions.decisions import Replay as Replay
    from counterfoil.decisions.holds import LegalHold as LegalHold
    from counterfoil.decisions.kept import Lost as Lost
    from counterfoil.decisions.people import People as People

_HOMES = {
    "Decision": ".decisions",
    "DecisionBatch": ".decisions",
    "Decisions": ".decisions",
    "LegalHold": ".holds",
    "Lost": ".kept",
    "People": ".people",
    "Replay": ".decisions",
}

__all__ = [*_HOMES]  # noqa: PLE0604 every key is a string

if not TYPE_CHECKING:
    __getattr__, __dir__ = offer(__name__, _HOMES)
