"""Pillar 4: models added, approved, tested, loaded only when cleared, and asked for reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.lazy import offer

if TYPE_CHECKING:
    from counterfoil.models.optional import import_optional as import_optional
    from counterfoil.models.recourse import Action as Action
    from counterfoil.models.registry import Model as Model
    from counterfoil.models.registry import Models as Models
    from counterfoil.models.registry import Version as Version
    from counterfoil.models.terms import Terms as Terms

_HOMES = {
    "Action": ".recourse",
    "Model": ".registry",
    "Models": ".registry",
    "Terms": ".terms",
    "Version": ".registry",
    "import_optional": ".optional",
}

__all__ = [*_HOMES]  # noqa: PLE0604 every key is a string

if not TYPE_CHECKING:
    __getattr__, __dir__ = offer(__name__, _HOMES)
