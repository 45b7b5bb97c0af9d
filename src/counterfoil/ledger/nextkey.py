"""The key that a log will go on with: made beforehand, and put in place once the log names it.

    keys/<log>/log.next.pem, log.next.vkey

`ledger.json`, or the database, says which key is in force. Whatever stops us between its
replacement and that of `log.pem`, whoever writes next completes it before anything is signed. So
does every other machine that was given the next key beforehand.
"""

from __future__ import annotations

from counterfoil.core.checkpoint import LogKeys
from counterfoil.core.keys import Algorithm, PrivateKey, VerifierKey, format_vkey
from counterfoil.errors import ConflictError
from counterfoil.ledger.disk import Disk, reported
from counterfoil.ledger.keyfiles import generate_key, load_key, read_private, save_key
from counterfoil.ledger.places import Places
from counterfoil.ledger.witness import know_next

_NEXT = "log.next"


def prepare_next_key(places: Places) -> PrivateKey:
    """Make the key that a log will go on with, or give the one that was made before.

    Raises:
        UnavailableError: the disk refuses.
    """
    path = places.keys / f"{_NEXT}.pem"
    if not path.exists():
        save_key(path, generate_key(places.origin, Algorithm.ED25519))
    return load_key(path)


def is_prepared(places: Places) -> bool:
    """Whether the next key was made beforehand, so that others can have been told of it."""
    return (places.keys / f"{_NEXT}.pem").exists()


def load_log_key(places: Places, keys: LogKeys, disk: Disk) -> PrivateKey:
    """Load the key that a log signs with now; the next one is put in its place if that is it.

    Raises:
        ConflictError: this machine has another one.
        UnavailableError: it has none, or the disk refuses.
    """
    install_next_key(places, keys.key, disk)
    path = places.keys / "log.pem"
    signer = load_key(path)
    if signer.key in keys.all[:-1]:
        raise ConflictError(
            f"{keys.name} was handed over to the key {keys.key.key_id.hex()}, and {path} is the "
            f"one before, {signer.key.key_id.hex()}",
            hint="Copy log.pem and log.vkey into this folder from a machine that has the new key.",
        )
    if signer.key != keys.key:
        raise ConflictError(
            f"{path} is not the key of {keys.name}",
            hint="Restore the log's own key; without it nobody can append. If the key was rotated "
            "since, this is an older copy of the ledger: go on with the newest.",
        )
    if keys.earlier and places.witness.exists():
        # Who has the key may say that it is the log's: another machine has handed it over.
        know_next(places.witness, keys.key, disk)
    return signer


def install_next_key(places: Places, key: VerifierKey, disk: Disk) -> None:
    """Put the next key into the place of the log's, if that is the key in force.

    The private half of the key before is gone then: there is nothing left that it may sign.

    Raises:
        UnavailableError: the disk refuses.
    """
    path = places.keys / f"{_NEXT}.pem"
    if not path.exists() or load_key(path).key != key:
        return
    with reported(f"cannot put the log's new key into {places.keys}"):
        disk.replace(places.keys, "log.vkey", f"{format_vkey(key)}\n".encode())
        disk.replace(places.keys, "log.pem", read_private(path), mode=0o600)
        path.unlink()
        (places.keys / f"{_NEXT}.vkey").unlink(missing_ok=True)
        disk.sync_folder(places.keys)
