"""The end of an epoch: every surviving record key is wrapped under the new epoch's key."""

from __future__ import annotations

from counterfoil.errors import VerificationError
from counterfoil.ledger.keeping import StreamTree
from counterfoil.vault.epoch import Epoch
from counterfoil.vault.keystore import KeyStore
from counterfoil.vault.seal import NONCE_BYTES, EpochKeys, Random, relabel, rewrap, slot_epoch


def rewrap_slots(
    tree: StreamTree, keystore: KeyStore, epoch: Epoch, new: EpochKeys, random: Random
) -> tuple[int, ...]:
    """Replace all slots at once by slots of the new epoch; doing it again changes nothing.

    The retiring epoch's key is asked for only if a slot needs it, so that this also works after
    it was destroyed, and never takes a key store that is out of reach for one that has forgotten.

    Returns:
        Indices whose slots were damaged. They open under no key, and are labelled with the new
        epoch, so that they do not keep the old key alive.

    Raises:
        UnavailableError: the disk refuses, or the key store has not the key; nothing was changed.
    """
    damaged: list[int] = []
    old: EpochKeys | None = None

    def anew(index: int, slot: bytes) -> bytes:
        nonlocal old
        if slot_epoch(slot) == new.epoch or not any(slot):
            return slot
        if old is None:
            key = keystore.key(epoch.stream, epoch.retiring)
            old = EpochKeys.derive(epoch.retiring, key)
        try:
            return rewrap(old, new, epoch.stream, index, slot, nonce=random(NONCE_BYTES))
        except VerificationError:
            damaged.append(index)
            return relabel(new, slot)

    tree.replace_slots(anew)
    return tuple(damaged)
