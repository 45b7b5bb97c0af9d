"""Every store that a log can live in, each with one log, its keys and a local witness."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from pathlib import Path

import obstore
import pytest
import servers

from counterfoil.cluster import Cluster, create_log
from counterfoil.cluster.address import parse_address
from counterfoil.cluster.database import Database
from counterfoil.cluster.remote import RemoteObjects
from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.keys import Algorithm, Signer
from counterfoil.core.merkle import EMPTY_ROOT
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.keyfiles import generate_key, save_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places
from counterfoil.ledger.witness import Witness

ORIGIN = "example.com/stores"
STORES = ("embedded", "postgres-files", "postgres-s3")


class Store:
    """One log, wherever it lives."""

    def __init__(self, location: str, signer: Signer):
        self.location, self.signer = location, signer
        self.writers = 1  # how many may append at the same time

    def make(self):
        Log.create(Path(self.location), self.signer)

    def open(self) -> Log:
        return Log(Path(self.location))

    def damage(self, bundle: int, old: bytes, new: bytes):
        """Change the stored entries of a bundle, as somebody with access to the store could."""
        del bundle
        path = Path(self.location) / "log" / "entries"
        path.write_bytes(path.read_bytes().replace(old, new))

    def blobs(self) -> dict[str, bytes]:
        folder = Path(self.location)
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.glob("blobs/*/*")}

    def write_blob(self, path: str, data: bytes | None):
        file = Path(self.location) / path
        file.unlink()
        if data is not None:
            file.write_bytes(data)

    def in_process(self, code: str) -> subprocess.Popen[str]:
        """Run code in another process; `log` is this log, opened."""
        how = f"Log(__import__('pathlib').Path({self.location!r}))"
        if "://" in self.location:
            how = f"open_log({self.location!r})"
        lines = (
            "from counterfoil.ledger.log import Log",
            "from counterfoil.cluster import open_log",
            f"log = {how}",
            code,
            "log.close()",
        )
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", "\n".join(lines)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


class Shared(Store):
    """One on PostgreSQL."""

    def __init__(self, location, signer, tiles):
        super().__init__(location, signer)
        self.tiles = tiles  # the folder, or None
        self.writers = 3

    def make(self):
        create_log(self.location, lambda: self.signer)

    def open(self):
        engine = Cluster(self.location, Disk())
        return Log(engine.folder, engine=engine)

    def read_object(self, path):
        if self.tiles is not None:
            return (self.tiles / path).read_bytes()
        return obstore.get(self.bucket, path).bytes().to_bytes()

    def set_back(self, *tables):
        """Make the database what it was before anything was appended, as a restored backup is.

        Or only some tables of it: a leader of before may have written into what was restored.
        """
        note = sign_checkpoint(Checkpoint(self.signer.key.name, 0, EMPTY_ROOT), self.signer)
        database = Database(parse_address(self.location))
        with database.session("testing") as connection:
            for table in tables or ("log", "published"):
                connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
                connection.execute(
                    f"UPDATE {table} SET size = 0, root = %s, checkpoint = %s".encode(),
                    (EMPTY_ROOT, note),
                )
            connection.execute("TRUNCATE queue, placed")
        database.close()

    def write_object(self, path, data):
        if self.tiles is not None:
            (self.tiles / path).unlink()
            if data is not None:
                (self.tiles / path).write_bytes(data)
        elif data is None:
            obstore.delete(self.bucket, path)
        else:
            obstore.put(self.bucket, path, data)

    def paths(self):
        if self.tiles is not None:
            files = (path for path in self.tiles.rglob("*") if path.is_file())
            return sorted(str(path.relative_to(self.tiles)) for path in files)
        return sorted(one["path"] for some in obstore.list(self.bucket) for one in some)

    @property
    def bucket(self):
        return RemoteObjects(Cluster(self.location, Disk()).address.tiles)._store

    def damage(self, bundle, old, new):
        prefix = f"tile/entries/{bundle:03}"
        for path in self.paths():
            if path == prefix or path.startswith(f"{prefix}.p/"):
                self.write_object(path, self.read_object(path).replace(old, new))

    def blobs(self):
        return {p: self.read_object(p) for p in self.paths() if p.startswith("blobs/")}

    def write_blob(self, path, data):
        self.write_object(path, data)


@pytest.fixture
def signer():
    """The log's key, on this machine, with a local witness beside it."""
    places = Places(ORIGIN)
    signer = generate_key(ORIGIN, Algorithm.ED25519)
    save_key(places.keys / "log.pem", signer)
    save_key(places.keys / "operator.pem", generate_key("operator", Algorithm.ED25519))
    key = generate_key("witness.example", Algorithm.COSIGNATURE_ED25519)
    save_key(places.witness / "key.pem", key)
    Witness(places.witness, key, clock=time.time).know(signer.key)
    return signer


@pytest.fixture
def make_store(request, tmp_path, monkeypatch, signer):
    """Makes a store of a kind, empty."""
    made = []

    def make(kind):
        name = f"t_{secrets.token_hex(6)}"
        if kind == "embedded":
            return Store(str(tmp_path / name), signer)
        server = request.getfixturevalue("postgres")
        made.append((server, name))
        if kind == "postgres-files":
            tiles = tmp_path / name
            return Shared(f"{server.url}?tiles=file://{tiles}&schema={name}", signer, tiles)
        for variable, value in request.getfixturevalue("object_store").environment.items():
            monkeypatch.setenv(variable, value)
        tiles = f"s3://{servers.BUCKET}/{name}"
        return Shared(f"{server.url}?tiles={tiles}&schema={name}", signer, None)

    yield make
    for server, name in made:
        server.run(f"DROP SCHEMA IF EXISTS {name} CASCADE")


@pytest.fixture(params=STORES)
def store(request, make_store):
    """A store with an empty log, one kind after another."""
    made = make_store(request.param)
    made.make()
    return made


@pytest.fixture(params=STORES[1:])
def shared(request, make_store):
    """Likewise, only those that several processes write to."""
    made = make_store(request.param)
    made.make()
    return made
