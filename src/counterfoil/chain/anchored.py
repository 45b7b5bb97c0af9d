"""Anchors kept with the ledger: one file for each, so that evidence made later can carry them.

    <ledger>/anchors/<place>/<size>.anchor.json      an anchor proof, canonical JSON

A place is chain, contract and log: `1337-0x5fbd…-6f1d4f2d8c4fbb0b`. They hold nothing secret and
vouch for nothing by themselves; whoever verifies checks them. Reading
them takes no library of a chain.
"""

from __future__ import annotations

import re
from pathlib import Path

from counterfoil.core.anchoring import ChainRules
from counterfoil.core.canonical import JsonValue, parse_canonical
from counterfoil.ledger.disk import read_file, reported
from counterfoil.ledger.log import Log

MAX_ANCHOR_FILE_BYTES = 256 << 10
"""Largest file of an anchor that is read: more than the longest proof."""

_NAME = re.compile(r"([1-9][0-9]{0,15})\.anchor\.json")


def keep_anchor(log: Log, rules: ChainRules, size: int, proof: bytes) -> Path:
    """Keep the proof of an anchor with the ledger.

    Raises:
        UnavailableError: the disk refuses.
    """
    folder = _folder(log, rules)
    path = folder / f"{size}.anchor.json"
    with reported(f"cannot keep the anchor {path}"):
        folder.mkdir(parents=True, exist_ok=True)
        log.disk.replace(folder, path.name, proof)
    return path


def kept_anchors(log: Log, rules: ChainRules) -> list[int]:
    """List the sizes whose anchors at a place are kept, ascending; none beyond the log's own."""
    folder = _folder(log, rules)
    with reported(f"cannot list the anchors in {folder}"):
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    sizes = sorted(int(found[1]) for found in map(_NAME.fullmatch, names) if found)
    return [size for size in sizes if size <= log.size]


def read_anchor(log: Log, rules: ChainRules, size: int) -> JsonValue:
    """Read the proof of an anchor; nothing in it is checked here.

    Raises:
        FormatError: it is not canonical JSON.
        UnavailableError: it is not there, or cannot be read.
    """
    data = read_file(_folder(log, rules) / f"{size}.anchor.json", MAX_ANCHOR_FILE_BYTES)
    return parse_canonical(data, what=f"the anchor at {size}", max_bytes=MAX_ANCHOR_FILE_BYTES)


def _folder(log: Log, rules: ChainRules) -> Path:
    return log.folder / "anchors" / f"{rules.id}-{rules.contract}-{rules.log[:16]}"
