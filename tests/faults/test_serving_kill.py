from __future__ import annotations

import base64
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

import counterfoil as cf
from counterfoil.core.envelope import parse_envelope
from counterfoil.core.ticket import parse_ticket
from counterfoil.decisions import serving as module

SOON_S = 30.0  # a busy machine is slow; nothing here waits that long unless it is broken

# Serves until it is killed. Says of each decision that it was taken, and hands out some tickets.
SERVER = """
import base64, sys
import counterfoil as cf

def answer(rows):
    return ["yes"] * len(rows)

ledger = cf.open(sys.argv[1])
serving = ledger.decisions.serve(ledger.models.add(answer, name="loans"))
print("pid", serving._recorder.pid, flush=True)
number = 0
while True:
    handle = serving.record({"number": number, "text": "x" * (number % 500)}, "yes")
    print("taken", number, flush=True)
    if number % 20 == 19:
        print("ticket", base64.b64encode(serving.ticket(handle)).decode(), flush=True)
    number += 1
"""


def answer(rows):
    return ["yes" for _ in rows]


@pytest.fixture
def ledger(tmp_path):
    cf.init(tmp_path / "ledger").close()
    with cf.open(tmp_path / "ledger") as ledger:
        yield ledger


def start(ledger):
    """Start a server in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", SERVER, ledger.folder],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )


def insist(act):
    """Do something until it is not refused: the new process may be killed as it starts."""
    deadline = time.monotonic() + SOON_S
    while True:
        try:
            return act()
        except cf.UnavailableError:
            assert time.monotonic() < deadline


def numbers(ledger):
    """The number in every recorded decision, in order."""
    places = range(len(ledger.decisions.list("loans")))
    return [ledger.decisions.show("loans", at).values["inputs"]["number"] for at in places]


def promised(ticket):
    """Index and leaf in a ticket."""
    said = parse_ticket(parse_envelope(ticket).in_toto)
    return said.index, said.leaf


@pytest.mark.parametrize("also", [False, True], ids=["server", "both"])
@pytest.mark.parametrize("lines", [1, 45, 130])
def test_a_server_that_was_killed_is_followed_at_once(ledger, lines, also):
    """The next server need not wait; what was taken, or at least ticketed, is there once."""
    server = start(ledger)
    with server:
        _, pid = server.stdout.readline().split()
        said = [server.stdout.readline().split() for _ in range(lines)]
        if also:
            os.kill(int(pid), signal.SIGKILL)
        server.kill()
        said += [line.split() for line in server.stdout if line.endswith("\n")]
    taken = [int(number) for what, number in said if what == "taken"]
    tickets = [base64.b64decode(ticket) for what, ticket in said if what == "ticket"]
    with ledger.decisions.serve(ledger.models.add(answer, name="loans")) as serving:
        mine = serving.ticket(serving.record({"number": -1}, "yes"), SOON_S)
        serving.publish()
    found = numbers(ledger)
    assert found == [*range(len(found) - 1), -1]
    if also:
        assert 20 * len(tickets) <= len(found) - 1 <= len(taken) + 1
    else:
        assert len(found) - 1 in (len(taken), len(taken) + 1)  # whose line may never have come
    assert ledger.decisions.reconcile("loans", [*tickets, mine]) == ()
    for place, ticket in enumerate(tickets):
        index, leaf = promised(ticket)
        assert index == 20 * place + 19
        assert leaf == ledger.decisions.show("loans", index).leaf


def test_a_recording_process_killed_again_and_again_breaks_no_promise(ledger):
    """Killed at arbitrary moments it is replaced unasked; every decision is there once."""
    chance = random.Random(11)  # noqa: S311 moments, not secrets
    moments = set(chance.sample(range(200), 6))
    tickets = []
    with ledger.decisions.serve(ledger.models.add(answer, name="loans")) as serving:
        for number in range(200):
            row = {"number": number, "text": "x" * (number % 700)}
            handle = insist(lambda row=row: serving.record(row, "yes"))
            if number in moments:
                time.sleep(chance.uniform(0.0, 0.01))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(serving._recorder.pid, signal.SIGKILL)
            if number % 10 == 0 or number in moments:
                tickets.append(insist(lambda handle=handle: serving.ticket(handle, SOON_S)))
            if number % 50 == 0:
                insist(serving.publish)
    assert numbers(ledger) == list(range(200))
    assert ledger.decisions.reconcile("loans", tickets) == ()
    expected = [number for number in range(200) if number % 10 == 0 or number in moments]
    assert [promised(ticket)[0] for ticket in tickets] == expected
    assert cf.verify(ledger.decisions.show("loans", 199).evidence()).trusted


def test_the_next_server_waits_for_what_the_last_one_left(ledger):
    """A recording process that still writes what its killed server took is waited for."""
    server = start(ledger)
    with server:
        _, pid = server.stdout.readline().split()
        server.stdout.readline()
        os.kill(int(pid), signal.SIGSTOP)
        server.kill()
        taken = sum(line.startswith("taken") and line.endswith("\n") for line in server.stdout)
    threading.Timer(0.7, os.kill, (int(pid), signal.SIGCONT)).start()
    with ledger.decisions.serve(ledger.models.add(answer, name="loans")):
        assert len(ledger.decisions.list("loans")) >= taken


def test_a_second_server_is_refused_after_a_while(ledger, monkeypatch):
    """While one serves, another waits for it to end, and is then told who writes."""
    monkeypatch.setattr(module, "DRAIN_S", 0.3)
    model = ledger.models.add(answer, name="loans")
    with ledger.decisions.serve(model):
        begin = time.monotonic()
        with pytest.raises(cf.ConflictError, match="already has a writer"):
            ledger.decisions.serve(model)
        assert time.monotonic() - begin >= 0.3
