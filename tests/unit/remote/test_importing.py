"""A log taken in from its site is whole and proven, or not there."""

from __future__ import annotations

import shutil

import pytest

import counterfoil
from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.keys import Algorithm, format_vkey
from counterfoil.core.merkle import leaf_hash, root_of
from counterfoil.core.statement import Subject
from counterfoil.errors import (
    ConflictError,
    FormatError,
    RefusedError,
    SplitViewError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.export import export_site
from counterfoil.ledger.keyfiles import generate_key, home_path, save_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.moved import remember_moved
from counterfoil.ledger.places import Places
from counterfoil.remote import importing
from counterfoil.remote.importing import import_site

POLICY = """
version = 1
name = "their log"
expires = "2040-01-01T00:00:00Z"
[log]
origin = "{origin}"
key = "{key}"
operator = "Somebody else"
"""


@pytest.fixture
def filled(local, site):
    local.append_many([b'{"entry":%d}' % number for number in range(700)])
    local.attest([Subject("thing", {"sha256": "ab" * 32})], "revocation", {"reason": "x" * 40_000})
    export_site(local, site.folder)
    (blob,) = (local.folder / "blobs").glob("*/*")
    (site.folder / "blobs").mkdir()
    shutil.copy(blob, site.folder / "blobs" / (blob.parent.name + blob.name))
    local.close()
    return local


@pytest.mark.parametrize("over_http", [True, False])
def test_with_the_key_it_is_a_ledger_again(over_http, filled, site, tmp_path):
    """What a disk lost, the site brings back, if somebody says so; appending goes on."""
    shutil.rmtree(filled.folder)
    remember_moved(filled.places, "postgresql://lost.example/db", Disk())
    where = site.url if over_http else site.folder
    found = import_site(where, tmp_path / "again", original_is_lost=True)
    assert (found.size, found.appendable) == (702, True)
    with counterfoil.open(tmp_path / "again") as ledger:
        assert (ledger.size, ledger.root) == (filled.size, filled.root)
        assert ledger.audit().size == 702
        assert len(ledger.find(predicate="revocation")) == 1
        assert ledger.append(b"and on").index == 702
        export_site(ledger, site.folder)
    assert not list(tmp_path.glob(".again*"))


@pytest.mark.usefixtures("filled")
def test_unless_the_original_is_lost_it_is_a_copy(site, tmp_path):
    """With the log's key, too: two ledgers that are both alive would sign two histories."""
    assert not import_site(site.folder, tmp_path / "copy").appendable
    with counterfoil.open(tmp_path / "copy") as copy, pytest.raises(RefusedError):
        copy.append(b"x")


@pytest.mark.usefixtures("filled", "reader")
def test_without_the_key_no_ledger_is_made_again(site, policy, tmp_path):
    """Refused before anything is fetched."""
    with pytest.raises(UnavailableError, match="there is no key"):
        import_site(site.folder, tmp_path / "again", trust=policy, original_is_lost=True)
    assert not list(tmp_path.glob("*again*"))


@pytest.mark.parametrize("original_is_lost", [True, False])
def test_a_log_that_has_ended_takes_nothing_more(original_is_lost, filled, site, tmp_path):
    """What is made of it says which log goes on."""
    with counterfoil.open(filled.folder) as ledger:
        following = ledger.shard(tmp_path / "next")
        following.close()
        export_site(ledger, site.folder)
    found = import_site(site.folder, tmp_path / "again", original_is_lost=original_is_lost)
    assert (found.is_ledger, found.appendable) == (original_is_lost, False)
    assert found.following == following.key


def test_without_the_key_it_is_a_copy(filled, site, policy, tmp_path, monkeypatch):
    """It opens, searches and audits like the log; nobody appends to it."""
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "reader-home"))
    found = import_site(site.url, tmp_path / "copy", trust=policy)
    assert not found.appendable
    with counterfoil.open(tmp_path / "copy") as copy:
        assert copy.audit().root == found.root == filled.root
        assert len(copy.find(predicate="revocation")) == 1
        with pytest.raises(RefusedError):
            copy.append(b"x")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("path", ["tile/entries/001", "tile/1/000.p/2", "tile/0/002.p/190"])
def test_a_site_that_is_not_true_puts_nothing_in_place(path, site, tmp_path):
    """Verified wholly before it is there."""
    data = (site.folder / path).read_bytes()
    (site.folder / path).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    for is_lost in (True, False):
        with pytest.raises(VerificationError):
            import_site(site.folder, tmp_path / "again", original_is_lost=is_lost)
        assert not (tmp_path / "again").exists()


def test_a_run_that_stopped_is_gone_on_with(filled, site, tmp_path, monkeypatch):
    """What was written is proven and kept."""
    monkeypatch.setattr(importing, "_BATCH_ENTRIES", 100)
    calls = []

    def progress(done, _):
        calls.append(done)
        if done == 400:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_site(site.url, tmp_path / "again", original_is_lost=True, progress=progress)
    assert not (tmp_path / "again").exists()
    del calls[:]
    found = import_site(
        site.url,
        tmp_path / "again",
        original_is_lost=True,
        progress=lambda done, _: calls.append(done),
    )
    assert calls[0] == 500
    with counterfoil.open(tmp_path / "again") as ledger:
        assert ledger.audit().root == found.root == filled.root


def test_a_site_behind_the_local_witness_is_a_copy_at_most(filled, site, tmp_path):
    """An old site does not become a second history: the witness remembers, nothing is written."""
    older = tmp_path / "older"
    shutil.copytree(site.folder, older)
    with counterfoil.open(filled.folder) as ledger:
        ledger.append(b"newer")
    before = {*tmp_path.iterdir()}
    with pytest.raises(VerificationError, match="has cosigned") as refused:
        import_site(older, tmp_path / "again", original_is_lost=True)
    assert {*tmp_path.iterdir()} == before
    assert "as a copy to read" in refused.value.hint
    assert import_site(older, tmp_path / "again").size == filled.size


def test_a_site_of_a_fork_does_not_become_the_ledger(filled, tmp_path, monkeypatch):
    """Another history than the local witness cosigned is refused before anything is written."""
    shutil.copytree(filled.folder, tmp_path / "fork")
    shutil.copytree(home_path(), tmp_path / "thief")
    with monkeypatch.context() as patch:
        patch.setenv("COUNTERFOIL_HOME", str(tmp_path / "thief"))
        with counterfoil.open(tmp_path / "fork") as fork:
            fork.append(b"false")
            export_site(fork, tmp_path / "site-of-fork")
    with counterfoil.open(filled.folder) as ledger:
        ledger.append(b"true")
    before = {*tmp_path.iterdir()}
    with pytest.raises(SplitViewError):
        import_site(tmp_path / "site-of-fork", tmp_path / "again", original_is_lost=True)
    assert {*tmp_path.iterdir()} == before


def test_what_is_there_is_left_alone(filled, site):
    """Nothing is overwritten."""
    with pytest.raises(ConflictError, match="not empty"):
        import_site(site.folder, filled.folder)


def test_logs_of_other_programs_are_read(tmp_path):
    """Any tlog-tiles site with an Ed25519 key is one, whatever its entries are."""
    signer = generate_key("example.com/theirs", Algorithm.ED25519)
    entries = [b"a", b"", b"\x00" * 65_535, b"not json"]
    root = root_of([leaf_hash(entry) for entry in entries])
    site = tmp_path / "site"
    (site / "tile/entries/000.p").mkdir(parents=True)
    (site / "tile/0/000.p").mkdir(parents=True)
    bundle = b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)
    (site / "tile/entries/000.p/4").write_bytes(bundle)
    (site / "tile/0/000.p/4").write_bytes(b"".join(leaf_hash(entry) for entry in entries))
    note = sign_checkpoint(Checkpoint(signer.key.name, 4, root), signer)
    (site / "checkpoint").write_bytes(note)
    trust = tmp_path / "trust.toml"
    trust.write_text(POLICY.format(origin=signer.key.name, key=format_vkey(signer.key)))
    assert import_site(site, tmp_path / "copy", trust=trust).size == 4
    with counterfoil.open(tmp_path / "copy") as copy:
        assert list(copy.entries(0, 4)) == entries
        assert copy.find() == []
        assert copy.audit().size == 4


def test_a_file_of_that_name_makes_no_site(tmp_path):
    """Other programs call files `checkpoint`, too; a folder with one is no ledger for that."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-1"\n')
    with pytest.raises(FormatError, match="no ledger"):
        counterfoil.open(tmp_path / "weights")


def test_an_empty_log_is_taken_in(tmp_path):
    """A log without entries is a log."""
    signer = generate_key("example.com/new", Algorithm.ED25519)
    save_key(Places(signer.key.name).keys / "log.pem", signer)
    Log.create(tmp_path / "ledger", signer)
    with Log(tmp_path / "ledger") as log:
        export_site(log, tmp_path / "site")
    trust = tmp_path / "trust.toml"
    trust.write_text(POLICY.format(origin=signer.key.name, key=format_vkey(signer.key)))
    site, again = tmp_path / "site", tmp_path / "again"
    assert import_site(site, again, trust=trust, original_is_lost=True).appendable
    with counterfoil.open(tmp_path / "again") as ledger:
        assert ledger.append(b"first").index == 0
