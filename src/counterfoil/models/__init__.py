"""Pillar 4: models added, approved, tested, loaded only when cleared, and asked for reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.lazy import offer

if TYPE_CHECKING:
    from counterfoil.models.optional import import_optional as import_optional
    from counterfoil.models.recourse import Action as Action
    from counterfoil.models.registry import Models as Models
    from counterfoil.models.terms import Terms as Terms
    from counterfoil.models.terms import parse_terms as parse_terms
    from counterfoil.models.version import Model as Model
    from counterfoil.models.version import Version as Version

_HOMES = {
    "Action": ".recourse",
    "Model": ".version",
    "Models": ".registry",
    "Terms": ".terms",
    "Version": ".version",
    "import_optional": ".optional",
    "parse_terms": ".terms",
}

__all__ = [*_HOMES]  # noqa: PLE0604 every key is a string

if not TYPE_CHECKING:
    __getattr__, __dir__ = offer(__name__, _HOMES)
