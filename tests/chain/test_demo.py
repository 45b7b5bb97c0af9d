"""The demonstration where there is a chain."""

from __future__ import annotations

import json

import pytest

from counterfoil.demo import run_demo

pytest.importorskip("interpret.glassbox")


def test_the_demonstration_anchors_where_there_is_a_chain(anvil, tmp_path, capsys):
    """The log is anchored, one more attack is caught, and what it does not prove is said."""
    assert anvil
    assert run_demo(tmp_path / "demo", as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["anchored"]["size"] > 0
    assert "the contract on the chain" in {one["by"] for one in told["attacks"]}
    assert len(told["attacks"]) == 11
    assert told["verdict"]["grade"] == "self-witnessed"
    assert any("anchor: unauthenticated" in one for one in told["verdict"]["not_checked"])
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "anything against whoever runs the chain" in page


def test_without_a_chain_it_says_that_nothing_is_anchored(tmp_path, monkeypatch, capsys):
    """No chain is no reason to fail, and is not passed over."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("COUNTERFOIL_ANVIL", raising=False)
    assert run_demo(tmp_path / "demo", as_json=True) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["anchored"] is None
    assert "nothing is anchored" in " ".join(told.err.split())
    assert "Nothing is anchored" in (tmp_path / "demo" / "report.html").read_text()
