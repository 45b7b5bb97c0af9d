"""Whatever a site serves, a reader gets the log's own entries and proofs, or a refusal."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core.checkpoint import Checkpoint
from counterfoil.core.merkle import (
    Frontier,
    check_inclusion,
    leaf_hash,
    leaf_hashes,
    prove_consistency,
    root_of,
    split_hashes,
)
from counterfoil.core.tile import bundle_path, format_bundle, tile_path
from counterfoil.errors import CounterfoilError
from counterfoil.remote.edge import edge_tiles
from counterfoil.remote.sitetree import SiteTree
from counterfoil.remote.tilecache import TileCache

SIZE = 600
ENTRIES = [b"entry %d" % number * (number % 4) for number in range(SIZE)]
LEAVES = split_hashes(leaf_hashes(ENTRIES))
CHECKPOINT = Checkpoint("example.com/log", SIZE, root_of(LEAVES))


@cache
def site() -> dict[str, bytes]:
    """Every file of the log's site."""
    files = {}
    levels = Frontier().extend(b"".join(LEAVES))
    for level, index, width in edge_tiles(SIZE):
        for tile in range(index):
            files[tile_path(level, tile)] = levels[level][tile * 8192 : (tile + 1) * 8192]
        if width:
            row = levels[level][index * 8192 : index * 8192 + 32 * width]
            files[tile_path(level, index, width)] = row
    for number in range(0, SIZE, 256):
        part = ENTRIES[number : number + 256]
        files[bundle_path(number // 256, len(part))] = format_bundle(part)
    return files


class Lying:
    """A source of these files, and of nothing else."""

    name = "a site that lies"

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def read(self, path: str, most: int, *, fresh: bool = False) -> bytes | None:
        del fresh
        data = self._files.get(path)
        return None if data is None else data[:most]

    def close(self) -> None:
        """Nothing is held open."""


@st.composite
def changed_sites(draw: st.DrawFn) -> dict[str, bytes]:
    """The site with some files changed, cut, exchanged, or gone."""
    files = dict(site())
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(sorted(site())))
        data = files.get(path, b"")
        match draw(st.sampled_from(["flip", "cut", "longer", "gone", "other", "noise"])):
            case "flip" if data:
                at = draw(st.integers(0, len(data) - 1))
                files[path] = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            case "cut":
                files[path] = data[: draw(st.integers(0, len(data)))]
            case "longer":
                files[path] = data + draw(st.binary(min_size=1, max_size=40))
            case "gone":
                files.pop(path, None)
            case "other":
                files[path] = site()[draw(st.sampled_from(sorted(site())))]
            case _:
                files[path] = draw(st.binary(max_size=100))
    return files


@given(changed_sites(), st.integers(0, SIZE - 1), st.integers(0, SIZE))
def test_what_is_read_is_true_or_refused(files: dict[str, bytes], index: int, old: int):
    """No change of any file makes a reader believe anything false, or end in another error."""
    tree = SiteTree(Lying(files), Path("/nowhere"), TileCache(None))
    try:
        tree.show(CHECKPOINT, b"note", tree.find_edge(CHECKPOINT))
    except CounterfoilError:
        tree.close()
        return
    honest = Frontier()
    honest.extend(b"".join(LEAVES[:old]))
    for ask in ("entry", "run", "receipt", "root", "consistency"):
        try:
            match ask:
                case "entry":
                    assert list(tree.checked(index, index + 1)) == [ENTRIES[index]]
                case "run":
                    run = tree.read_run(index, min(SIZE, index + 300))
                    assert run.bodies() == ENTRIES[index : index + 300]
                    assert run.leaves() == b"".join(LEAVES[index : index + 300])
                case "receipt":
                    path = tree.inclusion(index)
                    check_inclusion(leaf_hash(ENTRIES[index]), index, SIZE, path, CHECKPOINT.root)
                case "root":
                    assert tree.root(old) == honest.root()
                case "consistency":
                    assert tree.consistency(old) == prove_consistency(old, SIZE, node)
        except CounterfoilError:
            continue
    tree.close()


def node(level: int, index: int):
    """The root of a complete subtree, by its leaves."""
    return root_of(LEAVES[index << level : (index + 1) << level])
