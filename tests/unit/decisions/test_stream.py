from __future__ import annotations

import pytest

import counterfoil as cf
from counterfoil.core.stream import check_batch, parse_batch
from counterfoil.decisions import stream as module
from counterfoil.decisions.stream import DecisionStream

HOUR = 3600
START = 1_800_000_000 - 1_800_000_000 % HOUR


def answer(rows):
    return ["yes" for _ in rows]


@pytest.fixture
def now():
    """The time by every clock, as the one item of a list."""
    return [START + 600.0]


@pytest.fixture
def ledger(tmp_path, now):
    with cf.init(tmp_path / "ledger", clock=lambda: now[0]) as ledger:
        yield ledger


def batches(ledger, system="loans"):
    """The batches in the log, each checked against the one before."""
    stream = DecisionStream.open(ledger, system, write=False)
    stream.close()
    found, last = [], None
    for one in ledger.find(predicate="batch", subject=stream.id.hex()):
        batch = parse_batch(one.envelope.in_toto)
        check_batch(last, batch, stream.declaration)
        found.append((batch.size, batch.closed))
        last = batch
    return found


def test_a_padded_stream_does_not_tell_how_many_decisions_there_were(ledger):
    """Batches of one, five and six decisions have sizes that are multiples of four."""
    ledger.decisions.declare("loans", pad_to=4)
    model = ledger.models.add(answer, name="loans")
    for count in (1, 5, 6):
        batch = model.decide([[1]] * count, tickets=True)
        assert cf.verify(batch[-1].evidence()).trusted
    assert [size for size, _ in batches(ledger)] == [4, 12, 20]
    kinds = [ledger.decisions.show("loans", at).values["kind"] for at in range(20)]
    assert kinds.count("decision") == 12
    assert kinds.count("pad") == 8
    assert ledger.decisions.reconcile("loans", [batch[0].ticket]) == ()


def test_a_served_stream_is_padded_too(ledger):
    """What a server publishes keeps the promise, whatever was recorded meanwhile."""
    ledger.decisions.declare("loans", pad_to=8)
    with ledger.decisions.serve(ledger.models.add(answer, name="loans")) as serving:
        tickets = [serving.ticket(serving.record({"x": n}, "yes"), 30) for n in range(3)]
        assert serving.publish().size == 8
        assert serving.publish().size == 8
        tickets.append(serving.ticket(serving.record({"x": 3}, "yes"), 30))
    assert [size for size, _ in batches(ledger)] == [8, 16]
    assert ledger.decisions.reconcile("loans", tickets) == ()


def test_a_batch_comes_in_every_period(ledger, now):
    """With a cadence there is one batch an hour, also where nothing was decided."""
    ledger.decisions.declare("loans", cadence_s=HOUR)
    model = ledger.models.add(answer, name="loans")
    decision = model.decide([[1]], tickets=True)[0]
    assert batches(ledger) == [(0, START)]  # closed before: it holds nothing younger
    with pytest.raises(cf.FormatError, match="no batch yet") as caught:
        decision.evidence()
    assert "decision publish" in caught.value.hint
    now[0] += HOUR
    for _ in range(2):
        ledger.decisions.publish("loans")
    assert batches(ledger) == [(0, START), (1, START + HOUR)]
    verdict = cf.verify(decision.evidence())
    assert "every 3600 s" in str(verdict.not_checked)
    now[0] += 3 * HOUR
    model.decide([[1], [2]])
    ledger.decisions.publish("loans")
    assert batches(ledger)[2:] == [(1, START + hours * HOUR) for hours in (2, 3, 4)]
    assert ledger.decisions.reconcile("loans", [decision.ticket]) == ()


def test_a_server_keeps_the_rhythm(ledger, now):
    """A server that publishes every few seconds closes one batch in a period, and pads once."""
    ledger.decisions.declare("loans", pad_to=4, cadence_s=HOUR)
    with ledger.decisions.serve(ledger.models.add(answer, name="loans")) as serving:
        assert serving.publish().size == 0
        for number in range(3):
            serving.record({"x": number}, "yes")
            assert serving.publish().size == 0
        assert len(ledger.decisions.list("loans")) == 3
        now[0] += HOUR
        for _ in range(3):
            assert serving.publish().size == 4
    assert batches(ledger) == [(0, START), (4, START + HOUR)]


def test_silence_is_named(ledger, now):
    """Who holds a stream against its promise is told of periods without a batch."""
    ledger.decisions.declare("loans", cadence_s=HOUR)
    ledger.models.add(answer, name="loans").decide([[1]])
    now[0] += HOUR
    assert ledger.decisions.reconcile("loans", []) == ()  # this one is not due for long
    now[0] += 2 * HOUR
    assert ledger.decisions.reconcile("loans", []) == (
        "no batch came in the last 2 periods of 3600 s",
    )


def test_a_broken_promise_is_not_mended_by_any_number_of_batches(ledger, now, monkeypatch):
    """A stream that was silent for too long takes no more decisions, and says why."""
    monkeypatch.setattr(module, "MAX_LATE_BATCHES", 3)
    ledger.decisions.declare("loans", cadence_s=HOUR)
    model = ledger.models.add(answer, name="loans")
    model.decide([[1]])
    now[0] += 4 * HOUR
    with pytest.raises(cf.VerificationError, match="has missed 4"):
        model.decide([[1]])
    assert len(ledger.decisions.list("loans")) == 1


def test_a_batch_that_breaks_its_streams_promise_is_found(ledger, now):
    """A batch of another size or time than promised is named by reconciling, and by verifying."""
    ledger.decisions.declare("loans", pad_to=2)
    stream = DecisionStream.open(ledger, "loans")
    stream._append([("decision", None, {"x": 1}, "yes", None)], [None])
    forged = stream._batch(None, 1, int(now[0]))
    made = ledger.attest(forged.statement.subjects, "batch", dict(forged.statement.predicate))
    stream.close()
    assert f"entry {made.index}" in ledger.decisions.reconcile("loans", [])[0]
    with pytest.raises(cf.VerificationError, match="not a multiple of 2"):
        cf.verify(ledger.decisions.show("loans", 0).evidence())


def test_promises_are_made_once(ledger):
    """The same promise again changes nothing; another one is refused, and so is one too late."""
    made = ledger.decisions.declare("loans", pad_to=4)
    size = ledger.size
    assert ledger.decisions.declare("loans", pad_to=4) == made
    with pytest.raises(cf.ConflictError, match="multiples of 4"):
        ledger.decisions.declare("loans", pad_to=8)
    with pytest.raises(cf.ConflictError, match="no rhythm"):
        ledger.decisions.declare("loans", pad_to=4, cadence_s=HOUR)
    assert ledger.size == size


@pytest.mark.parametrize(
    "promise",
    [{"pad_to": 0}, {"pad_to": 1025}, {"cadence_s": 0}, {"cadence_s": 59}, {"cadence_s": 86_401}],
)
def test_what_nobody_could_keep_is_not_promised(ledger, promise):
    """A promise too costly to keep, or one that breaks every ticket, is refused."""
    size = ledger.size
    with pytest.raises(cf.FormatError):
        ledger.decisions.declare("loans", **promise)
    assert ledger.size == size


def test_publishing_begins_no_stream(ledger):
    """A mistyped system is refused, and declared by nobody."""
    with pytest.raises(cf.FormatError, match="no decision stream"):
        ledger.decisions.publish("lones")
    assert ledger.find(predicate="stream") == []
