"""A log that outgrew one machine: PostgreSQL and an object store. Needs the extra `postgres`.

engine      the log at an address            address     one URL for both
writer      a process that appends           waiting     its callers
leader      who gives entries their place    edge        the right edge it goes on from
tidy        what follows, beside it
queue       calls that wait for a place      state       how far the log is, under the fence
tiletree    the tree in the store            objects     made once, in a folder
remote      the same in an S3 store          blobs       statements too large for an entry
database    connections, bounded             schema      tables, by migrations
index       who said what, for all           lost        what a store does not have any more
keeping     all that is private              streams     the vault's rows, by stream
streamtree  the tree of a stream             streamtags  which of its records are about whom
streamsession  a connection to a stream's rows
create      a new log                        move        a log from one place to another
ends        the two places of a move
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.lazy import offer

if TYPE_CHECKING:
    from counterfoil.cluster.address import show_address as show_address
    from counterfoil.cluster.create import create_log as create_log
    from counterfoil.cluster.create import holds_log as holds_log
    from counterfoil.cluster.engine import Cluster as Cluster
    from counterfoil.cluster.engine import open_log as open_log
    from counterfoil.cluster.keeping import DatabaseKeeping as DatabaseKeeping
    from counterfoil.cluster.move import Moved as Moved
    from counterfoil.cluster.move import move_log as move_log

_HOMES = {
    "Cluster": ".engine",
    "DatabaseKeeping": ".keeping",
    "Moved": ".move",
    "create_log": ".create",
    "holds_log": ".create",
    "move_log": ".move",
    "open_log": ".engine",
    "show_address": ".address",
}

__all__ = [*_HOMES]  # noqa: PLE0604 every key is a string

if not TYPE_CHECKING:
    __getattr__, __dir__ = offer(__name__, _HOMES, extra="postgres")
