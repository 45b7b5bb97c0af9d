"""What a user hands over as a model: the bytes that are attested, and what they give back."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from counterfoil.errors import FormatError, RefusedError, UnavailableError
from counterfoil.models.formats import (
    ONNX,
    PICKLE,
    SAFETENSORS,
    SKOPS,
    format_for,
    read_model,
)
from counterfoil.models.functions import code_of
from counterfoil.models.predict import as_predictor

CALLABLE = "callable"
"""Format of what only exists as a function: its digest is that of `code_of`."""


class Taken(NamedTuple):
    """A model as it was handed over.

    Args:
        file: Its bytes, or its code.
        format: What they are.
        types: Python types that opening them builds and that the format does not vouch for.
        model: What decides.
    """

    file: bytes
    format: str
    types: tuple[str, ...]
    model: Any


def take(model: Any, trust: Collection[str], *, may_pickle: bool) -> Taken:
    """Get a model's bytes, what they are, and the model.

    Args:
        model: A trained object, a function, or the path of a file.
        trust: Python types that a skops file may build.
        may_pickle: Whether a file that is a pickle may be opened.

    Raises:
        FormatError: This is no model.
        RefusedError: Opening the file would run code or build types that nobody vouched for.
        UnavailableError: The file cannot be read, or its library is not installed.
    """
    if isinstance(model, str | Path):
        path = Path(model)
        file, kind = read_model(path), format_for(path)
        loaded = kind.load(file, (*trust, *((PICKLE.name,) if may_pickle else ())))
        return Taken(file, kind.name, _types(kind.name, file), loaded)
    as_predictor(model)  # says clearly what is no model
    if not (hasattr(model, "predict") or hasattr(model, "predict_proba")):
        # A function, or an object that is called: pickled, it is little more than its name.
        return Taken(code_of(model), CALLABLE, (), model)
    for kind in (ONNX, SKOPS, SAFETENSORS, PICKLE):
        try:
            file = kind.dump(model)
            # Types of an object that is alive here: building them again runs nothing new.
            types = _types(kind.name, file)
            # What decides is what was hashed: the copy read back, not the caller's object.
            return Taken(
                file, kind.name, types, model if kind is PICKLE else kind.load(file, types)
            )
        except (FormatError, RefusedError, UnavailableError):
            continue
    return Taken(code_of(model), CALLABLE, (), model)


def _types(kind: str, file: bytes) -> tuple[str, ...]:
    return SKOPS.types(file) if kind == SKOPS.name else ()
