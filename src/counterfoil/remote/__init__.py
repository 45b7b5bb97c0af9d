"""Ledgers elsewhere: opened over HTTP, and believed in nothing.

engine      a server's log, or a copy's          writer      appending by asking the server
follow      from checkpoint to checkpoint        trusted     whose key and quorum count
sitetree    tiles and entries, each proven       edge        what a root is computed from
source      files of a site                      client      asked again where that is safe
tilecache   tiles read before                    memory      what was seen last
beside      statements too large for an entry    address     of a ledger, and its folder here
mirror      a verified copy, for any web server  monitor     follows a log, and tells
watch       whom to tell of what                 deliver     telling them
monitorstate   what a monitor remembers          figures     what it counted, for Prometheus
importing   a log taken in from its site         refusals    what a server's refusal stands for
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.lazy import offer

if TYPE_CHECKING:
    from counterfoil.remote.deliver import format_event as format_event
    from counterfoil.remote.engine import Remote as Remote
    from counterfoil.remote.engine import is_site as is_site
    from counterfoil.remote.engine import origin_at as origin_at
    from counterfoil.remote.importing import Imported as Imported
    from counterfoil.remote.importing import import_site as import_site
    from counterfoil.remote.mirror import Mirror as Mirror
    from counterfoil.remote.mirror import Mirrored as Mirrored
    from counterfoil.remote.monitor import Monitor as Monitor
    from counterfoil.remote.monitor import Step as Step
    from counterfoil.remote.trusted import trust_policy as trust_policy
    from counterfoil.remote.watch import Rule as Rule
    from counterfoil.remote.watch import read_rules as read_rules

_HOMES = {
    "Imported": ".importing",
    "Mirror": ".mirror",
    "Mirrored": ".mirror",
    "Monitor": ".monitor",
    "Remote": ".engine",
    "Rule": ".watch",
    "Step": ".monitor",
    "format_event": ".deliver",
    "import_site": ".importing",
    "is_site": ".engine",
    "origin_at": ".engine",
    "read_rules": ".watch",
    "trust_policy": ".trusted",
}

__all__ = [*_HOMES]  # noqa: PLE0604 every key is a string

if not TYPE_CHECKING:
    __getattr__, __dir__ = offer(__name__, _HOMES)
