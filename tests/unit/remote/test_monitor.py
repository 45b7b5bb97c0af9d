"""A monitor looks at everything once, tells it at least once, and forgets nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import counterfoil
from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.envelope import format_envelope
from counterfoil.core.merkle import Hash
from counterfoil.core.statement import Subject
from counterfoil.errors import ConflictError, FormatError, SplitViewError, UnavailableError
from counterfoil.ledger.export import export_site
from counterfoil.ledger.keyfiles import load_key
from counterfoil.ledger.splitview import keep_split_view
from counterfoil.remote import Monitor, Rule, origin_at, read_rules
from counterfoil.remote.monitorstate import MAX_PENDING

SUBJECT = [Subject("credit-7", {"sha256": "ab" * 32})]


def state(home):
    (path,) = (home / "monitor").glob("*.json")
    return json.loads(path.read_bytes())


@pytest.fixture
def told(tmp_path):
    """A command that keeps each event it is given, and what it kept."""
    folder = tmp_path / "told"
    folder.mkdir()
    keep = "import sys,tempfile,pathlib; d=sys.stdin.buffer.read() or sys.exit(); "
    keep += "f=tempfile.NamedTemporaryFile(dir=sys.argv[1],delete=False); f.write(d); f.close(); "
    keep += "pathlib.Path(f.name).rename(f.name+'.json')"

    class Told:
        command = (sys.executable, "-c", keep, str(folder))

        def events(self):
            paths = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
            return [json.loads(path.read_bytes()) for path in paths]

    return Told()


@pytest.fixture
def monitor(local):
    """Makes monitors of the ledger, and closes them."""
    made = []

    def make(*rules, where=None, **options):
        one = Monitor(
            lambda: counterfoil.open(where or local.folder), rules, report=seen.append, **options
        )
        made.append(one)
        return one

    seen: list[dict] = []
    make.seen = seen
    yield make
    for one in made:
        one.close()


def test_rules_pick_what_they_are_about(local, monitor, told):
    """Predicate, subject and issuer have to match; the command gets the event as JSON."""
    rules = [
        Rule("credit", predicate="revocation", subject="credit-*", command=told.command),
        Rule("other", predicate="revocation", subject="other-*", command=told.command),
        Rule("issuer", issuer="nobody+*", command=told.command),
    ]
    watching = monitor(*rules)
    assert watching.step().new == 1
    said = local.attest(SUBJECT, "revocation", {"reason": "withdrawn"})
    assert watching.step().new == 1
    (event,) = told.events()
    assert event["kind"] == "entry"
    assert event["rule"] == "credit"
    assert event["index"] == said.index
    assert event["subjects"] == [{"name": "credit-7", "digest": {"sha256": "ab" * 32}}]
    assert event["principals"] == ["operator"]
    assert watching.step().new == 0
    assert len(told.events()) == 1


def test_what_the_policy_lets_nobody_say_is_told(local, monitor, told):
    """Entries of others, and bytes that are no statement, are reported with the reason."""
    local.add_principal("stranger")
    forged = local.sign(SUBJECT, "approval", {"stage": "production"}, by=("stranger",))
    index = local.append_envelope(forged).index
    local.append(b"no envelope")
    watching = monitor(Rule("all", on=("refused",), command=told.command))
    watching.step()
    assert [(one["kind"], one["index"]) for one in told.events()] == [
        ("refused", index),
        ("refused", index + 1),
    ]
    assert "no trusted key signed" in told.events()[0]["reason"]
    assert "no statement" in told.events()[1]["reason"]


def test_where_a_log_ends_and_the_next_begins_is_no_alarm(local, monitor, tmp_path):
    """Both logs' own keys say it; anywhere else, nobody may."""
    rule = Rule("all", command=("true",))
    local.close()
    with counterfoil.open(local.folder) as log, log.shard(tmp_path / "next") as following:
        following.append_envelope(following.envelope(0))
    seen = []
    for folder in (local.folder, tmp_path / "next"):
        monitor(rule, where=folder).step()
        seen.append([(one["kind"], one["predicate"]) for one in monitor.seen])
        monitor.seen.clear()  # it is one list for all
    assert seen[0][-1] == ("entry", "handover")
    assert seen[1][0] == ("entry", "takeover")
    assert ("refused", "takeover") in seen[1][1:]
    assert [kind for kind, _ in seen[0] + seen[1]].count("refused") == 1


def test_webhooks_are_told_until_they_take_it(local, monitor, site, home):
    """An event is kept over restarts, and sent again until the webhook answers 2xx."""
    site.lies["hook"] = (500, {}, b"")
    rule = Rule("hook", predicate="revocation", webhook=f"{site.url}/hook?token=x")
    site.lies["hook?token=x"] = (500, {}, b"")
    watching = monitor(rule)
    local.attest(SUBJECT, "revocation", {"reason": "withdrawn"})
    assert watching.step().pending == 1
    watching.close()
    again = monitor(rule)
    assert again.step().pending == 1
    assert again.step().new == 0
    site.lies["hook?token=x"] = (204, {}, b"")
    assert again.step().pending == 0
    bodies = [body for method, _, _, body in site.heard if method == "POST"]
    assert len(bodies) == 4, "once in each step"
    assert len(set(bodies)) == 1, "with the same bytes, after a restart, too"
    assert state(home)["counts"]["taken"] == 1
    assert state(home)["counts"]["failed"] == 3


def test_whoever_is_not_heard_is_named_once_for_each_reason(local, monitor, site, tmp_path):
    """A rule whose command or webhook fails is not silent: the first time, and for a new reason."""
    script = tmp_path / "script"
    named = []
    site.lies["hook"] = (500, {}, b"")
    watching = monitor(
        Rule("run", predicate="revocation", command=(str(script),)),
        Rule("post", predicate="revocation", webhook=f"{site.url}/hook"),
        undelivered=lambda rule, why: named.append((rule, str(why))),
    )
    local.attest(SUBJECT, "revocation", {"reason": "withdrawn"})
    watching.step()
    watching.step()
    assert [rule for rule, _ in named] == ["run", "post"]
    assert "No such file" in named[0][1]
    assert "500" in named[1][1]
    script.write_text("#!/bin/sh\nexit 3\n")
    script.chmod(0o700)
    site.lies["hook"] = (204, {}, b"")
    watching.step()
    assert [rule for rule, _ in named] == ["run", "post", "run"]
    assert "it ended with 3" in named[2][1]


def test_a_command_that_hangs_or_fails_is_tried_again(local, monitor, tmp_path):
    """Its time is bounded, all that it started is ended, and other rules are still told."""
    mark = tmp_path / "child"
    hang = f"import subprocess,sys; p=subprocess.Popen(['sleep','60']); open({str(mark)!r},'w')"
    hang += ".write(str(p.pid)); p.wait()"
    watching = monitor(
        Rule("hangs", predicate="revocation", command=(sys.executable, "-c", hang)),
        Rule("fails", predicate="revocation", command=("false",)),
        Rule("missing", predicate="revocation", command=("/nonexistent",)),
        Rule("works", predicate="revocation", command=("true",)),
        deliver_within_s=3,
    )
    local.attest(SUBJECT, "revocation", {"reason": "withdrawn"})
    assert watching.step().pending == 3
    child = int(mark.read_text())
    until = time.monotonic() + 20
    while _runs(child):
        assert time.monotonic() < until, "what the command started goes on"
        time.sleep(0.05)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_too_much_to_tell_stops_reading(local, monitor):
    """Where nobody takes what is told, a monitor waits, and its state stays small."""
    envelopes = [
        format_envelope(local.sign(SUBJECT, "revocation", {"reason": str(number)}))
        for number in range(MAX_PENDING + 40)
    ]
    local.append_many(envelopes)
    watching = monitor(Rule("fails", predicate="revocation", command=("false",)))
    found = watching.step()
    assert found.pending == MAX_PENDING
    assert found.size == MAX_PENDING + 1
    watching.close()
    assert monitor(Rule("other", command=("true",))).step().size == local.size


def test_a_kill_loses_nothing(local, told, tmp_path):
    """Killed while it tells, the next monitor tells the rest; nothing is left out."""
    rules = tmp_path / "watch.toml"
    slow = "import sys,time; time.sleep(0.1); " + told.command[2]
    rules.write_text(
        "[[rule]]\nname = 'all'\npredicate = 'revocation'\n"
        f"command = {json.dumps([sys.executable, '-c', slow, told.command[3]])}\n"
    )
    indices = [
        local.attest(SUBJECT, "revocation", {"reason": str(number)}).index for number in range(12)
    ]
    command = [sys.executable, "-m", "counterfoil", "log", "monitor", str(local.folder)]
    command += ["--watch", str(rules), "--every", "0.1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for already in (1, 4, 8):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while len(told.events()) < already and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "--once"], env=environment, check=True, stdout=subprocess.DEVNULL)
    assert {event["index"] for event in told.events()} == set(indices)


def test_silence_is_told_once(local, monitor, told):
    """No new checkpoint for too long is an event, until there is one again."""
    now = [1_800_000_000.0]
    rule = Rule("quiet", on=("stale",), command=told.command)
    watching = monitor(rule, stale_after_s=60, clock=lambda: now[0])
    for _ in range(3):
        watching.step()
        now[0] += 40
    watching.step()
    assert [event["kind"] for event in told.events()] == ["stale"]
    local.append(b"a sign of life")
    watching.step()
    now[0] += 61
    watching.step()
    assert [event["kind"] for event in told.events()] == ["stale", "stale"]


def test_a_log_that_was_set_back_or_rewritten_is_told(local, monitor, told, tmp_path):
    """What the monitor saw is held against what is shown now; the evidence is in the event."""
    local.append(b"first")
    local.close()
    copy = tmp_path / "copy"
    shutil.copytree(local.folder, copy)
    rule = Rule("alarm", on=("split-view", "set-back"), command=told.command)
    with counterfoil.open(local.folder) as ledger:
        ledger.append(b"second")
        watching = monitor(rule)
        assert watching.step().error is None
        newest = ledger.checkpoint
    watching.close()
    behind = monitor(rule, where=copy)
    assert type(behind.step().error).__name__ == "SetBackError"
    behind.close()
    shutil.rmtree(tmp_path / "counterfoil-home" / "witness")
    with counterfoil.open(copy) as forked:
        forked.append_many([b"another second", b"third"])
        other = forked.checkpoint
    fork = monitor(rule, where=copy)
    assert isinstance(fork.step().error, SplitViewError)
    assert isinstance(fork.step().error, SplitViewError)
    assert [event["kind"] for event in told.events()] == ["set-back", "split-view"]
    event = told.events()[-1]
    assert (event["a"].encode(), event["b"].encode()) == (newest, other)


@pytest.mark.usefixtures("reader")
def test_a_log_elsewhere_is_monitored(local, site, policy, told, monitor):
    """Over HTTP, too; a fork that keeps it from being opened is told after a restart."""
    counterfoil.open(site.url, trust=policy).close()
    rule = Rule("all", on=("entry", "split-view", "untrue"), command=told.command)
    watching = monitor(rule, where=site.url)
    watching.step()
    local.append_many([b"x"] * 300)
    export_site(local, site.folder)
    assert watching.step().size == local.size
    watching.close()
    site.lies["checkpoint"] = (200, {}, b"nothing\n")
    assert origin_at(site.url) == local.origin
    again = Monitor(
        lambda: counterfoil.open(site.url), [rule], origin=origin_at(site.url), report=print
    )
    try:
        assert isinstance(again.step().error, FormatError)
        assert again.step().size == local.size
        site.lies["checkpoint"] = (404, {}, b"")
        assert isinstance(again.step().error, UnavailableError)
        del site.lies["checkpoint"]
        assert again.step().error is None
    finally:
        again.close()
    assert [event["kind"] for event in told.events()] == ["entry", "untrue"]


@pytest.mark.usefixtures("reader")
def test_a_proven_split_view_is_an_alarm_until_it_is_moved_away(site, policy, monitor, tmp_path):
    """An honest answer takes no proof back; new entries are looked at meanwhile."""
    with counterfoil.open(site.url, trust=policy) as ledger:
        size, log_key = ledger.size, tmp_path / "counterfoil-home/keys" / ledger.places.slug
        notes = [
            sign_checkpoint(Checkpoint(ledger.origin, 1, Hash(root)), load_key(log_key / "log.pem"))
            for root in (bytes(32), b"x" * 32)
        ]
        kept = keep_split_view(ledger.origin, *notes)
    figures = tmp_path / "counterfoil.prom"
    watching = monitor(where=site.url, metrics=figures)
    for _ in range(2):
        found = watching.step()
        assert isinstance(found.error, SplitViewError)
        assert 'kind="split-view"} 1\n' in figures.read_text().partition("_events_total")[0]
        assert found.size == size
    (event,) = [one for one in monitor.seen if one["kind"] == "split-view"]
    assert [event["a"].encode(), event["b"].encode()] == notes
    kept.rename(tmp_path / "evidence")
    assert watching.step().error is None
    assert 'kind="split-view"} 0\n' in figures.read_text().partition("_events_total")[0]


def test_from_now_leaves_out_what_is_there(local, monitor, told):
    """A new monitor may begin at the present end."""
    local.attest(SUBJECT, "revocation", {"reason": "old"})
    watching = monitor(Rule("all", command=told.command), from_now=True)
    watching.step()
    assert not told.events()
    local.attest(SUBJECT, "revocation", {"reason": "new"})
    watching.step()
    assert len(told.events()) == 1


def test_one_monitor_for_one_state(monitor):
    """Two would tell everything twice, and overwrite each other's memory."""
    monitor()
    with pytest.raises(ConflictError):
        monitor()


def test_figures_are_those_of_the_log(local, monitor, tmp_path):
    """The text file says how far the monitor is and what it found."""
    figures = tmp_path / "counterfoil.prom"
    local.append(b"no envelope")
    monitor(metrics=figures, clock=lambda: 1.8e9).step()
    lines = figures.read_text().splitlines()
    origin = f'origin="{local.origin}"'
    assert f"counterfoil_monitor_entries{{{origin}}} {local.size}" in lines
    assert f'counterfoil_monitor_events_total{{{origin},kind="refused"}} 1' in lines
    assert f"counterfoil_monitor_success_time_seconds{{{origin}}} 1800000000" in lines
    parser = pytest.importorskip("prometheus_client.parser")
    families = list(parser.text_string_to_metric_families(figures.read_text()))
    assert len(families) == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[[rule]]\nname = 'a'\n",
        "[[rule]]\nname = 'a'\ncommand = ['x']\nwebhook = 'https://h/'\n",
        "[[rule]]\nname = 'a'\nwebhook = 'http://example.com/'\n",
        "[[rule]]\nname = 'a'\ncommand = ['x']\non = ['nothing']\n",
        "[[rule]]\nname = 'a'\ncommand = ['x']\nsubject = '[a-z]'\n",
        "[[rule]]\nname = 'a'\ncommand = ['x']\nsubjet = '*'\n",
        "[[rule]]\nname = 'a'\ncommand = ['x']\n" * 2,
    ],
)
def test_rules_that_could_not_work_are_refused(text, tmp_path):
    """Before anything is watched."""
    path = tmp_path / "watch.toml"
    path.write_text(text)
    with pytest.raises(FormatError):
        read_rules(path)
