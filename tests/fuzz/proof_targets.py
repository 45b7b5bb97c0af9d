"""Targets where parts meet: evidence, letters, judgements, and whoever is asked to verify.

Parsers first. The flows read what is known to be read well one by one, and go on with it: they
check signatures, write letters and judge models, a thousand times slower than a text is read.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import cache
from typing import Any

from counterfoil.chain.anchoring import cost_of, size_of
from counterfoil.core.canonical import format_json, parse_json
from counterfoil.core.judgement import evaluate_data, evaluate_stage
from counterfoil.core.policy import TrustPolicy, parse_policy
from counterfoil.core.retention import DEFAULT_RETENTION
from counterfoil.core.statement import Subject, format_statement, parse_statement
from counterfoil.core.succession import policy_history, policy_of, policy_statement
from counterfoil.core.testimony import hear, short_predicate, stated_types
from counterfoil.core.text import parse_base64
from counterfoil.errors import FormatError
from counterfoil.evidence.anchor import check_anchor
from counterfoil.evidence.anything import verify
from counterfoil.evidence.clearance import check_model
from counterfoil.evidence.logged import Logged, common_checkpoint, read_logged
from counterfoil.evidence.logs import read_logs
from counterfoil.evidence.page import check_page, format_page, parse_page
from counterfoil.evidence.shards import data_digests
from counterfoil.evidence.stamp import check_stamps
from counterfoil.evidence.verdict import Verdict
from counterfoil.evidence.verify import verify_evidence
from counterfoil.ledger.stamporder import sort_certificates
from counterfoil.ledger.timestamps import check_timestamp
from counterfoil.vault.seal import format_row, parse_row
from fuzz import letters, seeds
from fuzz.letters import evidence, facts, judge
from fuzz.seeds import NOW, envelope, policy
from fuzz.targets import Target

MODEL = Subject("credit", {"sha256": letters.DIGEST})


@cache
def page() -> bytes:
    """The letter as a person gets it."""
    return format_page(evidence(), facts())


@cache
def logged() -> tuple[Logged, ...]:
    """The letter's statements, checked."""
    return tuple(read_logged(evidence(), read_logs(evidence(), judge()), judge()))


def tell(verdict: Verdict) -> None:
    """Write a verdict as people and programs get it."""
    assert str(verdict)
    json.dumps(verdict.as_dict(), allow_nan=False).encode()


def take_evidence(data: bytes) -> None:
    tell(verify_evidence(data, None, now=NOW))


def take_evidence_with_policy(data: bytes) -> None:
    tell(verify_evidence(data, judge(), now=NOW))


def take_anything(data: bytes) -> None:
    entry = seeds.entries()[0] if data.startswith(b"c2sp.org/tlog-proof@") else None
    tell(verify(data, trust=judge(), entry=entry))


def take_page(data: bytes) -> None:
    parse_page(data)


def take_checked_page(data: bytes) -> None:
    """A page, held against what it has to show."""
    parse_page(data)
    check_page(data, evidence(), facts())


def take_facts(data: bytes) -> None:
    """Whatever a record says becomes a page that verifies, or none."""
    said = parse_json(data, max_depth=16)
    if not isinstance(said, dict):
        raise FormatError("no object")
    written = format_page(evidence(), said)
    assert format_json(parse_page(written)) == format_json(evidence())
    check_page(written, evidence(), said)


def take_model(data: bytes) -> None:
    """What a record says about the model that decided, judged."""
    said = parse_json(data, max_depth=16)
    if not isinstance(said, dict):
        raise FormatError("no object")
    check_model(said, logged(), 6, policy_history(judge(), []))
    for rule in DEFAULT_RETENTION:
        rule.hold(said)


def take_judged(data: bytes) -> None:
    """A statement by somebody who may say anything, in front of a gate."""
    statement = parse_statement(data)
    signed = envelope(data, "risk-a", "risk-b")
    history = policy_history(judge(), [(3, signed)])
    heard = [hear(history.at(9), signed, at) for at in (4, 5)]
    heard += [hear(judge(), one.envelope, one.index) for one in logged()]
    for subject in (*statement.subjects[:2], MODEL):
        evaluate_stage(judge(), "production", subject, heard, model_format="skops", now=NOW)
        evaluate_data(judge(), "credit-scoring", subject, heard, now=NOW)
    role = short_predicate(statement.predicate_type)
    more = replace(logged()[0], role=role, index=4, envelope=signed, statement=statement)
    check_model(facts(), (*logged(), more), 6, history)


def take_said(data: bytes) -> None:
    """What our own code reads out of statements that others may have made."""
    statement = parse_statement(data)
    said = statement.predicate
    size_of(said), cost_of(said), stated_types(statement), data_digests(said.get("trained_on"))
    short_predicate(statement.predicate_type)
    if "policy" in said:
        policy_of(statement)


def take_anchor(data: bytes) -> None:
    check_anchor(parse_json(data), common_checkpoint(logged()), judge(), None)


STAMPED_NOW = 1_830_000_000  # when the last certificates of the stamped evidence are still valid


@cache
def stamped() -> tuple[dict[str, Any], tuple[Logged, ...], TrustPolicy]:
    """Evidence with a time-stamp that was renewed, its statements, and the policy for it."""
    policy = parse_policy(seeds.stamped("trust.toml"))
    found = parse_json(seeds.stamped("renewed.json"))
    assert isinstance(found, dict)
    return found, tuple(read_logged(found, read_logs(found, policy), policy)), policy


def take_stamps(data: bytes) -> None:
    """Time-stamps of an evidence file."""
    _, statements, policy = stamped()
    checkpoint = common_checkpoint(statements)
    found = check_stamps(parse_json(data), checkpoint, policy.log.keys, policy, STAMPED_NOW)
    assert all(one.proved or one.not_checked for one in found)


def take_timestamp(data: bytes) -> None:
    """The answer of an authority."""
    found, _, policy = stamped()
    (authority,) = policy.authorities
    ordered = sort_certificates(data)
    assert sort_certificates(ordered) == ordered
    check_timestamp(ordered, found["stamps"][0]["note"].encode(), authority)


def timestamp() -> bytes:
    """What the authority answered about the first checkpoint."""
    found, _, _ = stamped()
    return parse_base64(found["stamps"][0]["response"], "time-stamp")


def inaccurate_timestamp() -> bytes:
    """An answer that also says how accurate its time is, by an authority that nobody pins."""
    sys.path.append(str(seeds.ROOT / "tests" / "stamps"))
    from authorities import SHA256, Authority, der, integer, oid  # noqa: PLC0415

    imprint = der(0x30, der(0x30, oid(SHA256)), der(0x04, bytes(32)))
    return Authority("Inaccurate", accuracy_s=1).stamp(der(0x30, integer(1), imprint))


def take_stamped_evidence(data: bytes) -> None:
    """An evidence file of version 3, whole."""
    tell(verify_evidence(data, stamped()[2], now=STAMPED_NOW))


@cache
def sharded() -> tuple[dict[str, Any], TrustPolicy]:
    """Evidence of three shards, and the policy of the newest."""
    found = parse_json(seeds.sharded("decision.json"))
    assert isinstance(found, dict)
    return found, parse_policy(seeds.sharded("trust.toml"))


def take_shards(data: bytes) -> None:
    """What ties the shards of an evidence file together."""
    found, policy = sharded()
    logs = read_logs({**found, "shards": parse_json(data)}, policy)
    assert logs.own in logs.shards
    assert logs.newest.keys == policy.log.keys


def take_sharded_evidence(data: bytes) -> None:
    """An evidence file of version 4, whole."""
    tell(verify_evidence(data, sharded()[1], now=NOW))


def take_row(data: bytes) -> None:
    subject, disclosures = parse_row(data)
    assert format_row(subject, disclosures) == data


TARGETS = (
    Target("page", take_page, lambda: (page(),), covers=(parse_page,), tries=100),
    Target("anchor", take_anchor, lambda: (format_json(evidence()["anchor"]),), "json"),
    Target("stamps", take_stamps, lambda: [format_json(stamped()[0]["stamps"])], "json", tries=400),
    Target("shards", take_shards, lambda: [format_json(sharded()[0]["shards"])], "json", tries=400),
    Target(
        "timestamp",
        take_timestamp,
        lambda: [timestamp()],
        more=lambda: [inaccurate_timestamp()],
    ),
    Target("row", take_row, lambda: (b"A-1043\nWyJh~WyJi", b"\nWyJh"), covers=(parse_row,)),
    Target(
        "said",
        take_said,
        lambda: (
            *seeds.STATEMENTS,
            seeds.statement("anchor", {"size": 7, "gas": 21_000, "price_wei": "7"}),
            seeds.statement("training", {"trained_on": [{"name": "a", "digest": "00" * 32}]}),
            format_statement(policy_statement(policy())),
        ),
        "json",
    ),
    Target(
        "model-of-record",
        take_model,
        lambda: (format_json(facts()),),
        "json",
        tries=200,
        flow=True,
    ),
    Target(
        "judgement",
        take_judged,
        lambda: (
            *seeds.STATEMENTS[1:3],
            *seeds.STATEMENTS[4:],
            format_statement(policy_statement(policy())),
        ),
        "json",
        more=lambda: (seeds.STATEMENTS[0], seeds.STATEMENTS[3]),
        tries=200,
        flow=True,
    ),
    Target("checked-page", take_checked_page, lambda: (page(),), tries=100, flow=True),
    Target(
        "facts",
        take_facts,
        lambda: (format_json(facts()), b'{"kind":"pad"}', b'{"output":0.8125,"kind":"decision"}'),
        "json",
        tries=100,
        flow=True,
    ),
    Target(
        "verify",
        take_anything,
        lambda: (format_json(evidence()), page(), seeds.receipts()[0]),
        "json",
        tries=100,
        flow=True,
    ),
    Target(
        "evidence",
        take_evidence,
        lambda: (format_json(evidence()), page()),
        "json",
        more=lambda: [seeds.stamped("renewed.json")],
        tries=100,
        flow=True,
    ),
    Target(
        "trusted-evidence",
        take_evidence_with_policy,
        lambda: (format_json(evidence()), page()),
        "json",
        more=lambda: [seeds.letter(name) for name in ("prediction.json", "prediction.html")],
        tries=100,
        flow=True,
    ),
    Target(
        "stamped-evidence",
        take_stamped_evidence,
        lambda: [seeds.stamped("renewed.json")],
        "json",
        tries=100,
        flow=True,
    ),
    Target(
        "sharded-evidence",
        take_sharded_evidence,
        lambda: [seeds.sharded("decision.json")],
        "json",
        tries=100,
        flow=True,
    ),
)
