"""A mirror holds what the log signed, and nothing else, wherever it was stopped."""

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
from counterfoil.core.merkle import leaf_hashes
from counterfoil.core.statement import Subject
from counterfoil.core.tile import bundle_path, tile_path
from counterfoil.errors import (
    ConflictError,
    FormatError,
    RefusedError,
    SplitViewError,
    VerificationError,
)
from counterfoil.ledger.export import export_site
from counterfoil.ledger.keyfiles import load_key
from counterfoil.ledger.treestore import TreeStore
from counterfoil.remote import Mirror
from counterfoil.remote.sitetree import SiteTree

pytestmark = pytest.mark.usefixtures("reader")


def grow(local, site, size):
    local.append_many([b'{"entry":%d}' % number for number in range(local.size, size)])
    export_site(local, site.folder)


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".mirror.lock"
    }


@pytest.fixture
def mirror(site, policy, tmp_path):
    mirror = Mirror(site.url, tmp_path / "mirror", trust=policy)
    yield mirror
    mirror.close()


@pytest.mark.parametrize("sizes", [(1,), (255, 256, 257), (300, 600), (600, 601, 1024)])
def test_the_mirror_is_the_site(sizes, local, site, mirror):
    """After each update the mirror has every file that the newest checkpoint calls for."""
    for size in sizes:
        if size > local.size:
            grow(local, site, size)
        before = local.size if size == sizes[0] else sizes[sizes.index(size) - 1]
        found = mirror.update()
        assert (found.size, found.root) == (local.size, local.root)
        assert found.new == (size if size == sizes[0] else size - before)
    fresh = mirror.folder.with_name("fresh")
    export_site(local, fresh)
    assert files(fresh).items() <= files(mirror.folder).items()
    shown = {name for name in files(mirror.folder) if ".p/" in name} - set(files(fresh))
    full = {name.partition(".p/")[0] for name in shown} & set(files(fresh))
    assert not full, "partial tiles that a full one replaced are removed"


def test_an_update_costs_what_is_new(local, site, mirror):
    """Following a log asks for its new bundles and its right edge, and not for the rest."""
    grow(local, site, 2000)
    mirror.update()
    grow(local, site, 2001)
    del site.heard[:]
    assert mirror.update().new == 1
    assert len(site.heard) <= 5
    del site.heard[:]
    assert mirror.update().new == 0
    assert site.paths() == ["checkpoint"]


@pytest.mark.parametrize("size", [8, 512, 600])
@pytest.mark.parametrize("is_open", [True, False])
def test_a_damaged_edge_is_mended_though_nothing_is_new(size, is_open, local, site, mirror):
    """A run that says how many entries a mirror shows has proven the newest of them there."""
    grow(local, site, size)
    mirror.update()
    whole = files(mirror.folder)
    edge = {bundle_path((size - 1) // 256, size % 256 or 256), *_edge_names(size)}
    if not is_open:
        mirror.close()
        mirror = Mirror(site.url, mirror.folder)
    for name in sorted(edge):
        for spoil in (Path.unlink, lambda path: path.write_bytes(b"")):
            spoil(mirror.folder / name)
            found = mirror.update()
            assert (found.new, found.mended) == (0, (name,))
            assert files(mirror.folder) == whole, name
            assert mirror.update().mended == ()
    mirror.close()


def _edge_names(size):
    """Tiles that hold the newest hash of each level."""
    return {
        tile_path(level, (nodes - 1) // 256, nodes % 256 or 256)
        for level in range(2)
        if (nodes := size >> 8 * level)
    }


def test_older_files_are_mended_where_that_is_asked_for(local, site, mirror):
    """An update leaves full files alone; `whole` proves each, and fetches what does not hold."""
    grow(local, site, 700)
    mirror.update()
    whole = files(mirror.folder)
    (mirror.folder / "tile" / "entries" / "000").unlink()
    (mirror.folder / "tile" / "0" / "001").write_bytes(b"x" * 8192)
    mirror.update()
    assert files(mirror.folder) != whole
    found = mirror.update(whole=True)
    assert found.new == 0
    assert sorted(found.mended) == ["tile/0/001", "tile/entries/000"]
    assert files(mirror.folder) == whole


@pytest.mark.parametrize("how", ["short", "empty", "flipped", "huge"])
def test_a_damaged_checkpoint_of_the_mirror_is_mended(how, local, site, mirror):
    """It is told, and all files are proven again, as nothing says which were."""
    grow(local, site, 600)
    mirror.update()
    whole = files(mirror.folder)
    shown = mirror.folder / "checkpoint"
    note = shown.read_bytes()
    spoilt = {
        "short": note[:10],
        "empty": b"",
        "flipped": note.replace(b"\n600\n", b"\n601\n"),
        "huge": b"x" * 2_000_000,
    }
    shown.write_bytes(spoilt[how])
    (mirror.folder / "tile" / "0" / "000").unlink()
    found = mirror.update()
    assert (found.size, found.mended) == (600, ("checkpoint",))
    assert files(mirror.folder) == whole


def test_a_server_with_a_damaged_checkpoint_is_named(local, site, mirror):
    """Whoever reads the error knows which file it is about."""
    grow(local, site, 3)
    mirror.update()
    site.lies["checkpoint"] = (200, {}, b"torn")
    with pytest.raises(FormatError, match=f"^{site.url}/checkpoint: "):
        mirror.update()


def test_a_mirror_opens_as_a_ledger(local, site, mirror):
    """Its folder is read like the log itself, and nobody appends to it."""
    grow(local, site, 600)
    mirror.update()
    with counterfoil.open(mirror.folder) as copy:
        assert copy.audit() == local.audit()
        assert copy.receipt(17) == local.receipt(17)
        assert [one.index for one in copy.find(predicate="policy")] == [0]
        with pytest.raises(RefusedError, match="only be read"):
            copy.append(b"x")


def test_large_statements_are_copied(local, site, mirror):
    """What an entry only refers to is in the mirror under its digest."""
    local.add_principal("operator")  # in the home that is this test's now
    said = local.attest(
        [Subject("thing", {"sha256": "ab" * 32})], "revocation", {"reason": "x" * 40_000}
    )
    export_site(local, site.folder)
    (blob,) = (local.folder / "blobs").glob("*/*")
    digest = blob.parent.name + blob.name
    site.lies[f"blobs/{digest}"] = (200, {}, blob.read_bytes())
    mirror.update()
    assert (mirror.folder / "blobs" / digest).read_bytes() == blob.read_bytes()
    (mirror.folder / "blobs" / digest).write_bytes(b"torn")
    assert mirror.update().mended == (f"blobs/{digest}",)
    assert (mirror.folder / "blobs" / digest).read_bytes() == blob.read_bytes()
    with counterfoil.open(mirror.folder) as copy:
        assert copy.envelope(said.index) == said.envelope


@pytest.mark.parametrize("size", [12, 310])
def test_another_history_is_refused_and_both_checkpoints_kept(size, local, site, mirror, tmp_path):
    """A fork changes nothing in the mirror; its reader has the evidence."""
    grow(local, site, 300)
    mirror.update()
    before = files(mirror.folder)
    # The state of the reader is lost, and the mirror's own checkpoint is what tells.
    mirror.close()
    shutil.rmtree(tmp_path / "reader-home" / "remote")
    site.folder = _fork(local, tmp_path, size)
    with pytest.raises(SplitViewError) as split:
        Mirror(site.url, mirror.folder)
    assert files(mirror.folder) == before
    assert split.value.a == before["checkpoint"]
    kept = {path.read_bytes() for path in tmp_path.rglob("split-view/*/*")}
    assert {split.value.a, split.value.b} <= kept


def _fork(local, tmp_path, size):
    """Another history of the log, signed by its key."""
    signer = load_key(tmp_path / "counterfoil-home" / "keys" / local.places.slug / "log.pem")
    with TreeStore.create(tmp_path / "fork") as tree:
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

        export_site(Shown, tmp_path / "fork-site")
    return tmp_path / "fork-site"


def test_a_log_that_was_set_back_is_refused(local, site, mirror, tmp_path):
    """A mirror that shows more than the log does now stays as it is."""
    older = tmp_path / "older"
    shutil.copytree(site.folder, older)
    grow(local, site, 300)
    mirror.update()
    before = files(mirror.folder)
    mirror.close()
    shutil.rmtree(tmp_path / "reader-home" / "remote")
    site.folder = older
    again = Mirror(site.url, mirror.folder)
    try:
        with pytest.raises(VerificationError, match="set back"):
            again.update()
    finally:
        again.close()
    assert files(mirror.folder) == before


def test_two_processes_do_not_write_one_mirror(site, mirror):
    """The second is told who writes."""
    with pytest.raises(ConflictError, match="writer"):
        Mirror(site.url, mirror.folder)


@pytest.mark.parametrize("name", ["ledger", "counterfoil-home", "reader-home", "papers"])
def test_a_mirror_is_not_written_among_other_things(name, site, policy, tmp_path):
    """A ledger, a home with keys, and whatever else lies somewhere, stay as they are."""
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "letter.txt").write_text("mine")
    counterfoil.open(site.url, trust=policy).close()
    before = files(tmp_path / name)
    assert before
    with pytest.raises(ConflictError, match=f"{name} holds"):
        Mirror(site.url, tmp_path / name)
    assert files(tmp_path / name) == before
    assert not (tmp_path / name / ".mirror.lock").exists()


def test_another_logs_mirror_is_refused(local, mirror, tmp_path):
    """One folder mirrors one log, and the error names both."""
    mirror.update()
    mirror.close()
    before = files(mirror.folder)
    with counterfoil.init(tmp_path / "second", organisation="Another Bank") as second:
        export_site(second, tmp_path / "second-site")
        again = Mirror(tmp_path / "second-site", mirror.folder)
        try:
            with pytest.raises(ConflictError) as refused:
                again.update()
        finally:
            again.close()
        assert local.origin in str(refused.value)
        assert second.origin in str(refused.value)
    assert files(mirror.folder) == before


def test_what_is_there_already_is_not_asked_for_again(local, site, policy, tmp_path, monkeypatch):
    """A run that stopped is gone on with: bundles that it wrote are proven and kept."""
    grow(local, site, 40 * 256)
    mirror = Mirror(site.url, tmp_path / "mirror", trust=policy)
    calls = []
    read_run = SiteTree.read_run

    def stop(self, start, end):
        calls.append(start)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read_run(self, start, end)

    with monkeypatch.context() as patch:
        patch.setattr(SiteTree, "read_run", stop)
        with pytest.raises(KeyboardInterrupt):
            mirror.update()
    mirror.close()
    assert not (tmp_path / "mirror" / "checkpoint").exists()
    # One of those files is torn, as after a power cut.
    (tmp_path / "mirror" / "tile" / "entries" / "005").write_bytes(b"torn")
    del site.heard[:]
    again = Mirror(site.url, tmp_path / "mirror")
    assert again.update().size == 40 * 256
    again.close()
    asked = [path for path in site.paths() if path.startswith("tile/entries/")]
    assert "tile/entries/005" in asked
    assert len(asked) < 12
    export_site(local, tmp_path / "fresh")
    assert files(tmp_path / "fresh").items() <= files(tmp_path / "mirror").items()


def test_a_killed_mirror_is_whole_after_the_next_run(local, site, policy, tmp_path):
    """Killed at any moment, a mirror shows a whole log or none, and the next run completes it."""
    grow(local, site, 60 * 256 + 17)

    def slowly(site, path):
        time.sleep(0.002)
        return site.honest(path)

    site.lies["*"] = slowly
    folder = tmp_path / "mirror"
    command = [sys.executable, "-m", "counterfoil", "log", "mirror", site.url, str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    killed = 0
    for _ in range(4):
        process = subprocess.Popen(
            [*command, "--trust", str(policy)], env=environment, stdout=subprocess.DEVNULL
        )
        count = len(list(folder.rglob("*")))
        while process.poll() is None and len(list(folder.rglob("*"))) < count + 20:
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
        if (folder / "checkpoint").exists():
            with counterfoil.open(folder) as copy:
                assert copy.audit().size == local.size
    assert killed
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    with counterfoil.open(folder) as copy:
        assert copy.audit() == local.audit()


def test_a_mirror_that_goes_on_outlives_what_passes(local, site, policy, tmp_path):
    """Garbage and a set-back are told once each, and when they have passed; a fork ends it.

    Whoever reads along finds an object on each line, the error that ends it on the last.
    """
    said = tmp_path / "said"
    grow(local, site, 300)
    older = tmp_path / "older"
    shutil.copytree(site.folder, older)
    newer = site.folder
    grow(local, site, 310)
    folder = tmp_path / "mirror"
    command = [sys.executable, "-m", "counterfoil", "log", "mirror", site.url, str(folder)]
    with said.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--trust", str(policy), "--every", "0.1", "--json"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )
    with process:
        while not (folder / "checkpoint").exists():
            assert process.poll() is None
            time.sleep(0.05)
        site.lies["checkpoint"] = (200, {}, b"<html>down for maintenance</html>")
        assert "not a signed note" in process.stderr.readline()
        time.sleep(0.5)  # several more times, of which nothing is told
        del site.lies["checkpoint"]
        assert "that has passed" in process.stderr.readline()
        site.folder = older
        assert "set back" in process.stderr.readline()
        site.folder = newer
        assert "that has passed" in process.stderr.readline()
        site.folder = _fork(local, tmp_path, 320)
        assert "another history" in process.stderr.readline()
        assert process.wait(60) == 8
    objects = [json.loads(line) for line in said.read_bytes().splitlines()]
    assert {one["size"] for one in objects[:-1]} == {310}
    assert objects[-1]["error"] == "SplitViewError"
