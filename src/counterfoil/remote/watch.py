"""Watch rules: what a monitor tells whom, in one file.

[[rule]]
name = "revocations"
predicate = "revocation"                  patterns, as in trust.toml; left out, all match
subject = "credit-*"
issuer = "risk-*"                         the label of a key that signed
on = ["entry", "refused"]                 what is told; see `KINDS`
webhook = "https://alerts.example/hook"   or: command = ["/usr/local/bin/alert", "--now"]
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from counterfoil.core.principals import check_distinct, check_name, check_pattern, matches
from counterfoil.core.toml import MAX_TOML_BYTES, Table, parse_toml
from counterfoil.errors import FormatError
from counterfoil.ledger.disk import read_file
from counterfoil.ledger.web import Peer
from counterfoil.remote.address import is_loopback

MAX_RULES = 256
"""Watch rules of one monitor: each is compared with every entry."""

MAX_COMMAND_WORDS = 64
"""Words of a command that a rule runs."""

ENTRY, REFUSED, SPLIT_VIEW, SET_BACK, UNTRUE, STALE = (
    "entry",
    "refused",
    "split-view",
    "set-back",
    "untrue",
    "stale",
)
KINDS = (ENTRY, REFUSED, SPLIT_VIEW, SET_BACK, UNTRUE, STALE)
_OF_ENTRIES = {ENTRY, REFUSED}
_ANY = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One watch rule.

    Args:
        name: For people, and to tell its notifications apart.
        on: Kinds of events that it is about.
        predicate: Pattern of the predicate's short name, or of its type.
        subject: Pattern of a subject's name.
        issuer: Pattern of the label of a key that the envelope names.
        webhook: Where events are sent, or empty.
        command: What is run with each, or nothing.
    """

    name: str
    on: tuple[str, ...] = (ENTRY,)
    predicate: str = _ANY
    subject: str = _ANY
    issuer: str = _ANY
    webhook: str = ""
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "rule")
        for pattern in (self.predicate, self.subject, self.issuer):
            check_pattern(pattern)
        unknown = [kind for kind in self.on if kind not in KINDS]
        if unknown or not self.on:
            raise FormatError(
                f"rule {self.name} is about {', '.join(unknown) or 'nothing'}",
                hint=f"`on` lists some of {', '.join(KINDS)}.",
            )
        if bool(self.webhook) == bool(self.command):
            raise FormatError(
                f"rule {self.name} needs one of webhook and command",
                hint="A second rule can do the other.",
            )
        if len(self.command) > MAX_COMMAND_WORDS or "" in self.command[:1]:
            raise FormatError(
                f"the command of rule {self.name} is none",
                hint=f"The program, then its arguments: at most {MAX_COMMAND_WORDS} words.",
            )
        if self.webhook:
            _check_webhook(self.webhook)

    def is_about(
        self, kind: str, predicate: str, subjects: Sequence[str], issuers: Sequence[str]
    ) -> bool:
        """Whether it is to be told of an event; patterns are for those of entries."""
        if kind not in self.on:
            return False
        if kind not in _OF_ENTRIES:
            return True
        return (
            matches(self.predicate, predicate)
            and (self.subject == _ANY or any(matches(self.subject, one) for one in subjects))
            and (self.issuer == _ANY or any(matches(self.issuer, one) for one in issuers))
        )


def read_rules(path: Path) -> tuple[Rule, ...]:
    """Read a file of watch rules.

    Raises:
        FormatError: it is none; names the line.
        UnavailableError: it cannot be read.
    """
    return parse_toml(read_file(path, MAX_TOML_BYTES), str(path)).read(_read_rules)


def _read_rules(table: Table) -> tuple[Rule, ...]:
    table.only("rule")
    rules = table.each("rule", _read_rule)
    if not 1 <= len(rules) <= MAX_RULES:
        raise FormatError(
            f"these are {len(rules)} watch rules", hint=f"There are 1 to {MAX_RULES} [[rule]]."
        )
    check_distinct([rule.name for rule in rules], "rule")
    return rules


def _read_rule(table: Table) -> Rule:
    table.only("name", "on", "predicate", "subject", "issuer", "webhook", "command")
    return Rule(
        table.text("name"),
        table.texts("on") if "on" in table.values else (ENTRY,),
        table.text("predicate", _ANY),
        table.text("subject", _ANY),
        table.text("issuer", _ANY),
        table.text("webhook", ""),
        table.texts("command"),
    )


def _check_webhook(url: str) -> None:
    Peer(url, what="webhook").close()
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise FormatError(
            f"the webhook at {parts.hostname} is on another machine, and not encrypted",
            hint="Use https://; http:// is for this machine alone.",
        )
