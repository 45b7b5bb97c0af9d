from __future__ import annotations

import pytest

import counterfoil as cf


def answer(rows):
    return ["yes" for _ in rows]


def test_served_decisions_become_evidence(tmp_path):
    """What a server recorded is durable, in the log after publishing, and verifies."""
    with cf.init(tmp_path / "ledger") as ledger:
        model = ledger.models.add(answer, name="served")
        with ledger.decisions.serve(model) as serving:
            handles = [
                serving.record({"x": i}, "yes", 0.5, data_subject=f"person {i % 3}")
                for i in range(50)
            ]
            assert [handle.wait(30) for handle in handles] == list(range(50))
            batch = serving.publish()
            assert batch is not None
            assert batch.size == 50
            shown = ledger.decisions.show("served", 7)
            assert shown.values["inputs"] == {"x": 7}
            assert cf.verify(shown.evidence()).trusted
            serving.record({"x": 50}, "no")
            with pytest.raises(cf.ConflictError):
                model.decide([[1]])
        # Closing published the rest, and let the next writer in.
        assert len(ledger.decisions.list("served")) == 51
        assert ledger.decisions.list("served", data_subject="person 1")[:2] == [1, 4]
        assert len(model.decide([[1]])) == 1
