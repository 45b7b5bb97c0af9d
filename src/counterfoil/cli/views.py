"""Views that several commands share: what was said about a thing, and what a gate decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from counterfoil import ledger as ledgers
from counterfoil.cli import output
from counterfoil.errors import FormatError, VerificationError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from counterfoil import Ledger
    from counterfoil.decisions import Lost


def statements(ledger: Ledger, digest: str) -> list[dict[str, Any]]:
    """List what the log holds about something, oldest first."""
    return [statement(found) for found in ledger.find(subject=digest)]


def statement(found: ledgers.Found) -> dict[str, Any]:
    """Say what a statement of the log is: where it stands, of what kind, by which keys."""
    return {
        "entry": found.index,
        "predicate": ledgers.short_predicate(found.statement.predicate_type),
        "keys": [signature.keyid for signature in found.envelope.signatures],
    }


def statement_table(said: Sequence[dict[str, Any]]) -> RenderableType:
    """Lay out what `statements` lists."""
    rows = [(one["entry"], one["predicate"], ", ".join(one["keys"])) for one in said]
    return output.table(("entry", "statement", "signed with"), rows)


def clearance(decided: ledgers.Clearance) -> dict[str, Any]:
    """Say what a gate decided, for programs."""
    return {
        "cleared": not decided.reasons,
        "mode": decided.mode,
        "reasons": list(decided.reasons),
        "entry": decided.index,
    }


def clearance_lines(decided: ledgers.Clearance, purpose: str) -> list[RenderableType]:
    """Say what a gate decided, for people."""
    name = output.plain(decided.subject.name)
    if not decided.reasons:
        return [f"gate: {name} is cleared for {output.plain(purpose)} (entry {decided.index})"]
    would = f"gate: {decided.mode}; once it enforces, {name} will be refused because"
    return [would, *(f"  - {output.plain(reason)}" for reason in decided.reasons)]


def overridden(overrides: Sequence[int]) -> str | None:
    """Say which records override a decision; None where none does."""
    numbers = ", ".join(map(str, overrides))
    return f"by number {numbers}; a letter about one of them is its own" if numbers else None


def unknown_name(nothing: str, person: str) -> FormatError:
    """Make the error of a name that nothing is recorded under: wrong, or erased."""
    return FormatError(
        f"{nothing} is recorded about {person!r}",
        hint="Use the name that was given as data subject. No name is kept of who was erased: "
        "`counterfoil person erasures` lists the certificates.",
    )


def lost(streams: Sequence[Lost]) -> list[dict[str, Any]]:
    """Say which streams the log knows more of than is kept here, for programs."""
    return [
        {
            "system": one.system,
            "stream": one.stream.hex(),
            "kept": one.kept,
            "stated": one.stated,
            "locked": one.locked,
        }
        for one in streams
    ]


def check_history(ledger: Ledger) -> None:
    """Refuse to hand out what is behind or a fork, and tell what witnesses of others said of it."""
    split = ledgers.check_memory(ledger, goes_on=True)
    if split is not None:
        output.remark(
            "warning",
            f"{split}. This is the history that the local witness has cosigned. {split.hint}",
        )
    for one in ledgers.read_status(ledger).objections:
        output.remark("warning", f"{one.witness} refused this when it was asked last: {one.says}")


def warn_if_set_back(ledger: Ledger) -> None:
    """Say where the whole ledger is an older copy: it knows of no erasure and no hold since."""
    try:
        ledgers.check_memory(ledger)
    except VerificationError as error:
        output.remark(
            "warning",
            f"{error}. Who was erased or held since then is not known here, and the erased are "
            "back",
        )


def lost_line(one: Lost) -> str:
    """Say the same of one, for people."""
    if one.locked:
        return output.plain(f"of {one.system} the key is not here, and none of its records opens")
    stated = f"the log has a batch of {output.count(one.stated, 'record')} of {one.system}"
    return output.plain(
        f"{stated}, and those here, {one.kept:,}, are not them: an older copy was restored, or it "
        "was changed"
        if one.kept
        else f"{stated}, and none of them can be read here"
    )
