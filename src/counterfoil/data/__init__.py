"""Pillar 1: data sets fingerprinted, described, compared, cleared for training.

datasets      what a ledger's `data` offers
fingerprint   the salted root of a table, a file or a folder
values        rows of a table in memory, in one written form
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.lazy import offer

if TYPE_CHECKING:
    from counterfoil.data.datasets import Dataset as Dataset
    from counterfoil.data.datasets import Datasets as Datasets
    from counterfoil.data.datasets import Difference as Difference

_HOMES = {
    "Dataset": ".datasets",
    "Datasets": ".datasets",
    "Difference": ".datasets",
}

__all__ = [*_HOMES]  # noqa: PLE0604 every key is a string

if not TYPE_CHECKING:
    __getattr__, __dir__ = offer(__name__, _HOMES)
