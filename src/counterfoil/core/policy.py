"""The trust policy: which log, which witnesses, who may say what, and what must have been said.

A verifier brings its own policy; one that arrives inside evidence is a claim like any other.
People write it as trust.toml; its digest covers the canonical JSON form, so comments and layout
are free. This module holds, reads and writes it; see

    quorum       for counting witnesses
    testimony    for who made a statement, and whether they may
    judgement    for what stages and data need
    succession   for the policy that follows
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from counterfoil.core.anchoring import ChainRules
from counterfoil.core.authority import MAX_AUTHORITIES, Authority, format_authority
from counterfoil.core.canonical import JsonValue, format_json
from counterfoil.core.instant import parse_instant
from counterfoil.core.keys import VerifierKey
from counterfoil.core.principals import Principal, check_distinct, check_text
from counterfoil.core.quorum import LogIdentity, Witness
from counterfoil.core.requirements import DataRules, Requirement, Stage, check_threshold
from counterfoil.core.retention import RetentionRule
from counterfoil.core.text import parse_hex, shown
from counterfoil.core.toml import Table, format_key, format_value, parse_toml
from counterfoil.errors import FormatError


@dataclass(frozen=True, slots=True)
class Succession:
    """Who may replace the policy, and how many of them it takes."""

    threshold: int
    among: tuple[str, ...]

    def __post_init__(self) -> None:
        check_threshold(self.threshold, self.among, "[policy]")

    @classmethod
    def from_table(cls, table: Table) -> Succession:
        """Read `[policy]`."""
        table.only("threshold", "from")
        return cls(table.integer("threshold"), table.texts("from"))

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads."""
        return {"threshold": self.threshold, "from": list(self.among)}


MAX_PREDECESSORS = 256
"""Policies that one names as those before it: 30 KiB of the 48 that its statement may have."""


@dataclass(frozen=True, slots=True)
class Predecessor:
    """A policy before this one, and how far it reaches.

    Args:
        digest: SHA-256 of it, in hex.
        until_index: Entries of the log below this, and not below that of the policy before it,
            are judged by it.
    """

    digest: str
    until_index: int

    def __post_init__(self) -> None:
        parse_hex(self.digest, "digest of a predecessor", size=32)

    @classmethod
    def from_table(cls, table: Table) -> Predecessor:
        """Read one `[[predecessor]]`."""
        table.only("digest", "until_index")
        return cls(table.text("digest"), table.integer("until_index"))

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads."""
        return {"digest": self.digest, "until_index": self.until_index}


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """A whole policy; one that could not work cannot be made.

    Args:
        name: For people.
        version: 1, then one more with each successor.
        expires: UTC; from then on nothing passes (`2027-11-22T00:00:00Z`).
        previous: Digest of the policy that this one follows, in hex; empty in version 1.
        log: The log it is about.
        witnesses: Who watches the log.
        quorum: How many witnesses must have cosigned a checkpoint, 0 up to all.
        principals: Who may say what.
        stages: What a model needs, sorted by stage.
        data: What a data set needs; `None` clears nothing.
        succession: Who may replace the policy; `None` means nobody.
        chain: Where anchors of the log count; `None` means nowhere.
        retention: What must be kept, and how long; `None` says nothing, which keeps what
            `DEFAULT_RETENTION` keeps, and an empty one keeps nothing.
        predecessors: The policies before this one that judge what is older, oldest first.
        authorities: Whose time-stamps count.
    """

    name: str
    version: int
    expires: str
    log: LogIdentity
    previous: str = ""
    witnesses: tuple[Witness, ...] = ()
    quorum: int = 0
    principals: tuple[Principal, ...] = ()
    stages: tuple[Stage, ...] = ()
    data: DataRules | None = None
    succession: Succession | None = None
    chain: ChainRules | None = None
    retention: tuple[RetentionRule, ...] | None = None
    predecessors: tuple[Predecessor, ...] = ()
    authorities: tuple[Authority, ...] = ()

    def __post_init__(self) -> None:
        check_text(self.name, "name of the policy")
        parse_instant(self.expires, "expires")
        if self.previous:
            parse_hex(self.previous, "previous", size=32)
        if self.version < 1 or (self.version == 1) != (not self.previous):
            raise FormatError(
                f"version {self.version} and previous {shown(self.previous)} do not fit",
                hint="Version 1 follows nothing; every later one names what it follows.",
            )
        self._check_predecessors()
        self._check_witnesses()
        self._check_principals()
        check_distinct([one.name for one in self.authorities], "authority")
        if len(self.authorities) > MAX_AUTHORITIES:
            raise FormatError(
                f"{len(self.authorities)} authorities, {MAX_AUTHORITIES} at most",
                hint="Name those whose time-stamps matter.",
            )
        object.__setattr__(self, "stages", tuple(sorted(self.stages, key=lambda one: one.name)))
        check_distinct([stage.name for stage in self.stages], "stage")

    def _check_predecessors(self) -> None:
        check_distinct([one.digest for one in self.predecessors], "predecessor")
        ends = [one.until_index for one in self.predecessors]
        if ends != sorted(set(ends)) or len(ends) > min(self.version - 1, MAX_PREDECESSORS):
            raise FormatError(
                f"version {self.version} cannot follow these {len(ends)} predecessors",
                hint=f"Oldest first, each ends later than the one before; at most "
                f"{MAX_PREDECESSORS}. `counterfoil policy adopt` writes them.",
            )

    def _check_witnesses(self) -> None:
        check_distinct([witness.name for witness in self.witnesses], "witness")
        holders = {key.public: "the log itself" for key in self.log.keys.all}
        for witness in self.witnesses:
            for key in witness.keys:
                _claim(holders, key, f"witness {witness.name}")
        # Different keys of one label would make a cosignature of the one a false one of the other.
        check_distinct([key.label for key in self.witness_keys], "key label of a witness")
        anchors = [witness.anchor.address for witness in self.witnesses if witness.anchor]
        check_distinct(anchors, "anchor key")
        if self.chain is not None and self.chain.threshold > len(anchors):
            raise FormatError(
                f"{self.chain.threshold} members must sign an anchor and {len(anchors)} witnesses "
                "have an anchor key",
                hint="Add `anchor = …` to the witnesses that sign anchors.",
            )
        if not 0 <= self.quorum <= len(self.witnesses):
            raise FormatError(
                f"quorum {self.quorum} with {len(self.witnesses)} witnesses",
                hint="The quorum is 0 up to the number of witnesses.",
            )

    def _check_principals(self) -> None:
        check_distinct([principal.name for principal in self.principals], "principal")
        holders: dict[bytes, str] = {}
        for principal in self.principals:
            for key in principal.keys:
                _claim(holders, key, f"principal {principal.name}")
        # Different keys of one label would make a signature of the one a false one of the other.
        check_distinct([key.label for key in self.keys], "key label")
        known = {principal.name for principal in self.principals}
        for place, among in self._lists_of_principals():
            for name in among:
                if name not in known:
                    raise FormatError(
                        f"{place} names {shown(name)}, which is no principal here",
                        hint=f"Principals are: {', '.join(sorted(known)) or 'none yet'}.",
                    )

    def _lists_of_principals(self) -> list[tuple[str, tuple[str, ...]]]:
        lists = [
            (f"stage {stage.name}, {one.predicate}", one.among)
            for stage in self.stages
            for one in stage.requirements
        ]
        if self.data is not None:
            lists += [(f"data, {one.predicate}", one.among) for one in self.data.requirements]
            lists += [("data, consent_from", self.data.consent_from)]
        if self.succession is not None:
            lists += [("[policy]", self.succession.among)]
        return lists

    def followed_by(self, **changes: Any) -> TrustPolicy:
        """Draft the policy that follows this one, with some fields changed."""
        return replace(self, version=self.version + 1, previous=self.digest.hex(), **changes)

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """Keys of all principals: whose signatures on statements mean anything."""
        return tuple(key for principal in self.principals for key in principal.keys)

    @property
    def witness_keys(self) -> tuple[VerifierKey, ...]:
        """Keys of all witnesses: whose cosignatures mean anything."""
        return tuple(key for witness in self.witnesses for key in witness.keys)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON form, 32 bytes: what evidence calls the policy."""
        return hashlib.sha256(format_json(policy_to_json(self))).digest()


def _claim(holders: dict[bytes, str], key: VerifierKey, holder: str) -> None:
    """Give the key's bytes to one holder: under two names one key would be two voices."""
    if key.public in holders:
        raise FormatError(
            f"{holder} has the key of {holders[key.public]}",
            hint="A key belongs to one holder and stands there once; make another one.",
        )
    holders[key.public] = holder


def policy_to_json(policy: TrustPolicy) -> dict[str, JsonValue]:
    """Return the tree of trust.toml with every default written out.

    `policy_from_json` is the inverse; the digest of a policy covers this form.
    """
    form: dict[str, JsonValue] = {
        "version": policy.version,
        "name": policy.name,
        "expires": policy.expires,
        "previous": policy.previous,
        "log": policy.log.to_json(),
        "witnesses": {"quorum": policy.quorum},
        "witness": [one.to_json() for one in policy.witnesses],
        "principal": [one.to_json() for one in policy.principals],
        "stage": {one.name: one.to_json() for one in policy.stages},
    }
    if policy.succession is not None:
        form["policy"] = policy.succession.to_json()
    if policy.data is not None:
        form["data"] = policy.data.to_json()
    if policy.chain is not None:
        form["chain"] = policy.chain.to_json()
    if policy.retention is not None:
        form["retention"] = [one.to_json() for one in policy.retention]
    if policy.predecessors:
        form["predecessor"] = [one.to_json() for one in policy.predecessors]
    if policy.authorities:
        form["authority"] = [one.to_json() for one in policy.authorities]
    return form


def policy_from_json(value: JsonValue) -> TrustPolicy:
    """Read the JSON form; `policy_to_json` of the result is `value`.

    Raises:
        FormatError: Anything else, a form with defaults left out included.
    """
    if not isinstance(value, dict):
        raise FormatError("a policy is an object", hint="This is other JSON.")
    policy = Table(value, "policy").read(_read_policy)
    if policy_to_json(policy) != value:
        raise FormatError(
            "this policy leaves defaults out, or lists things in another order",
            hint="Make the JSON form from a trust.toml, not by hand.",
        )
    return policy


def parse_policy(data: str | bytes, what: str = "trust.toml") -> TrustPolicy:
    """Read trust.toml.

    Args:
        data: The file's text.
        what: Its name, for messages.

    Raises:
        FormatError: Not TOML; an unknown or missing key, with the nearest known one and the line;
            a key with two holders; a quorum or threshold that cannot be met.
    """
    return parse_toml(data, what).read(_read_policy)


def _read_policy(table: Table) -> TrustPolicy:
    table.only(
        "version", "name", "expires", "previous",
        "log", "witnesses", "witness", "principal", "policy", "stage", "data",
        "chain", "retention", "predecessor", "authority",
    )  # fmt: skip
    return TrustPolicy(
        name=table.text("name"),
        version=table.integer("version"),
        expires=table.text("expires"),
        previous=table.text("previous", ""),
        log=table.inner("log", LogIdentity.from_table),
        quorum=table.optional("witnesses", _read_quorum, 0),
        witnesses=table.each("witness", Witness.from_table),
        principals=table.each("principal", Principal.from_table),
        succession=table.optional("policy", Succession.from_table, None),
        stages=table.optional("stage", _read_stages, ()),
        data=table.optional("data", DataRules.from_table, None),
        chain=table.optional("chain", ChainRules.from_table, None),
        retention=table.each("retention", RetentionRule.from_table)
        if "retention" in table.values
        else None,
        predecessors=table.each("predecessor", Predecessor.from_table),
        authorities=table.each("authority", Authority.from_table),
    )


def _read_quorum(table: Table) -> int:
    table.only("quorum")
    return table.integer("quorum", 0)


def _read_stages(table: Table) -> tuple[Stage, ...]:
    return tuple(table.inner(name, partial(Stage.from_table, name)) for name in table.values)


def format_policy(policy: TrustPolicy) -> str:
    """Write trust.toml with a comment on every part; `parse_policy` is the inverse."""
    form = policy_to_json(policy)
    head = ["version", "name", "expires", "previous"]
    if policy.retention == ():
        head.append("retention")  # a table of tables cannot say that there is none
    parts = [_HEAD, _pairs({key: form[key] for key in head})]
    parts += [_LOG, "[log]", _pairs(policy.log.to_json())]
    parts += [_WITNESSES, "[witnesses]", _pairs({"quorum": policy.quorum})]
    for witness in policy.witnesses:
        parts += ["", format_witness(witness)]
    parts += [_PRINCIPALS, *_tables("principal", map(_without_empty, policy.principals))]
    parts += [_SUCCESSION]
    if policy.succession is not None:
        parts += ["", "[policy]", _pairs(policy.succession.to_json())]
    parts += [_STAGES]
    for stage in policy.stages:
        title = f"stage.{format_key(stage.name)}"
        parts += ["", f"[{title}]", *_rules(title, stage.to_json(), stage.requirements)]
    parts += [_DATA]
    if policy.data is not None:
        parts += ["", "[data]", *_rules("data", policy.data.to_json(), policy.data.requirements)]
    if policy.chain is not None:
        parts += [_CHAIN, "", "[chain]", _pairs(policy.chain.to_json())]
    parts += [_RETENTION, *_tables("retention", map(RetentionRule.to_json, policy.retention or ()))]
    if policy.authorities:
        parts += [_AUTHORITIES]
        for authority in policy.authorities:
            parts += ["", format_authority(authority)]
    if policy.predecessors:
        forms = map(Predecessor.to_json, policy.predecessors)
        parts += [_PREDECESSORS, *_tables("predecessor", forms)]
    return "\n".join(parts).strip("\n") + "\n"


def format_witness(witness: Witness) -> str:
    """Write one `[[witness]]`, to be put into a trust.toml."""
    form = witness.to_json()
    form.pop("anchor", None)
    parts = ["[[witness]]", _pairs(form)]
    if witness.anchor is not None:
        parts += ["", "[witness.anchor]", _pairs(witness.anchor.to_json())]
    return "\n".join(parts)


def _tables(title: str, forms: Iterable[Mapping[str, JsonValue]]) -> list[str]:
    return [part for form in forms for part in ("", f"[[{title}]]", _pairs(form))]


def _without_empty(principal: Principal) -> dict[str, JsonValue]:
    form = principal.to_json()
    if not principal.compromised:
        del form["compromised"]  # the comment above shows how it is written
    return form


def _rules(
    title: str, form: dict[str, JsonValue], requirements: tuple[Requirement, ...]
) -> list[str]:
    parts = [_pairs({key: value for key, value in form.items() if key != "require"})]
    for requirement in requirements:
        scalars: dict[str, JsonValue] = {
            "predicate": requirement.predicate,
            "threshold": requirement.threshold,
            "from": list(requirement.among),
        }
        parts += ["", f"[[{title}.require]]", _pairs(scalars)]
        for name, bounds in (("at_least", requirement.at_least), ("at_most", requirement.at_most)):
            parts += [f"{name}.{format_key(metric)} = {format_value(at)}" for metric, at in bounds]
    return parts


def _pairs(table: Mapping[str, JsonValue]) -> str:
    return "\n".join(f"{format_key(key)} = {format_value(table[key])}" for key in table)


_HEAD = """\
# Who may say what about your data and models, and what must have been said before they are used.
# docs/reference/trust-policy.md explains every key. Whoever verifies brings this file along;
# a policy that comes with the evidence proves nothing.
"""
_LOG = """
# The log this is about. A checkpoint counts if this key signed it."""
_WITNESSES = """
# Who watches that the log only grows, and how many of them must have cosigned a checkpoint.
# Witnesses of the log's own operator count, and never make a verdict better than self-witnessed."""
_PRINCIPALS = """
# Who speaks. A principal is a role, and one voice however many keys it has; signatures of all its
# `algorithms` must be there. What it `may` say: * stands for any characters, nothing listed
# allows nothing. A stolen key stays in `keys` and is void from an index on:
# compromised = [{ key = "name+keyid", from_index = 1234 }]"""
_SUCCESSION = """
# Who may replace this policy. The next one needs the thresholds of both, the old and the new."""
_STAGES = """
# What a model needs at each stage. mode = "observe" notes what would be refused, "warn" says so,
# "enforce" refuses. Thresholds count principals. No requirement, or no format, lets nothing in."""
_DATA = """
# What a data set needs before it is used, and what for. Data count as personal unless every
# `dataset` statement that is counted says personal = false."""
_CHAIN = """
# The chain and the contract in which the log's checkpoints are anchored. A chain that only the
# log's operator runs lifts no verdict. Offline a block counts if validators sealed it or it is
# pinned here."""
_AUTHORITIES = """
# Who says when the log was how it is (RFC 3161). A time-stamp counts if its certificates lead to
# `root`. Authorities of the log's own operator lift no verdict."""
_RETENTION = """
# What must be kept, and how long, although a person asks for its erasure. Where nothing stands
# here: every decision for 25 months (Regulation B, 12 CFR 1002.12), whatever your law is. To keep
# nothing by rule, write `retention = []` above [log]."""
_PREDECESSORS = """
# The policies before this one, oldest first: entries of the log below `until_index` are judged by
# them. `counterfoil policy adopt` writes this."""
