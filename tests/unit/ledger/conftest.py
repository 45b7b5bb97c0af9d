from __future__ import annotations

import pytest

from counterfoil.core.keys import Algorithm
from counterfoil.ledger.keyfiles import generate_key, save_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places
from counterfoil.ledger.witness import Witness

ORIGIN = "example.com/test-log"


@pytest.fixture
def make_log(tmp_path):
    """Makes a ledger folder with its keys outside it, and a local witness if asked."""

    def make(folder="ledger", *, origin=ORIGIN, witness=False):
        signer = generate_key(origin, Algorithm.ED25519)
        places = Places(origin)
        save_key(places.keys / "log.pem", signer)
        save_key(places.keys / "operator.pem", generate_key("operator", Algorithm.ED25519))
        Log.create(tmp_path / folder, signer)
        if witness:
            key = generate_key("witness.example", Algorithm.COSIGNATURE_ED25519)
            save_key(places.witness / "key.pem", key)
            Witness(places.witness, key, clock=lambda: 1.8e9).know(signer.key)
        return tmp_path / folder

    return make
