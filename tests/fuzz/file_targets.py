"""Targets in the project's own files, which a disk or a stranger may have changed."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.core.checkpoint import earlier_from_json
from counterfoil.core.keys import Algorithm, format_vkey
from counterfoil.core.merkle import Hash
from counterfoil.errors import FormatError
from counterfoil.ledger import flatfiles
from counterfoil.ledger.blobs import is_reference, shorten
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.flatfiles import FlatFiles, encode_head
from counterfoil.ledger.identity import read_identity
from counterfoil.ledger.journal import _HEADER, _PREFIX_BYTES, Frame, Journal
from counterfoil.ledger.keyfiles import PrivateKey, load_vkey
from counterfoil.ledger.policyfile import format_adopted, read_policy
from counterfoil.ledger.run import find_ends
from counterfoil.models.formats import SAFETENSORS, _check_archive, is_pickle
from counterfoil.models.terms import parse_terms
from counterfoil.vault.epoch import Epoch, format_epoch, parse_epoch
from counterfoil.vault.erased import format_erased, parse_erased
from counterfoil.vault.intent import (
    format_intent,
    open_details,
    open_sealed,
    parse_intent,
    seal,
    seal_details,
)
from counterfoil.vault.keystore import _format_key, _parse_key
from counterfoil.vault.plan import format_plan, parse_plan
from counterfoil.vault.seal import SLOT_BYTES, EpochKeys, open_payload, seal_payloads, slot_epoch
from fuzz import seeds
from fuzz.seeds import key
from fuzz.targets import Target

STREAM = b"\x5a" * 32
KEYS = EpochKeys.derive(1, b"\x01" * 32)
LEAF = Hash(b"\x02" * 32)
TERMS = b"""\
threshold = 0.5
outcomes = ["refused", "granted"]
positive = 1
adverse = "low"
[labels]
amount = "Amount"
[[action]]
feature = "amount"
values = [1, 2.5, "x"]
direction = "down"
[notice]
organisation = "Bank"
contact = "Desk"
contest = "Write"
"""


class NoSync(Disk):
    """A disk that does not wait: what is kept here is thrown away."""

    def sync(self, fd: int) -> None:
        """Do nothing."""


@cache
def folder() -> Path:
    """A folder that is gone when the process ends."""
    made = tempfile.TemporaryDirectory(prefix="counterfoil-fuzz-")
    folder.keep = made  # type: ignore[attr-defined]
    return Path(made.name)


@cache
def opened(name: str) -> tuple[Path, int]:
    """A file in the folder, opened once: to open one for each case takes longer than to read it."""
    path = folder() / name
    return path, os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)


def put(name: str, data: bytes) -> Path:
    """Write a file into the folder."""
    path, fd = opened(name)
    os.pwrite(fd, data, 0)
    os.ftruncate(fd, len(data))
    return path


def take_identity(data: bytes) -> None:
    put("ledger.json", data)
    read_identity(folder())


def take_vkey_file(data: bytes) -> None:
    assert f"{format_vkey(load_vkey(put('key.vkey', data)))}\n".encode() == data


def take_policy_file(data: bytes) -> None:
    read_policy(put("trust.toml", data))


def take_journal(data: bytes) -> None:
    """The checksum of the first frame is mended, so that what it covers is read."""
    if len(data) >= _PREFIX_BYTES:
        _, _, count, slots, entries, head = _HEADER.unpack(data[: _HEADER.size])
        end = _PREFIX_BYTES + 32 * count + slots + entries + head
        mended = sha256(data[_PREFIX_BYTES:end] + data[: _HEADER.size]).digest()
        data = data[: _HEADER.size] + mended + data[_PREFIX_BYTES:]
    journal = Journal(put("journal", data), NoSync(), 2)
    try:
        frames = journal.read()
    finally:
        journal.close()
    if not frames:
        raise FormatError("no frame counts")
    for one in frames:
        assert len(find_ends(one.entries, 2, 0)) // 8 == one.size_after - one.size_before


def frame() -> bytes:
    """A journal with one commit of two entries."""
    path = put("journal", bytes(1024))
    journal = Journal(path, NoSync(), 2)
    journal.append(Frame(3, LEAF * 2, b"sl", b"\0\1a\0\2bc", b"head"))
    journal.close()
    return path.read_bytes()


def take_head(data: bytes) -> None:
    put("head", data)
    files = FlatFiles(folder(), NoSync(), write=False)
    flatfiles._HEAD_TRIES = 2  # it waits for no other process to end its write
    try:
        if files.read_head() is None:
            raise FormatError("damaged")
    finally:
        files.close()


class Kept:
    """Statements beside the log, nowhere."""

    def put(self, digest: str, data: bytes) -> None:
        """Keep nothing."""

    def get(self, digest: str, size: int) -> bytes:
        """Give nothing."""
        raise NotImplementedError


def take_reference(data: bytes) -> None:
    if not is_reference(data, b"x" * 70_000):
        raise FormatError("no reference to it")


def take_epoch(data: bytes) -> None:
    assert format_epoch(parse_epoch(data, "vault.json")) == data


def take_intent(data: bytes) -> None:
    intent = parse_intent(data)
    assert format_intent(intent) == data
    open_details(b"\x03" * 32, STREAM, intent)


def take_plan(data: bytes) -> None:
    sealed = parse_plan(data)
    assert format_plan(sealed) == data
    open_sealed(b"\x03" * 32, STREAM, sealed)


def take_erased(data: bytes) -> None:
    assert format_erased(parse_erased(data)) == data


def take_vault_key(data: bytes) -> None:
    assert _format_key(_parse_key(data, STREAM, 7, Path("7.key")), STREAM, 7) == data


def take_payload(data: bytes) -> None:
    slot_epoch(data[:SLOT_BYTES])
    open_payload(KEYS, STREAM, 3, LEAF, data)


def payload() -> bytes:
    """What the vault keeps of a record."""
    return seal_payloads(KEYS, STREAM, 3, [LEAF], [b"A-1043\nWyJh"], random=bytes)[0]


def take_terms(data: bytes) -> None:
    parse_terms(data)


def take_model_file(data: bytes) -> None:
    """Looked at before any library is; a file that is nothing known is no error here."""
    if not is_pickle(data):
        _check_archive(data)


def archive() -> bytes:
    """A zip as skops writes it."""
    import io  # noqa: PLC0415
    import zipfile  # noqa: PLC0415

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("schema.json", '{"__class__": "dict"}')
        made.writestr("1.npy", b"\x93NUMPY" + bytes(90))
    return file.getvalue()


def pickles() -> tuple[bytes, ...]:
    """Pickles of several protocols."""
    import pickle  # noqa: PLC0415

    value = [{"a": 1.5, "b": (None, True, b"x", "é", 2**70)}, {3}, frozenset({4}), Path]
    return tuple(pickle.dumps(value, protocol) for protocol in (0, 1, 2, 4, 5))


def take_safetensors(data: bytes) -> None:
    SAFETENSORS.load(data)


# What a log of that name signed with before it was handed over.
EARLIER = PrivateKey.from_private(
    "a", Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(sha256(b"earlier").digest())
)

TARGETS = (
    Target(
        "identity",
        take_identity,
        lambda: [
            b'{"format":"counterfoil ledger v1","key":"'
            + format_vkey(key("a").key).encode()
            + b'"}',
            b'{"earlier":[{"key":"'
            + format_vkey(EARLIER.key).encode()
            + b'","until_size":7}],"format":"counterfoil ledger v2","key":"'
            + format_vkey(key("a").key).encode()
            + b'"}',
        ],
        "json",
        covers=(earlier_from_json,),
        tries=300,
    ),
    Target(
        "vkey-file",
        take_vkey_file,
        lambda: [format_vkey(key("a").key).encode() + b"\n"],
        tries=300,
    ),
    Target(
        "policy-file",
        take_policy_file,
        lambda: [format_adopted(seeds.policy()), seeds.stamped("trust.toml")],
        tries=100,
    ),
    Target("journal", take_journal, lambda: [frame()], tries=500),
    Target("head", take_head, lambda: [encode_head(11, LEAF, seeds.checkpoint(11))], tries=50),
    Target("blob-reference", take_reference, lambda: [shorten(b"x" * 70_000, Kept())], "json"),
    Target(
        "epoch",
        take_epoch,
        lambda: [format_epoch(Epoch(STREAM, 3, seeds.NOW, seeds.NOW + 9, 2))],
        "json",
        covers=(parse_epoch,),
    ),
    Target(
        "erasure-intent",
        take_intent,
        lambda: [format_intent(seal_details(b"\x03" * 32, STREAM, (17, 42), b"{}", bytes))],
        "json",
        covers=(parse_intent,),
    ),
    Target(
        "erasure-plan",
        take_plan,
        lambda: [format_plan(seal(b"\x03" * 32, STREAM, b"{}", bytes))],
        "json",
        covers=(parse_plan,),
    ),
    Target(
        "erased",
        take_erased,
        lambda: [format_erased({STREAM: 32, LEAF: 0})],
        "json",
        covers=(parse_erased,),
    ),
    Target("vault-key", take_vault_key, lambda: [_format_key(b"\x04" * 32, STREAM, 7)]),
    Target("payload", take_payload, lambda: [payload()]),
    Target("terms", take_terms, lambda: [TERMS, b""], covers=(parse_terms,)),
    Target("model-file", take_model_file, lambda: [archive(), *pickles()]),
    Target(
        "safetensors",
        take_safetensors,
        list,
        more=lambda: [b"\x02\0\0\0\0\0\0\0{}", (64).to_bytes(8, "little") + b'{"a":{}}' * 8],
    ),
)
