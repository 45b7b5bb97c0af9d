from __future__ import annotations

import pytest

import counterfoil as cf
from counterfoil.errors import FormatError
from counterfoil.ledger.places import Places


@pytest.mark.parametrize("name", ["../log", "..", "a/b", "/etc/x", ".log", "", "a\nb", "a\x00b"])
def test_a_principal_is_no_path(tmp_path, name):
    """A name that might lead to another file is refused before any file is made or read."""
    with cf.init(tmp_path / "ledger") as ledger:
        before = sorted(ledger.places.keys.parent.rglob("*"))
        for act in (ledger.add_principal, ledger.principal_key):
            with pytest.raises(FormatError):
                act(name)
        assert sorted(ledger.places.keys.parent.rglob("*")) == before


@pytest.mark.parametrize("origin", ["../../etc", "a/../b", "/x", "..", "a b/\u00e4", "x" * 300])
def test_an_origin_is_no_path(home, origin):
    """Whatever a log calls itself, its places are files of their own in the home."""
    places = Places(origin)
    assert places.keys.parent == home / "keys"
    assert places.trust.parent == home / "trust"
    assert places.slug != Places(origin + "x").slug
    assert len(places.slug) < 60
