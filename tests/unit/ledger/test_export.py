from __future__ import annotations

from pathlib import Path

import pytest

from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.core.merkle import check_inclusion, leaf_hash, root_of
from counterfoil.core.tile import (
    MAX_TILE_LEVEL,
    TILE_WIDTH,
    bundle_path,
    parse_bundle,
    parse_tile_path,
    tile_path,
    tile_width,
)
from counterfoil.errors import ConflictError, SplitViewError, UnavailableError, VerificationError
from counterfoil.ledger.export import export_site, prune_site
from counterfoil.ledger.log import Log

SIZES = [0, 1, 2, 255, 256, 257, 511, 512, 600]
LARGE = 65_536 + 300  # two full levels of tiles, and an edge on each


def fill(log: Log, size: int) -> None:
    log.append_many([b"entry %d" % number * (number % 5) for number in range(log.size, size)])


def files(site: Path) -> dict[str, bytes]:
    return {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in site.rglob("*")
        if path.is_file()
    }


def read_site(site: Path, log_key) -> tuple[int, list[bytes]]:
    """Read a site as a stranger does: the checkpoint, then only what that size calls for.

    Every tile is compared with the hashes of the entries, by the definition of a tree's root.
    """
    held = files(site)
    checkpoint = open_checkpoint(held.pop("checkpoint"), log_key)
    entries: list[bytes] = []
    for index in range(-(-checkpoint.size // TILE_WIDTH)):
        width = tile_width(checkpoint.size, 0, index)
        entries += parse_bundle(held.pop(bundle_path(index, width)), width)
    leaves = [leaf_hash(entry) for entry in entries]
    assert root_of(leaves) == checkpoint.root
    for level in range(MAX_TILE_LEVEL + 1):
        span = TILE_WIDTH**level
        nodes = [
            root_of(leaves[at : at + span]) for at in range(0, checkpoint.size // span * span, span)
        ]
        for index in range(-(-len(nodes) // TILE_WIDTH)):
            tile = nodes[index * TILE_WIDTH : (index + 1) * TILE_WIDTH]
            assert held.pop(tile_path(level, index, len(tile))) == b"".join(tile)
    assert not held, "a file that the checkpoint does not call for"
    return checkpoint.size, entries


@pytest.mark.parametrize("size", SIZES)
def test_site_leads_to_its_checkpoint(size, make_log, tmp_path):
    """Whoever hashes the exported entries comes to the root that the log signed."""
    with Log(make_log()) as log:
        if size:
            fill(log, size)
        site = export_site(log, tmp_path / "site")
        assert read_site(tmp_path / "site", log.key) == (size, list(log.entries(0, size)))
        assert (site.size, site.root, site.files) == (size, log.root, len(files(site.folder)))
        assert (tmp_path / "site" / "checkpoint").read_bytes() == log.checkpoint


def test_large_site_leads_to_its_checkpoint(make_log, tmp_path):
    """Tiles of the second level and above are those of the tree."""
    with Log(make_log()) as log:
        fill(log, LARGE)
        export_site(log, tmp_path / "site")
        assert read_site(tmp_path / "site", log.key)[0] == LARGE
    assert (tmp_path / "site" / tile_path(2, 0, 1)).exists()


def test_names_are_those_of_the_specification(make_log, tmp_path):
    """Every file but the checkpoint has a path that C2SP tlog-tiles knows."""
    with Log(make_log()) as log:
        fill(log, 600)
        export_site(log, tmp_path / "site")
    names = set(files(tmp_path / "site")) - {"checkpoint"}
    assert {parse_tile_path(name).path for name in names} == names
    assert {"tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/001"} <= names


def test_exporting_again_keeps_what_was_handed_out(make_log, tmp_path):
    """A site is brought up to date; tiles that an older checkpoint calls for stay as they are."""
    with Log(make_log()) as log:
        fill(log, 300)
        export_site(log, tmp_path / "site")
        before = files(tmp_path / "site")
        fill(log, 700)
        export_site(log, tmp_path / "site")
        after = files(tmp_path / "site")
        del before["checkpoint"]
        assert before.items() <= after.items()
        assert after["checkpoint"] == log.checkpoint
        receipt = log.receipt(3)
        check_inclusion(leaf_hash(log.entry(3)), 3, 700, receipt.path, log.root)


def test_progress_counts_entries(make_log, tmp_path):
    """Whoever waits for a large export is told how far it is."""
    seen = []
    with Log(make_log()) as log:
        fill(log, 300)
        export_site(log, tmp_path / "site", lambda done, total: seen.append((done, total)))
    assert seen == [(256, 300), (300, 300)]


def test_changed_entries_are_not_published(make_log, tmp_path):
    """A disk that changed does not get its contents signed off: the checkpoint is not written."""
    folder = make_log()
    with Log(folder) as log:
        fill(log, 300)
    entries = folder / "log" / "entries"
    damaged = bytearray(entries.read_bytes())
    damaged[-1] ^= 1
    entries.write_bytes(damaged)
    with Log(folder) as log, pytest.raises(VerificationError, match="another root"):
        export_site(log, tmp_path / "site")
    assert not (tmp_path / "site" / "checkpoint").exists()


def test_site_of_another_log_is_left_alone(make_log, tmp_path):
    """Two logs cannot be mixed up in one folder."""
    with Log(make_log("one", origin="example.com/one")) as log:
        export_site(log, tmp_path / "site")
    with (
        Log(make_log("two", origin="example.com/two")) as log,
        pytest.raises(ConflictError, match="another log"),
    ):
        export_site(log, tmp_path / "site")


@pytest.mark.parametrize("what", ["log.pem", "ledger.json", "letter.txt"])
def test_a_site_is_not_written_among_other_things(what, make_log, tmp_path):
    """A ledger's folder, a home and anything else are refused, and stay as they are."""
    folder = tmp_path / "there"
    file = folder / ("keys/example" if what == "log.pem" else "") / what
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    if what != "letter.txt":
        (folder / "tile").mkdir()  # as if a site had been written there before
    with Log(make_log()) as log, pytest.raises(ConflictError, match="there holds"):
        export_site(log, folder)
    assert files(folder) == {file.relative_to(folder).as_posix(): b"mine"}


def test_site_is_not_set_back_and_not_forked(make_log, tmp_path):
    """An older copy cannot replace what was published, and another history is evidence."""
    first, second = make_log("first"), None
    with Log(first) as log:
        fill(log, 10)
    second = tmp_path / "second"
    second.mkdir()
    for path in first.rglob("*"):
        target = second / path.relative_to(first)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.write_bytes(path.read_bytes())
    with Log(first) as log:
        fill(log, 20)
        export_site(log, tmp_path / "site")
        published = log.checkpoint
    with Log(second) as log:
        with pytest.raises(ConflictError, match="shows 20 entries of this log, and here are 10"):
            export_site(log, tmp_path / "site")
        log.append_many([b"other %d" % number for number in range(15)])
        with pytest.raises(SplitViewError) as caught:
            export_site(log, tmp_path / "site")
        assert (caught.value.a, caught.value.b) == (published, log.checkpoint)


def test_folder_that_cannot_be_written_is_an_outage(make_log, tmp_path):
    """A refusal of the disk is said in one sentence."""
    (tmp_path / "file").write_text("in the way")
    with Log(make_log()) as log, pytest.raises(UnavailableError, match="cannot export to"):
        export_site(log, tmp_path / "file" / "site")


def test_pruning_takes_only_what_a_full_tile_replaced(make_log, tmp_path):
    """The newest checkpoint's files all stay, and an older edge of an unfinished tile, too."""
    site = tmp_path / "site"
    with Log(make_log()) as log:
        for size in (3, 200, 257, 300):
            fill(log, size)
            export_site(log, site)
        before = files(site)
        assert {"tile/0/000.p/3", "tile/0/000.p/200", "tile/entries/000.p/3"} <= set(before)
        assert prune_site(log, site, older_than_s=3600) == 0, "they are not old yet"
        assert files(site) == before
        assert prune_site(log, site, older_than_s=0) == 4
        left = files(site)
        assert {"tile/0/000", "tile/0/001.p/1", "tile/0/001.p/44", "tile/1/000.p/1"} <= set(left)
        assert not (site / "tile" / "0" / "000.p").exists()
        gone = {"tile/0/000.p/3", "tile/0/000.p/200", "tile/entries/000.p/3"}
        assert set(before) - set(left) == gone | {"tile/entries/000.p/200"}
        for name in ("tile/0/001.p/1", "tile/entries/001.p/1"):
            (site / name).unlink()  # of a checkpoint that is not the newest; `read_site` wants none
        read_site(site, log.key)


def test_pruning_leaves_alone_what_is_not_a_tile(make_log, tmp_path):
    """Files of others in the folder, and a partial tile whose full one is missing."""
    site = tmp_path / "site"
    with Log(make_log()) as log:
        for size in (3, 257):
            fill(log, size)
            export_site(log, site)
        foreign = site / "tile" / "0" / "000.p" / "notes.txt"
        foreign.write_bytes(b"mine")
        (site / "tile" / "entries" / "000").unlink()
        assert prune_site(log, site, older_than_s=0) == 1
        assert foreign.read_bytes() == b"mine"
        assert (site / "tile" / "entries" / "000.p" / "3").exists()


def test_pruning_goes_by_the_checkpoint_that_is_shown(make_log, tmp_path):
    """An export that was stopped before its checkpoint leaves the old one, and what that needs."""
    site = tmp_path / "site"
    with Log(make_log()) as log:
        fill(log, 200)
        export_site(log, site)
        before = (site / "checkpoint").read_bytes()
        fill(log, 300)
        export_site(log, site)
        (site / "checkpoint").write_bytes(before)
        assert prune_site(log, site, older_than_s=0) == 0
        export_site(log, site)
        assert prune_site(log, site, older_than_s=0) == 2


def test_pruning_the_site_of_another_log_is_refused(make_log, tmp_path):
    """It would take away what that one's readers need."""
    with Log(make_log()) as log:
        fill(log, 3)
        export_site(log, tmp_path / "site")
    with (
        Log(make_log("other", origin="example.com/other")) as other,
        pytest.raises(ConflictError),
    ):
        prune_site(other, tmp_path / "site", older_than_s=0)
