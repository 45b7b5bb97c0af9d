"""A ledger elsewhere: the same answers as at home, or a refusal; never anything false."""

from __future__ import annotations

import gzip
import http.server
import os
import shutil
import socket
import threading
import time

import pytest

import counterfoil
from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.keys import Algorithm
from counterfoil.core.merkle import leaf_hash, leaf_hashes
from counterfoil.core.policy import format_policy
from counterfoil.core.receipt import check_receipt, format_receipt
from counterfoil.core.statement import Subject
from counterfoil.errors import (
    FormatError,
    PolicyError,
    SignatureError,
    SplitViewError,
    UnavailableError,
    VerificationError,
)
from counterfoil.evidence.anything import verify
from counterfoil.front import Ledger
from counterfoil.ledger.export import export_site
from counterfoil.ledger.keyfiles import generate_key, load_key
from counterfoil.ledger.rotation import rotate_key
from counterfoil.ledger.status import read_status
from counterfoil.ledger.treestore import TreeStore
from counterfoil.ledger.waits import waited_for
from counterfoil.remote.client import READ_WITHIN_S, REFUSED_WITHIN_S, Client
from counterfoil.remote.engine import Remote
from counterfoil.remote.follow import SetBackError
from counterfoil.remote.memory import MAX_SET_BACK
from counterfoil.remote.sitetree import MAX_FETCHES

pytestmark = pytest.mark.usefixtures("reader")
HOSTILE_SIZE = 600  # two full bundles and a partial one


def fill(ledger, size):
    ledger.append_many([b'{"entry":%d}' % number for number in range(ledger.size, size)])


def publish(ledger, site):
    export_site(ledger, site.folder)


def opened(site, policy, **within):
    """Opens it without waiting for caches on the way."""
    within = {"read_within_s": 10, "settle_within_s": 0.0, **within}
    engine = Remote(site.url, trust=policy, **within)
    return Ledger(engine.folder, engine=engine)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600])
def test_it_is_the_same_ledger(size, local, site, policy, reader):
    """Size, root, entries, receipts and proofs over HTTP are those of the ledger's own folder."""
    if size > local.size:
        fill(local, size)
    publish(local, site)
    with counterfoil.open(site.url, trust=policy) as remote:
        assert (remote.size, remote.root, remote.checkpoint) == (
            local.size,
            local.root,
            local.checkpoint,
        )
        assert remote.folder.is_relative_to(reader)
        for index in {0, size // 2, size - 1}:
            assert remote.entry(index) == local.entry(index)
            assert remote.receipt(index) == local.receipt(index)
            check_receipt(remote.entry(index), remote.receipt(index), local.key)
            assert remote.root_at(index) == local.root_at(index)
            assert remote.consistency(index) == local.consistency(index)
        assert list(remote.entries(0, size)) == list(local.entries(0, size))
        assert remote.audit() == local.audit()


def test_large_logs_are_read_level_by_level(local, site, policy):
    """Tiles of the second level and above are proven, too."""
    fill(local, 65_536 + 300)
    publish(local, site)
    with counterfoil.open(site.url, trust=policy) as remote:
        assert remote.receipt(70).path == local.receipt(70).path
        assert remote.consistency(65_536) == local.consistency(65_536)
        assert remote.entry(65_800) == local.entry(65_800)
        asked = len(site.heard)
        assert remote.entry(65_801) == local.entry(65_801)
        assert len(site.heard) == asked, "a bundle that was read is not asked for again"
        assert remote.audit() == local.audit()


def test_finding_reads_only_what_is_new(local, site, policy):
    """The index is built from proven entries, and goes on where it was."""
    publish(local, site)
    with counterfoil.open(site.url, trust=policy) as remote:
        assert [found.index for found in remote.find(predicate="policy")] == [0]
    fill(local, 513)
    publish(local, site)
    with counterfoil.open(site.url) as remote:
        assert [found.index for found in remote.find(predicate="policy")] == [0]
        assert sum("entries" in path for path in site.paths()) == 1 + 3
        del site.heard[:]
        assert [found.index for found in remote.find(predicate="policy")] == [0]
        assert not [path for path in site.paths() if path != "tile/entries/000"]


def test_growing_is_followed(local, site, policy):
    """A refresh shows what was published since, proven to extend what was there."""
    publish(local, site)
    with counterfoil.open(site.url, trust=policy) as remote:
        for size in (5, 255, 256, 700, 701):
            fill(local, size)
            publish(local, site)
            remote.refresh()
            assert (remote.size, remote.root) == (size, local.root)
            assert remote.entry(size - 1) == local.entry(size - 1)


def test_partial_tiles_that_are_gone_are_read_from_full_ones(local, site, policy):
    """A log may remove partial tiles once the full one is there (C2SP tlog-tiles)."""
    fill(local, 250)
    publish(local, site)
    checkpoint = site.folder.joinpath("checkpoint").read_bytes()
    fill(local, 300)
    publish(local, site)
    for partial in site.folder.rglob("*.p"):
        if partial.name == "000.p" and partial.parent.name in {"0", "entries"}:
            shutil.rmtree(partial)
    site.lies["checkpoint"] = (200, {}, checkpoint)
    with counterfoil.open(site.url, trust=policy) as remote:
        assert remote.size == 250
        assert list(remote.entries(240, 250)) == list(local.entries(240, 250))


def test_compressed_tiles_are_read(local, site, policy):
    """Logs may serve bundles with gzip without being asked (C2SP tlog-tiles)."""
    fill(local, 256)
    publish(local, site)
    bundle = (site.folder / "tile/entries/000").read_bytes()
    packed = gzip.compress(bundle)
    site.lies["tile/entries/000"] = (200, {"Content-Encoding": "gzip"}, packed)
    with opened(site, policy) as remote:
        assert remote.entry(3) == local.entry(3)
    bomb = gzip.compress(bytes(100 << 20))
    site.lies["tile/entries/000"] = (200, {"Content-Encoding": "gzip"}, bomb)
    with opened(site, policy) as remote, pytest.raises(VerificationError, match="unpacks"):
        remote.entry(3)


def test_requests_at_one_time_are_bounded(local, site, policy):
    """A server is never asked for more files at once than the limit says."""
    fill(local, 40 * 256)
    publish(local, site)
    now, most, lock = 0, 0, threading.Lock()

    def slow(site, path):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return site.honest(path)

    site.lies["*"] = slow
    with opened(site, policy) as remote:
        assert remote.audit().size == 40 * 256
    assert 1 < most <= MAX_FETCHES


# Trust


def test_without_a_policy_nothing_is_believed(site, reader):
    """Who knows no key of a log cannot open it, and is told what to do."""
    with pytest.raises(PolicyError, match="no trust policy was adopted") as refused:
        counterfoil.open(site.url)
    assert "trust=" in refused.value.hint
    assert not (reader / "remote").exists()


def test_a_policy_is_given_once(local, site, policy):
    """It is adopted once it held, and found again by the origin that the server names."""
    with counterfoil.open(site.url, trust=policy) as remote:
        assert remote.policy.show() == local.policy.show()
    with counterfoil.open(site.url) as remote:
        assert remote.size == local.size
    with counterfoil.open(f"{site.url}/") as remote:
        assert remote.size == local.size


def test_a_policy_that_did_not_hold_is_not_adopted(local, site, policy, reader):
    """A server that cannot show the log leaves no trace in the trust store."""
    site.lies["checkpoint"] = (200, {}, local.checkpoint.replace(b"\n1\n", b"\n2\n"))
    with pytest.raises(SignatureError):
        opened(site, policy)
    assert not (reader / "trust").exists()


def test_another_policy_is_not_slipped_in(site, policy):
    """A policy beside the adopted one is refused, unless the adopted one follows it."""
    counterfoil.open(site.url, trust=policy).close()
    changed = policy.with_name("changed.toml")
    text = "\n".join(policy.read_text().splitlines()[:-1])
    changed.write_text(text.replace("quorum = 0", "quorum = 1"))
    with pytest.raises(PolicyError, match="another policy was adopted"):
        counterfoil.open(site.url, trust=changed)
    counterfoil.open(site.url, trust=policy).close()


def test_a_policy_that_follows_takes_the_place_of_the_adopted_one(local, site, policy, tmp_path):
    """A user who got the next policy goes by it; an older one given again changes nothing."""
    counterfoil.open(site.url, trust=policy).close()
    following = tmp_path / "next.toml"
    following.write_text(format_policy(local.policy.show().followed_by(quorum=1)))
    with counterfoil.open(site.url, trust=following) as remote:
        assert remote.policy.show().version == 2
    with counterfoil.open(site.url, trust=policy) as remote:
        assert remote.policy.show().version == 2


def test_a_gate_elsewhere_asks_for_the_policy_that_followed(local, site, policy, tmp_path):
    """Whoever reads under a policy that was replaced is told what to trust before they go on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COUNTERFOIL_HOME", str(tmp_path / "counterfoil-home"))
        local.models.add(lambda rows: ["yes"] * len(rows), name="loans")
        entry = local.policy.adopt(local.policy.show().followed_by(name="second"))
        publish(local, site)
    stale = f"version 2 of the trust policy, entry {entry} of the log, is not adopted"
    how = "`counterfoil policy trust FILE`"
    with counterfoil.open(site.url, trust=policy) as ledger:
        reason = ledger.models.judge("loans").reasons[0]
        assert (reason.startswith(stale), reason.endswith(how)) == (True, True)
    with counterfoil.open(site.url, trust=local.folder / "trust.toml") as ledger:
        assert not ledger.models.judge("loans").reasons[0].startswith(stale)


def test_a_log_goes_on_with_its_next_key(local, site, policy, tmp_path, monkeypatch):
    """After a hand-over, who has the policy that names both keys reads on; others are refused."""
    counterfoil.open(site.url, trust=policy).close()
    reader = os.environ["COUNTERFOIL_HOME"]
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "counterfoil-home"))
    local.close()
    with counterfoil.open(local.folder) as ledger:
        rotate_key(ledger)
    with counterfoil.open(local.folder) as ledger:
        ledger.append(b"by the next key")
        publish(ledger, site)
        size = ledger.size
    monkeypatch.setenv("COUNTERFOIL_HOME", reader)
    with pytest.raises(SignatureError):
        opened(site, None)
    with counterfoil.open(site.url, trust=local.folder / "trust.toml") as remote:
        assert remote.size == size
        assert remote.audit().size == size


def test_a_log_of_another_name_is_refused(local, site, policy):
    """Whatever a server serves, the key of the trusted origin has to have signed it."""
    other = generate_key("example.com/other", Algorithm.ED25519)
    note = sign_checkpoint(Checkpoint("example.com/other", local.size, local.root), other)
    site.lies["checkpoint"] = (200, {}, note)
    with pytest.raises(SignatureError):
        opened(site, policy)
    with pytest.raises(PolicyError, match=r"example\.com/other"):
        opened(site, None)


def test_a_checkpoint_without_quorum_is_refused(local, site, policy):
    """A checkpoint that the policy's witnesses have not cosigned is shown to nobody."""
    strict = policy.with_name("strict.toml")
    text = "\n".join(policy.read_text().splitlines()[:-1])
    strict.write_text(text.replace("quorum = 0", "quorum = 1"))
    head, _, lines = local.checkpoint.partition(b"\n\n")
    site.lies["checkpoint"] = (200, {}, head + b"\n\n" + lines.splitlines(keepends=True)[0])
    with pytest.raises(PolicyError, match="0 witnesses cosigned"):
        opened(site, strict)
    del site.lies["checkpoint"]
    with opened(site, strict) as remote:
        assert remote.size == local.size


# Servers that lie


@pytest.fixture
def hostile(local, site, policy):
    """A log of some size that a reader has seen; its server may lie from now on."""
    fill(local, HOSTILE_SIZE)
    publish(local, site)
    opened(site, policy).close()
    return site


def flipped(path, at=5):
    def lie(site, _):
        status, headers, data = site.honest(path)
        return status, headers, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return lie


@pytest.mark.parametrize(
    ("path", "index"),
    [
        ("tile/entries/000", 3),
        ("tile/entries/001", 511),
        ("tile/entries/002.p/88", 599),
        ("tile/0/002.p/88", 599),
        ("tile/1/000.p/2", 3),
    ],
)
def test_no_changed_byte_gets_through(path, index, hostile):
    """Wrong tiles and wrong entries are refused, and nothing of them is handed out."""
    hostile.lies[path] = flipped(path)
    with pytest.raises(VerificationError), opened(hostile, None) as remote:
        remote.entry(index)


def test_a_changed_tile_of_leaves_is_refused(hostile):
    """A tile that no entry is read with is proven all the same."""
    hostile.lies["tile/0/001"] = flipped("tile/0/001")
    with opened(hostile, None) as remote, pytest.raises(VerificationError, match="256 to 511"):
        remote.consistency(300)


def test_a_cache_that_was_damaged_is_passed_by(hostile, local):
    """What lies in the reader's own folder is checked like what a server says, and made good."""
    with opened(hostile, None) as remote:
        assert remote.consistency(300) == local.consistency(300)
        kept = remote.folder / "tiles/0/0"
    whole = kept.read_bytes()
    assert whole == bytes(8192) + (hostile.folder / "tile/0/001").read_bytes()
    for damaged in (b"x" * len(whole), whole[:8200], b""):
        kept.write_bytes(damaged)
        with opened(hostile, None) as remote:
            assert remote.consistency(300) == local.consistency(300)
        assert kept.read_bytes()[8192:] == whole[8192:]


def test_a_log_that_was_set_back_is_refused(hostile, local, tmp_path):
    """An older checkpoint than was seen is refused with both sizes, though its signature holds."""
    home = tmp_path / "counterfoil-home" / "keys" / local.places.slug
    older = Checkpoint(local.origin, 300, local.root_at(300))
    note = sign_checkpoint(older, load_key(home / "log.pem"))
    hostile.lies["checkpoint"] = (200, {}, note)
    with pytest.raises(VerificationError, match=r"shows 300 entries .* 600 were seen"):
        opened(hostile, None)


def forked(local, tmp_path, size):
    """Another history of the same log, signed by the same key, as long as asked."""
    home = tmp_path / "counterfoil-home" / "keys" / local.places.slug
    signer = load_key(home / "log.pem")
    with TreeStore.create(tmp_path / f"fork{size}") as tree:
        entries = [b"forged %d" % number for number in range(size)]
        tree.commit(
            entries,
            leaf_hashes(entries),
            lambda n, root: sign_checkpoint(Checkpoint(local.origin, n, root), signer),
        )

        class Shown:
            size, root, checkpoint = tree.size, tree.root(), tree.head
            origin, key, keys = local.origin, local.key, local.keys
            entries = staticmethod(tree.bodies)

        export_site(Shown, tmp_path / f"fork-site{size}")
        return tmp_path / f"fork-site{size}", tree.head


def test_waiting_for_a_cache_is_told(hostile, local, tmp_path):
    """Whoever sits before a terminal is told what the silence is about."""
    _, note = forked(local, tmp_path, 12)
    hostile.lies["tile/0/000"] = (404, {}, b"")
    hostile.lies["checkpoint"] = (200, {}, note)

    def open_it():
        with pytest.raises(SetBackError):
            opened(hostile, None, settle_within_s=2.0)

    opening = threading.Thread(target=open_it)
    opening.start()
    told = set()
    while opening.is_alive():
        told |= waited_for(0.5)
        time.sleep(0.1)
    assert f"{hostile.url} to show as many entries as were seen there before" in told


def kept(tmp_path):
    """What the reader keeps as evidence of a split view."""
    return {path.read_bytes() for path in tmp_path.glob("reader-home/split-view/*/*")}


@pytest.mark.parametrize("size", [HOSTILE_SIZE, HOSTILE_SIZE + 100, 1024])
def test_another_history_is_a_split_view(size, hostile, local, tmp_path):
    """A fork is refused with both checkpoints, and both are kept."""
    folder, note = forked(local, tmp_path, size)
    hostile.folder = folder
    with pytest.raises(SplitViewError) as split:
        opened(hostile, None)
    assert {split.value.a, split.value.b} == {local.checkpoint, note}
    assert kept(tmp_path) == {local.checkpoint, note}


@pytest.mark.parametrize("size", [12, 256, HOSTILE_SIZE - 1])
def test_another_history_with_fewer_entries_is_a_split_view(size, hostile, local, tmp_path):
    """A fork that is shorter is held against what was read here, and nobody waits for a cache."""
    with opened(hostile, None) as remote:
        remote.audit()
    folder, note = forked(local, tmp_path, size)
    hostile.folder = folder
    with pytest.raises(SplitViewError, match=f"among the first {size}") as split:
        opened(hostile, None, settle_within_s=20.0)
    assert {split.value.a, split.value.b} == {local.checkpoint, note}
    assert kept(tmp_path) == {local.checkpoint, note}


def test_what_was_not_read_may_still_be_served(hostile, local, tmp_path):
    """Old tiles at the site tell a shorter fork too, if only its checkpoint was replaced."""
    _, note = forked(local, tmp_path, 12)
    hostile.lies["checkpoint"] = (200, {}, note)
    with pytest.raises(SplitViewError):
        opened(hostile, None)


def test_a_shorter_history_that_cannot_be_compared_is_kept(hostile, local, tmp_path):
    """Where too little is left of what was seen, the refusal says so; the checkpoint is kept."""
    hostile.folder, note = forked(local, tmp_path, 12)
    with pytest.raises(SetBackError, match="cannot be told") as refused:
        opened(hostile, None)
    (older,) = (tmp_path / "reader-home" / "remote").glob("*/set-back/*")
    assert older.read_bytes() == note
    assert str(older.parent) in refused.value.hint
    signer = load_key(tmp_path / "counterfoil-home" / "keys" / local.places.slug / "log.pem")
    for size in range(13, 13 + MAX_SET_BACK):
        another = sign_checkpoint(Checkpoint(local.origin, size, local.root), signer)
        hostile.lies["checkpoint"] = (200, {}, another)
        with pytest.raises(SetBackError):
            opened(hostile, None)
    assert len([*older.parent.iterdir()]) == MAX_SET_BACK
    assert older.read_bytes() == note


@pytest.mark.parametrize("size", [12, 1024])
def test_what_was_proven_first_stays_readable(size, hostile, local, tmp_path, serve_site):
    """A fork at another address is never opened, and keeps nobody from the history before it."""
    assert verify(hostile.url)
    fork = serve_site(forked(local, tmp_path, size)[0])
    for attempt in (lambda: verify(fork.url), lambda: opened(fork, None)):
        with pytest.raises(SplitViewError, match="at another address") as split:
            attempt()
        assert hostile.url in str(split.value)
    with opened(hostile, None) as remote:
        assert remote.receipt(17) == local.receipt(17)
        assert isinstance(read_status(remote).split_view, SplitViewError)
    (evidence,) = (tmp_path / "reader-home" / "split-view").iterdir()
    evidence.rename(tmp_path / "settled")
    assert verify(hostile.url)
    with pytest.raises(SplitViewError):
        opened(fork, None)


def test_a_split_view_is_that_of_the_log_wherever_it_is_read(hostile, local, tmp_path, policy):
    """Copies and receipts of it are verified no more either, with whatever policy."""
    with opened(hostile, None) as remote:
        receipt, entry = format_receipt(remote.receipt(17)), remote.entry(17)
    copy = shutil.copytree(hostile.folder, tmp_path / "copy")
    assert verify(copy)
    assert verify(receipt, entry=entry)
    hostile.folder = forked(local, tmp_path, 1024)[0]
    with pytest.raises(SplitViewError, match="another history"):
        opened(hostile, None)
    with counterfoil.open(copy) as ledger, pytest.raises(SplitViewError, match="two histories"):
        ledger.audit()
    for trust in (None, policy):
        with pytest.raises(SplitViewError, match="two histories"):
            verify(copy, trust=trust)
        with pytest.raises(SplitViewError, match="two histories"):
            verify(receipt, entry=entry, trust=trust)


def test_who_goes_by_the_second_history_says_so(hostile, local, tmp_path, serve_site):
    """The hint names the folder to move away if what was proven first is the false one."""
    assert verify(hostile.url)
    fork = serve_site(forked(local, tmp_path, 12)[0])
    with pytest.raises(SplitViewError) as split:
        opened(fork, None)
    (first,) = (tmp_path / "reader-home" / "remote").glob("127.0.0.1-*")
    assert f"move {first} away" in split.value.hint
    first.rename(tmp_path / "false")
    opened(fork, None).close()


def test_a_copy_that_is_behind_is_read(hostile, local, tmp_path, serve_site):
    """An older state at another address is the beginning of what was seen, and is opened."""
    older = serve_site(shutil.copytree(hostile.folder, tmp_path / "older"))
    fill(local, 900)
    publish(local, hostile)
    opened(hostile, None).close()
    with opened(older, None) as remote:
        assert remote.size == HOSTILE_SIZE
        assert remote.audit().root == local.root_at(HOSTILE_SIZE)


def test_what_cannot_be_compared_is_not_opened(hostile, local, tmp_path, serve_site):
    """Too little is kept of a longer tree elsewhere, and its server is silent: it may be a fork."""
    older = serve_site(shutil.copytree(hostile.folder, tmp_path / "older"))
    fill(local, 900)
    publish(local, hostile)
    opened(hostile, None).close()
    hostile.lies["*"] = (404, {}, b"")
    with pytest.raises(UnavailableError, match="cannot be told") as refused:
        opened(older, None)
    assert hostile.url in refused.value.hint


@pytest.mark.parametrize("size", [HOSTILE_SIZE, 1024])
def test_two_addresses_of_one_log_are_compared(size, hostile, local, tmp_path, serve_site):
    """A fork at an address that is new here is noticed, and told at both."""
    folder, note = forked(local, tmp_path, size)
    with pytest.raises(SplitViewError, match="at another address") as split:
        opened(serve_site(folder), None)
    assert {split.value.a, split.value.b} == {local.checkpoint, note}
    with opened(hostile, None) as remote, pytest.raises(SplitViewError, match="two histories"):
        remote.audit()


def test_a_fork_changes_nothing_that_is_read(hostile, local, tmp_path):
    """Who has a log open goes on with the history that was proven."""
    with opened(hostile, None) as remote:
        honest, hostile.folder = hostile.folder, forked(local, tmp_path, 1024)[0]
        with pytest.raises(SplitViewError):
            remote.refresh()
        with pytest.raises(SplitViewError):
            remote.refresh()
        hostile.folder = honest
        assert remote.receipt(17) == local.receipt(17)
        assert list(remote.entries(0, local.size)) == list(local.entries(0, local.size))


def test_a_split_view_is_not_forgotten_when_the_server_is_honest_again(hostile, local, tmp_path):
    """Until the evidence is moved away no audit and no verdict is given; the status says it."""
    honest, hostile.folder = hostile.folder, forked(local, tmp_path, 1024)[0]
    with pytest.raises(SplitViewError):
        opened(hostile, None)
    hostile.folder = honest
    (evidence,) = (tmp_path / "reader-home" / "split-view").iterdir()
    notes = kept(tmp_path)
    with opened(hostile, None) as remote:
        with pytest.raises(SplitViewError, match="two histories") as split:
            remote.audit()
        assert {split.value.a, split.value.b} == notes
        assert str(evidence) in split.value.hint
        assert isinstance(read_status(remote).split_view, SplitViewError)
    with pytest.raises(SplitViewError, match="two histories"):
        verify(hostile.url)
    evidence.rename(tmp_path / "settled")
    with opened(hostile, None) as remote:
        assert remote.audit() == local.audit()
        assert read_status(remote).split_view is None
    assert verify(hostile.url)


def test_what_a_fork_showed_is_not_kept(hostile, local, tmp_path):
    """Tiles of a history that was refused do not stand in for those of the log."""
    with opened(hostile, None) as remote:
        honest, hostile.folder = hostile.folder, forked(local, tmp_path, 1024)[0]
        with pytest.raises(SplitViewError):
            remote.refresh()
        hostile.folder = honest
        fill(local, 1024)
        publish(local, hostile)
        remote.refresh()
        assert remote.consistency(HOSTILE_SIZE) == local.consistency(HOSTILE_SIZE)
        assert remote.receipt(HOSTILE_SIZE) == local.receipt(HOSTILE_SIZE)


def test_a_forged_entry_with_its_tile_is_refused(hostile):
    """An entry that fits a forged tile at the right edge does not fit the root."""
    bundle = (hostile.folder / "tile/entries/002.p/88").read_bytes()
    length = int.from_bytes(bundle[:2])
    forged = bundle[:2] + b"x" * length + bundle[2 + length :]
    tile = (hostile.folder / "tile/0/002.p/88").read_bytes()
    hostile.lies["tile/entries/002.p/88"] = (200, {}, forged)
    hostile.lies["tile/0/002.p/88"] = (200, {}, leaf_hash(b"x" * length) + tile[32:])
    with pytest.raises(VerificationError, match="right edge"):
        opened(hostile, None)


@pytest.mark.parametrize("path", ["tile/entries/001", "tile/0/002.p/88", "checkpoint"])
@pytest.mark.parametrize(
    ("lie", "error"),
    [
        ((404, {}, b""), UnavailableError),
        ((500, {}, b"secret"), UnavailableError),
        ((503, {"Retry-After": "1000"}, b""), UnavailableError),
        ((302, {"Location": "http://127.0.0.1:9/"}, b""), UnavailableError),
        ((200, {}, bytes(20 << 20)), UnavailableError),
        ((200, {"Content-Encoding": "br"}, b"x"), UnavailableError),
        ((200, {}, b""), (FormatError, VerificationError)),
        (lambda *_: None, UnavailableError),
    ],
)
def test_a_server_that_does_not_serve_is_no_answer(path, lie, error, hostile):
    """Missing, moved, oversized, cut or empty files are errors, in bounded time."""
    hostile.lies[path] = lie
    began = time.monotonic()
    with pytest.raises(error) as refused, opened(hostile, None, read_within_s=1) as remote:
        remote.entry(300)
    assert "secret" not in str(refused.value)
    assert time.monotonic() - began < 15


def test_a_missing_tile_is_said_to_be_missing(hostile):
    """Also where the server says so with a page that is longer than the tile."""
    page = (404, {}, b"<html>" + bytes(5_000))
    hostile.lies["tile/1/000.p/2"] = hostile.lies["tile/1/000"] = page
    with pytest.raises(UnavailableError, match=r"has no tile/1/000\.p/2"):
        opened(hostile, None)


def test_a_very_short_tile_may_come_compressed(hostile, local):
    """Compressed, it is longer than the tile."""
    tile = (hostile.folder / "tile/1/000.p/2").read_bytes()
    packed = gzip.compress(tile)
    assert len(packed) > len(tile)
    hostile.lies["tile/1/000.p/2"] = (200, {"Content-Encoding": "gzip"}, packed)
    with opened(hostile, None) as remote:
        assert remote.root == local.root


def test_an_address_where_nothing_runs_is_an_error_soon():
    """A refused connection at the first contact is no reason to keep somebody waiting."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="refused"):
        counterfoil.open(f"http://127.0.0.1:{port}")
    assert time.monotonic() - began < READ_WITHIN_S / 2


def test_a_server_that_was_heard_may_start_again():
    """Its connections are refused meanwhile, and it is asked again for as long as any other."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    client = Client(f"http://127.0.0.1:{port}", read_within_s=60)

    def serve():
        server = http.server.HTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler)
        server.timeout = 60
        server.handle_request()
        server.server_close()

    for pause in (0, 2 * REFUSED_WITHIN_S):
        starting = threading.Timer(pause, serve)
        starting.daemon = True
        starting.start()
        assert client.get("none", 10_000) is None
        starting.join()
    client.close()


def test_an_answer_that_drips_is_cut_off(hostile):
    """One deadline holds for all of an answer."""

    def drip(site, path):
        time.sleep(3)
        return site.honest(path)

    hostile.lies["tile/entries/001"] = drip
    with (
        opened(hostile, None, read_within_s=1) as remote,
        pytest.raises(UnavailableError, match="within 1 s"),
    ):
        remote.entry(300)


def test_a_busy_server_is_asked_again(hostile, local):
    """503 and lost answers are repeated, as the server asks for it."""
    tries = []

    def busy(site, path):
        tries.append(time.monotonic())
        if len(tries) == 1:
            return 503, {"Retry-After": "1"}, b""
        return None if len(tries) == 2 else site.honest(path)

    hostile.lies["tile/entries/001"] = busy
    with opened(hostile, None) as remote:
        assert remote.entry(300) == local.entry(300)
    assert len(tries) == 3
    assert tries[1] - tries[0] >= 1


def test_a_cached_checkpoint_is_waited_out(hostile, local):
    """A cache on the way may show an older checkpoint for a moment; that is no set-back."""
    with opened(hostile, None, settle_within_s=10) as remote:
        older = hostile.folder.joinpath("checkpoint").read_bytes()
        # Seen by another process of the same reader.
        seen = []

        def stale(site, path):
            seen.append(path)
            return (200, {}, older) if len(seen) < 3 else site.honest(path)

        fill(local, 650)
        publish(local, hostile)
        remote.refresh()
        hostile.lies["checkpoint"] = stale
        remote.refresh()
        assert remote.size == 650
        assert len(seen) == 3


@pytest.mark.parametrize(
    "url",
    ["http://example.com/log", "http://u:p@127.0.0.1/", "https://h/?q", "ftp://h/", "https://"],
)
def test_addresses_that_are_refused(url):
    """http:// is for this machine alone, and an address is host, port and path."""
    with pytest.raises(FormatError):
        counterfoil.open(url)


def test_a_static_site_takes_no_entries(hostile):
    """Appending to a server that only serves files is refused with its words."""
    hostile.lies["entries"] = (405, {}, b"")
    with opened(hostile, None) as remote:
        remote.add_principal("operator")
        subject = Subject("thing", {"sha256": "ab" * 32})
        with pytest.raises(UnavailableError, match="405"):
            remote.attest([subject], "revocation", {"reason": "withdrawn"})
