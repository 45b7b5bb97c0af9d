"""Whose line a warning is about: the one that called this package, however deep it arises."""

from __future__ import annotations

import sys


def callers_level() -> int:
    """Count the calls from whoever calls this to the first that is none of this package.

    Returns:
        What `warnings.warn` takes as `stacklevel`; in a thread of ours, where its calls begin.
    """
    package = __name__.partition(".")[0]
    frame, level = sys._getframe(1), 1  # noqa: SLF001 `inspect` would be imported for this alone
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level
