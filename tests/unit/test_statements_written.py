from __future__ import annotations

import json
from importlib import resources

import jsonschema
import pytest

import counterfoil as cf
from counterfoil.core.predicates import PREDICATES
from counterfoil.core.testimony import short_predicate


def answer(rows):
    return ["yes" for _ in rows]


@pytest.fixture
def ledger(tmp_path):
    """A ledger in which everything was said once that our own code says."""
    with cf.init(tmp_path / "ledger") as ledger:
        data = ledger.data.add([{"a": 1, "b": None}, {"a": 2, "b": "x"}], name="rows")
        ledger.data.clear("rows")
        model = ledger.models.add(answer, name="model", trained_on=data)
        model.decide([[1]], tickets=True)
        thing = {"name": "rows", "digest": data.digest}
        ledger.models.attest_evaluation(
            model, {"data": thing, "metrics": {"auc": "0.8"}, "groups": [], "calibration": []}
        )
        ledger.models.approve("model", by=("operator",), expires="2099-01-01T00:00:00Z")
        ledger.models.promote("model")
        ledger.models.load("model", predictor=answer)
        ledger.models.revoke("model", "it was a test")
        ledger.policy.enforce("production")
        yield ledger


def test_every_statement_we_write_has_the_form_we_publish(ledger):
    """Whatever the ledger states validates against the JSON Schema of its predicate."""
    said = set()
    for found in ledger.find():
        name = short_predicate(found.statement.predicate_type)
        text = resources.files("counterfoil.core").joinpath(PREDICATES[name].schema).read_text()
        jsonschema.validate(dict(found.statement.predicate), json.loads(text))
        said.add(name)
    # Training is the caller's own statement, consent and tickets do not go into the log by us, and
    # an anchor takes a chain, a time-stamp an authority, and a shard a second log.
    elsewhere = {"training", "consent", "ticket", "anchor", "timestamp", "handover", "takeover"}
    assert said == set(PREDICATES) - elsewhere
