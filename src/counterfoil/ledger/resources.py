"""What a log shows as a site: each file by its path, read from the tree when it is asked for.

    checkpoint                        the signed note
    tile/<level>/<number>[.p/<w>]     hashes, as they are stored
    tile/entries/<number>[.p/<w>]     entries, likewise

The bytes are those that `export` writes into a folder. A path that the published size does not
call for has nothing, and neither has one that is written in another way. Every partial tile up to
the present width is there, those of earlier sizes included.

Source:
    C2SP tlog-tiles.
"""

from __future__ import annotations

from counterfoil.core.tile import TILE_WIDTH, format_bundle, parse_tile_path, tile_width
from counterfoil.errors import FormatError
from counterfoil.ledger.log import Log

CHECKPOINT = "checkpoint"
"""Path of the one file that changes."""

BUNDLES = "tile/entries/"
"""What paths of entry bundles begin with."""


def read_resource(log: Log, path: str) -> bytes | None:
    """Read the file that the log has at `path`; None where it has none.

    Args:
        log: As of its last refresh.
        path: Without a slash in front.

    Raises:
        UnavailableError: the log's files cannot be read.
        VerificationError: they contradict themselves.
    """
    if path == CHECKPOINT:
        return log.checkpoint
    try:
        tile = parse_tile_path(path)
    except FormatError:
        return None
    if tile.width > tile_width(log.size, tile.level or 0, tile.index):
        return None
    start = tile.index * TILE_WIDTH
    if tile.level is None:
        return format_bundle(log.read_entries(start, start + tile.width))
    return log.stored_hashes(tile.level, start, start + tile.width)
