"""Our logs before aics-tlog and its logs before us: another implementation, in its own Python.

`make peers` makes its environment; it needs Python 3.12 or later.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.core.cosignature import check_cosignature
from counterfoil.core.keys import Algorithm, PrivateKey, format_vkey
from counterfoil.core.merkle import Frontier, check_consistency, leaf_hashes, prove_consistency
from counterfoil.core.note import parse_note, parse_signature_line
from counterfoil.core.tile import bundle_path, parse_bundle
from counterfoil.ledger.export import export_site
from counterfoil.ledger.keyfiles import generate_key, save_key
from counterfoil.ledger.localwitness import format_add_checkpoint
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places
from counterfoil.ledger.witness import Witness

PEER = Path(__file__).resolve().parents[2] / ".venv-aics" / "bin" / "python"
ENTRIES = [b"entry %d" % number for number in range(600)]
SEED = bytes(range(32))
ORIGIN = "example.org/theirs"

# Grows a log of theirs to the sizes that are asked for, and tells each checkpoint.
GROW = """
import json, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from aics_tlog import Checkpoint, DirectoryTileStore, IncrementalTileWriter, sign_checkpoint
folder, seed, origin, *sizes = sys.argv[1:]
key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
store = DirectoryTileStore(folder)
writer = IncrementalTileWriter(store)
told = []
for size in map(int, sizes):
    writer.append([b"entry %d" % number for number in range(writer.size, size)])
    note = sign_checkpoint(Checkpoint(origin, size, writer.root()), key, origin).to_bytes()
    store.write_checkpoint(note)
    told.append(note.decode())
print(json.dumps(told))
"""

# Cosigns the checkpoint on standard input, as a witness that believes it.
COSIGN = """
import sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from aics_tlog import parse_checkpoint, parse_note, sign_cosignature, sign_note
seed, name, time = sys.argv[1:]
key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
note = parse_note(sys.stdin.buffer.read())
head = parse_checkpoint(note.text)
_, line = sign_cosignature(key, name, int(time), head.origin, head.size, head.root)
sys.stdout.write(type(note)(text=note.text, signatures=(line,)).to_bytes().decode())
"""


def ask(*words, given=b""):
    """Run their Python with these words; give back what it prints."""
    command = [str(PEER), *map(str, words)]
    result = subprocess.run(command, check=False, input=given, capture_output=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def aics(*words):
    """Run their command; it ends with 0 only if it is convinced."""
    return json.loads(ask("-m", "aics_tlog", *words))


@pytest.fixture(scope="module", autouse=True)
def peer():
    """Their environment; without it, say loudly that nobody else was asked."""
    if not PEER.exists():
        pytest.skip("AICS-TLOG WAS NOT ASKED: there is no .venv-aics; `make peers` makes it.")


@pytest.fixture
def site(tmp_path):
    """A log of ours as static files, exported at 300 entries and again at 600; their key file."""
    key = generate_key("example.com/ours", Algorithm.ED25519)
    save_key(Places(key.key.name).keys / "log.pem", key)
    Log.create(tmp_path / "ledger", key)
    with Log(tmp_path / "ledger") as log:
        log.append_many(ENTRIES[:300])
        export_site(log, tmp_path / "site")
        (tmp_path / "old.note").write_bytes(log.checkpoint)
        log.append_many(ENTRIES[300:])
        export_site(log, tmp_path / "site")
    (tmp_path / "ours.vkey").write_text(format_vkey(key.key) + "\n")
    return tmp_path


def test_they_read_our_log(site):
    """Its checkpoint, an entry in every kind of tile, and that it grew, convince their verifier."""
    ours = ("--tiles", site / "site", "--vkey-file", site / "ours.vkey")
    assert aics("verify-checkpoint", *ours)["ok"]
    for index in (0, 255, 256, 511, 512, 599):
        entry = site / "entry"
        assert aics("verify-inclusion", *ours, "--index", index, "--entry-out", entry)["ok"]
        assert entry.read_bytes() == ENTRIES[index]
    assert aics("verify-consistency", *ours, "--old-checkpoint", site / "old.note")["ok"]


def test_they_refuse_our_log_with_one_bit_changed(site):
    """What convinces them above is in the bytes: an entry of another content does not."""
    bundle = site / "site" / bundle_path(0, 256)
    bundle.write_bytes(bundle.read_bytes().replace(b"entry 7", b"entry 8", 1))
    ours = ("--tiles", site / "site", "--vkey-file", site / "ours.vkey")
    with pytest.raises(AssertionError, match="TileVerificationError"):
        aics("verify-inclusion", *ours, "--index", 7, "--entry-out", site / "entry")


def test_we_read_their_log(tmp_path):
    """The entries in their bundles lead to the roots that their checkpoints sign."""
    told = json.loads(ask("-c", GROW, tmp_path, SEED.hex(), ORIGIN, 1, 256, 257, 600))
    key = PrivateKey.from_private(
        ORIGIN, Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(SEED)
    ).key
    bundles = [(0, 256), (1, 256), (2, 88)]
    entries = [
        entry
        for number, width in bundles
        for entry in parse_bundle((tmp_path / bundle_path(number, width)).read_bytes(), width)
    ]
    assert entries == ENTRIES
    for note in told:
        checkpoint = open_checkpoint(note.encode(), key)
        frontier = Frontier()
        frontier.extend(leaf_hashes(entries[: checkpoint.size]))
        assert frontier.root() == checkpoint.root


def test_our_witness_cosigns_their_log(tmp_path):
    """It follows them from size to size, and they count its line toward their quorum."""
    notes = json.loads(ask("-c", GROW, tmp_path / "log", SEED.hex(), ORIGIN, 100, 600))
    key = PrivateKey.from_private(
        ORIGIN, Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(SEED)
    ).key
    signer = generate_key("example.net/witness", Algorithm.COSIGNATURE_ED25519)
    (tmp_path / "witness").mkdir()
    witness = Witness(tmp_path / "witness", signer, clock=time.time)
    witness.know(key)

    def node(level, index):
        frontier = Frontier()
        frontier.extend(leaf_hashes(ENTRIES[index << level : (index + 1) << level]))
        return frontier.root()

    old, lines = 0, b""
    for note in notes:
        size = open_checkpoint(note.encode(), key).size
        proof = prove_consistency(old, size, node) if old else ()
        status, lines = witness.add_checkpoint(format_add_checkpoint(old, proof, note.encode()))
        assert status == 200, lines
        old = size
    (tmp_path / "cosigned").write_bytes(notes[-1].encode() + lines)
    (tmp_path / "theirs.vkey").write_text(format_vkey(key) + "\n")
    words = ("--note", tmp_path / "cosigned", "--vkey-file", tmp_path / "theirs.vkey")
    quorum = ("--witness-key", format_vkey(signer.key), "--quorum", 1, "--max-age", 600)
    assert aics("verify-checkpoint", *words, *quorum)["ok"]


def test_their_cosignature_counts_for_our_log(site):
    """A line that they signed under our checkpoint is one that we accept."""
    private = Ed25519PrivateKey.from_private_bytes(SEED)
    key = PrivateKey.from_private("example.net/them", Algorithm.COSIGNATURE_ED25519, private).key
    note = (site / "site" / "checkpoint").read_bytes()
    cosigned = ask("-c", COSIGN, SEED.hex(), key.name, 1_795_305_600, given=note)
    text = parse_note(note).text
    line = parse_signature_line(cosigned.splitlines()[-1].decode())
    assert parse_note(cosigned).text == text
    assert check_cosignature(text, line, key) == 1_795_305_600


@pytest.mark.usefixtures("site")
def test_both_compute_one_root_and_one_proof(tmp_path):
    """Their log of our entries ends in our root, and grows from our older one by our proof."""
    told = json.loads(ask("-c", GROW, tmp_path / "theirs", SEED.hex(), ORIGIN, 300, 600))
    key = PrivateKey.from_private(
        ORIGIN, Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(SEED)
    ).key
    older, newer = (open_checkpoint(note.encode(), key) for note in told)
    with Log(tmp_path / "ledger") as log:
        assert (newer.size, newer.root) == (log.size, log.root)
        assert older.root == log.root_at(300)
        proof = log.consistency(300)
    check_consistency(older.size, older.root, newer.size, newer.root, proof)
