from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from counterfoil.core import batch, declaration, keys, merkle, ticket
from counterfoil.core.predicates import PREDICATES
from counterfoil.core.statement import Statement, Subject, format_statement, parse_statement

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "statements.md").read_text("utf-8")
SCHEMAS = files("counterfoil.core")
every_predicate = pytest.mark.parametrize("predicate", PREDICATES.values(), ids=list(PREDICATES))


def schema(predicate):
    return json.loads((SCHEMAS / predicate.schema).read_text("utf-8"))


@every_predicate
def test_every_predicate_has_a_valid_schema(predicate):
    """Its id is the predicate's type, it leaves nothing open, and explains each member."""
    found = schema(predicate)
    Draft202012Validator.check_schema(found)
    assert (found["$id"], found["title"]) == (predicate.type, predicate.name)
    assert found["additionalProperties"] is False
    assert all("description" in member for member in found["properties"].values())
    assert set(found["required"]) <= set(found["properties"])


@every_predicate
def test_every_schema_accepts_its_example_and_little_else(predicate):
    """The example is a statement we can write; without any required member it is refused."""
    found = schema(predicate)
    validator = Draft202012Validator(found)
    (example,) = found["examples"]
    validator.validate(example)
    statement = Statement((Subject("credit", {"sha256": "ab" * 32}),), predicate.type, example)
    assert parse_statement(format_statement(statement)) == statement
    with pytest.raises(ValidationError):
        validator.validate(example | {"surprise": 1})
    for name in found["required"]:
        with pytest.raises(ValidationError):
            validator.validate({key: value for key, value in example.items() if key != name})


@every_predicate
def test_every_predicate_is_documented(predicate):
    """It has a row in the table, and a section that names each of its members."""
    row = (
        rf"^\| \[`{predicate.name}`\]\(#{predicate.name}\) \| {re.escape(predicate.says)} "
        rf"\| {re.escape(predicate.subject)} \| {re.escape(predicate.issuer)} \|$"
    )
    assert re.search(row, PAGE, re.MULTILINE)
    section = re.search(rf"^### {predicate.name}\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert section, f"statements.md has no section on {predicate.name}"
    missing = [name for name in schema(predicate)["properties"] if f"`{name}`" not in section[1]]
    assert not missing


def test_there_is_no_schema_without_its_predicate():
    """A schema nobody names would never be used."""
    names = {entry.name for entry in (SCHEMAS / "schemas").iterdir()}
    assert names == {f"{name}.json" for name in PREDICATES}


def test_what_we_write_about_streams_fits_its_schema():
    """Stream, batch and ticket statements are what their schemas say."""
    key = keys.VerifierKey("tickets", keys.Algorithm.ED25519, bytes(32))
    stream = declaration.StreamDeclaration(
        log="log.example",
        system="credit",
        nonce=bytes(32),
        fields=("kind", "output"),
        max_delay_s=60,
        cadence_s=10,
        ticket_keys=(key,),
        replaces=declaration.Replaced(merkle.EMPTY_ROOT, 3, merkle.EMPTY_ROOT),
    )
    empty, leaf = merkle.EMPTY_ROOT, merkle.leaf_hash(b"")
    step = batch.Batch(stream.stream_id, "log.example", 1, leaf, 3, empty, (leaf, leaf), 10)
    promise = ticket.Ticket(stream.stream_id, 2, leaf, 10)
    for value in (stream, step, promise):
        name = value.statement.predicate_type.split(":")[3]
        Draft202012Validator(schema(PREDICATES[name])).validate(dict(value.statement.predicate))
