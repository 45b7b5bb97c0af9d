"""The demonstration: the whole story on real data, in half a minute.

steps     what happens, one function a step          attacks   what is tried against it
credit    the data and the model                     forger    what a dishonest operator can make
tell      telling it in a terminal                   chapters  the report's contents
report    the report's page                          story     its parts, as values
plots     its pictures                               drawing   what they are drawn with
"""

from __future__ import annotations

from pathlib import Path

from counterfoil.models import import_optional

_EXTRA = ("interpret", "pandas", "sklearn", "skops")


def run_demo(folder: Path, *, as_json: bool = False) -> int:
    """Run the demonstration; see `tell.run_demo`.

    Raises:
        UnavailableError: a library of the extra `demo` is not installed.
    """
    for library in _EXTRA:
        import_optional(library, "'counterfoil[demo]'")
    from counterfoil.demo import tell  # noqa: PLC0415 its libraries are an extra

    return tell.run_demo(folder, as_json=as_json)
