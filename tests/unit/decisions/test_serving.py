from __future__ import annotations

import errno
import time

import pytest

import counterfoil as cf
from counterfoil.decisions import recorder as recording
from counterfoil.decisions import serving as serving_module
from counterfoil.decisions.recorder import Recorder
from counterfoil.ledger.policyfile import keep_policy


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


@pytest.fixture
def served(tmp_path):
    """A ledger, and a model in service."""
    with cf.init(tmp_path / "ledger") as ledger:
        model = ledger.models.add(answer, name="served")
        with ledger.decisions.serve(model) as serving:
            yield ledger, serving


def test_a_ticket_names_the_record_that_was_handed_over(served):
    """A ticket is given for a durable record only, and holds as soon as its batch is in the log."""
    ledger, serving = served
    handles = [serving.record({"x": number}, "yes") for number in range(3)]
    ticket = serving.ticket(handles[1], 30)
    assert ledger.decisions.show("served", 1).values["inputs"] == {"x": 1}
    assert "in no batch" in ledger.decisions.reconcile("served", [ticket])[0]
    serving.publish()
    assert ledger.decisions.reconcile("served", [ticket]) == ()
    assert cf.verify(ledger.decisions.show("served", 1).evidence()).trusted


def test_what_is_not_durable_gets_no_ticket(served, monkeypatch):
    """Whoever does not wait long enough is told so, and promised nothing."""
    _, serving = served
    handle = serving.record({"x": 1}, "yes")
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "_look", lambda _: None)  # as if nothing were written
        with pytest.raises(cf.UnavailableError, match="not durable after"):
            serving.ticket(handle, 0.01)


def test_a_server_that_cannot_get_another_process_says_why(served, monkeypatch):
    """A killed recording process that cannot be replaced refuses decisions, then records all."""
    ledger, serving = served
    serving.ticket(serving.record({"x": 0}, "yes"), 30)
    serving._recorder._process.kill()
    serving._recorder._watcher.join(30)

    def refuse(*_, **__):
        raise OSError(errno.EAGAIN, "no process left")

    with monkeypatch.context() as broken:
        broken.setattr(recording.subprocess, "Popen", refuse)
        with pytest.raises(cf.UnavailableError, match="no process left"):
            serving.record({"x": 1}, "yes")
    serving.restart()
    serving.record({"x": 2}, "yes")
    serving.publish()
    shown = [ledger.decisions.show("served", at).values["inputs"]["x"] for at in range(2)]
    assert shown == [0, 2]


def test_a_process_that_ended_by_itself_is_not_replaced(served):
    """An error of its own, such as a full disk, is told to whoever records, until `restart`."""
    _, serving = served
    recorder = serving._recorder
    recorder._board.fail(cf.UnavailableError("the disk is full"))
    recorder._process.kill()
    recorder._watcher.join(30)
    for act in (lambda: serving.record({"x": 1}, "yes"), serving._recorder.revive):
        with pytest.raises(cf.UnavailableError, match="the disk is full"):
            act()
    serving.restart()
    assert serving.record({"x": 2}, "yes").wait(30) == 0


def test_closing_again_is_harmless(served):
    """A server may be closed more than once; afterwards it records nothing."""
    _, serving = served
    serving.record({"x": 1}, "yes")
    serving.close()
    serving.close()
    with pytest.raises(cf.UnavailableError, match="is closed"):
        serving.record({"x": 2}, "yes")


@pytest.fixture
def asked_often(monkeypatch):
    """Servers ask the gate again at once, not in a minute."""
    monkeypatch.setattr(serving_module, "ASK_S", 0.05)


@pytest.mark.usefixtures("asked_often")
@pytest.mark.filterwarnings("ignore:.*is not adopted on this machine")  # while it is being adopted
def test_a_server_stops_when_its_gate_would_refuse(request):
    """The gate is asked again while it serves: of a newer policy, and of a revocation."""
    ledger, serving = request.getfixturevalue("served")

    def refusal():
        try:
            serving.record({"x": 1}, "yes").wait(30)
        except cf.RefusedError as error:
            return str(error)
        return ""

    def until(said):
        deadline = time.monotonic() + 60
        while said not in (now := refusal()) or (now and not said):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    adopted = ledger.policy.show()
    ledger.policy.enforce()
    newest = ledger.policy.show()
    keep_policy(ledger.places.trust, adopted, ledger.disk)  # as if another machine had adopted it
    until("is not adopted on this machine")
    ledger.policy.adopt(newest.followed_by(stages=adopted.stages))
    until("")
    ledger.models.revoke("served", "it was trained on the wrong year")
    ledger.policy.enforce()
    until("revoked at index")
