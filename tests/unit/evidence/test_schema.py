from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "evidence"
SHARDED = ROOT / "tests" / "golden" / "sharded"
SCHEMA = json.loads((ROOT / "docs" / "reference" / "evidence.schema.json").read_bytes())


@pytest.fixture
def evidence():
    return json.loads((GOLDEN / "letter.json").read_bytes())


@pytest.fixture
def sharded():
    return json.loads((SHARDED / "decision.json").read_bytes())


def holds(value):
    return Draft202012Validator(SCHEMA).is_valid(value)


def test_the_schema_is_one():
    """The published schema is valid JSON Schema."""
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", ["letter", "prediction"])
def test_golden_evidence_fits_the_schema(name):
    """Evidence as we write it fits the schema that we publish."""
    Draft202012Validator(SCHEMA).validate(json.loads((GOLDEN / f"{name}.json").read_bytes()))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("counterfoil",), "evidence/v2"),
        (("counterfoil",), "evidence/v3"),
        (("counterfoil",), "evidence/v4"),
        (("shards",), []),
        (("newest",), {}),
        (("statements", 0, "log"), "elsewhere"),
        (("anchor",), {"size": 1, "root": "A" * 43 + "=", "consistency": [], "proof": {}}),
        (("kind",), "prophecy"),
        (("policy",), "AB" * 32),
        (("log", "key"), "not a key"),
        (("record", "index"), -1),
        (("record", "index"), 1.5),
        (("record", "size"), 0),
        (("record", "root"), "AAAA"),
        (("record", "path"), ["A" * 43 + "B"]),
        (("disclosures", 0), "a+b/"),
        (("statements", 0, "receipt"), "a receipt"),
        (("statements", 0, "role"), "stream"),
        (("statements",), []),
    ],
)
def test_what_we_never_write_does_not_fit(evidence, path, value):
    """A value of another form, or a second stream, does not fit the schema."""
    assert holds(evidence)
    *parents, last = path
    inner = evidence
    for step in parents:
        inner = inner[step]
    inner[last] = value
    assert not holds(evidence)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("counterfoil",), "evidence/v3"),
        (("newest",), {"origin": "a", "key": "not a key", "earlier": []}),
        (("shards",), []),
        (("shards", 0, "takeover"), {}),
        (("shards", 0, "handover", "receipt"), "a receipt"),
        (("statements", 0, "log"), ""),
    ],
)
def test_shards_are_of_one_form(sharded, path, value):
    """Evidence of several shards fits the schema, whole and in no other version."""
    assert holds(sharded)
    assert any("log" in one for one in sharded["statements"])
    for part in ("newest", "shards"):
        assert not holds({name: sharded[name] for name in sharded if name != part})
    *parents, last = path
    inner = sharded
    for step in parents:
        inner = inner[step]
    inner[last] = value
    assert not holds(sharded)


@pytest.mark.parametrize("part", sorted(SCHEMA["required"]))
def test_every_member_is_needed_and_no_other_known(evidence, part):
    """Evidence has all members of the schema and no others."""
    assert not holds({**evidence, "other": 1})
    del evidence[part]
    assert not holds(evidence)
