"""What a server's refusal stands for; its words are quoted, and never believed.

    application/problem+json    {"title": …, "detail": …, "hint": …, "reasons": […]}

Source:
    RFC 9457.
"""

from __future__ import annotations

from counterfoil.core.canonical import parse_json
from counterfoil.errors import (
    ConflictError,
    CounterfoilError,
    FormatError,
    RefusedError,
    UnavailableError,
)
from counterfoil.ledger.web import Answer, quoted

_MAX_PROBLEM_BYTES = 64 << 10
_MAX_REASONS = 32  # of a refusal, that an error repeats
_CONFLICT = 409
_WRONG_INPUT = {400, 411, 413, 414, 415, 422}
_NOT_ALLOWED = {401, 403}
_MOVED = {301, 302, 303, 307, 308}


def refusal(answer: Answer, url: str, *, lacking: str = "") -> CounterfoilError:
    """Make the error that a server's refusal stands for; its words are quoted, never believed.

    Args:
        answer: The refusal.
        url: Whose.
        lacking: What we know that a caller lacks; a better hint than the server's.
    """
    said, hint, reasons = _problem(answer.body)
    message = f"{url} answers {answer.status}" + (f": {said}" if said else "")
    if answer.status in _MOVED:
        return UnavailableError(
            f"{message}: it sends us elsewhere, and no redirect is followed",
            hint="Give the address where the ledger is.",
        )
    if answer.status in _NOT_ALLOWED:
        return RefusedError(
            message,
            reasons=reasons,
            hint=lacking or hint or "It takes a key of a principal that the trust policy names.",
        )
    if answer.status == _CONFLICT:
        return ConflictError(message, hint=hint)
    if answer.status in _WRONG_INPUT:
        return FormatError("; ".join((message, *reasons)), hint=hint)
    return UnavailableError(message, hint=hint or "Check the address and the server.")


def _problem(body: bytes) -> tuple[str, str, tuple[str, ...]]:
    """Read detail, hint and reasons of application/problem+json; empty where it is none."""
    try:
        problem = parse_json(body, what="the refusal", max_bytes=_MAX_PROBLEM_BYTES, max_depth=4)
    except FormatError:
        return "", "", ()
    if not isinstance(problem, dict):
        return "", "", ()
    said = [problem.get(name) for name in ("detail", "title")]
    listed = problem.get("reasons")
    reasons = listed[:_MAX_REASONS] if isinstance(listed, list) else []
    return (
        next((quoted(one) for one in said if isinstance(one, str) and one), ""),
        quoted(hint) if isinstance(hint := problem.get("hint"), str) else "",
        tuple(quoted(one) for one in reasons if isinstance(one, str)),
    )
