from __future__ import annotations

import shutil

import pytest

from counterfoil.errors import UnavailableError, VerificationError
from counterfoil.vault import FileKeyStore
from counterfoil.vault.seal import SLOT_BYTES, slot_epoch

DAY = 86_400


def key_files(vault):
    return sorted(
        path.name.removeprefix(vault.stream.hex()) for path in vault.keys.folder.iterdir()
    )


def test_survivors_open_under_the_new_key(vault):
    """After a change of epoch every record that is not erased opens, now and after reopening."""
    one = vault.create()
    vault.fill(one, "anna", "bert", "cleo")
    one.destroy([1])
    assert one.rotate_epoch() == ()
    assert one.epoch.number == 2
    vault.fill(one, "dora")
    one.close()
    again = vault.open()
    assert [again.subject(n) for n in (0, 2, 3)] == ["anna", "cleo", "dora"]
    assert again.find("anna") == [0]
    with pytest.raises(UnavailableError, match="erased"):
        again.disclosures(1)


def test_old_backups_open_nothing(vault, tmp_path):
    """A copy of the whole stream from before opens no record once the epoch has changed."""
    one = vault.create()
    vault.fill(one, "anna", "bert")
    one.close()
    shutil.copytree(vault.folder, tmp_path / "backup")
    one = vault.open()
    one.destroy([0])
    one.rotate_epoch()
    one.close()
    assert key_files(vault) == ["-2.key"]
    for write in (False, True):
        with pytest.raises(UnavailableError, match="no key") as caught:
            vault.open(folder=tmp_path / "backup", write=write)
        assert "epoch has ended" in caught.value.hint


def test_old_slots_under_a_new_state_open_nothing(vault):
    """Putting only the old slots back brings nothing back."""
    one = vault.create()
    vault.fill(one, "anna")
    one.close()
    old = (vault.folder / "slots").read_bytes()
    one = vault.open()
    one.rotate_epoch()
    one.close()
    (vault.folder / "slots").write_bytes(old)
    with pytest.raises(UnavailableError, match="epoch 1"):
        vault.open().disclosures(0)


def test_tags_change_with_the_epoch(vault):
    """The index of an old backup says nothing about anybody once the epoch has changed."""
    one = vault.create()
    vault.fill(one, "anna")
    (tag,) = one._index._waiting
    one.rotate_epoch()
    (new,) = one._index._waiting
    assert tag != new


def test_an_overdue_epoch_changes_on_opening(vault):
    """A writer that opens a store after the epoch's end changes the epoch; one before does not."""
    vault.create(epoch_s=30 * DAY).close()
    vault.now += 30 * DAY - 1
    one = vault.open()
    assert one.epoch.number == 1
    assert not one.rotate_if_due()
    one.close()
    vault.now += 1
    one = vault.open()
    assert (one.epoch.number, one.epoch.ends) == (2, vault.now + 30 * DAY)


def test_a_damaged_slot_does_not_stop_the_epoch(vault):
    """A record whose slot is damaged is named, stays an error, and holds up nobody else."""
    one = vault.create()
    vault.fill(one, "anna", "bert", "cleo")
    one.close()
    path = vault.folder / "slots"
    data = bytearray(path.read_bytes())
    data[SLOT_BYTES + 20] ^= 1
    path.write_bytes(data)
    one = vault.open()
    assert one.rotate_epoch() == (1,)
    with pytest.raises(VerificationError, match="record 1"):
        one.disclosures(1)
    assert [one.subject(n) for n in (0, 2)] == ["anna", "cleo"]
    assert one.rotate_epoch() == (1,)


def test_a_key_store_that_is_silent_is_not_taken_for_empty(vault):
    """If the retiring key cannot be had, the change waits; no key is destroyed."""
    one = vault.create()
    vault.fill(one, "anna")

    class Silent(FileKeyStore):
        is_silent = True

        def key(self, stream, epoch, *, create=False):
            if self.is_silent and epoch == 1:
                raise UnavailableError("no answer (test)")
            return super().key(stream, epoch, create=create)

    one.keystore = Silent(vault.keys.folder)
    with pytest.raises(UnavailableError, match="no answer"):
        one.rotate_epoch()
    assert key_files(vault) == ["-1.key", "-2.key"]
    one.keystore.is_silent = False
    vault.fill(one, "bert")  # whatever writes next finishes the change first
    assert key_files(vault) == ["-2.key"]
    assert [one.subject(n) for n in range(2)] == ["anna", "bert"]


@pytest.mark.parametrize("after", [False, True])
def test_a_change_breaks_without_harm(vault, failing_disk, tmp_path, after):
    """Whichever step the disk refuses, all records open after reopening, under one key."""
    one = vault.create()
    vault.fill(one, "anna", "bert", "cleo")
    one.destroy([1])
    one.close()
    for at in range(80):
        folder, keys_folder = tmp_path / f"stream-{at}", tmp_path / f"keys-{at}"
        shutil.copytree(vault.folder, folder)
        shutil.copytree(vault.keys.folder, keys_folder)
        disk = failing_disk(10**9, after=after)
        one = vault.open(folder=folder, keys=FileKeyStore(keys_folder, disk=disk), disk=disk)
        disk.left = at
        try:
            one.rotate_epoch()
            done = True
        except UnavailableError:
            done = False
        disk.left = 10**9
        one.close()
        again = vault.open(folder=folder, keys=FileKeyStore(keys_folder))
        assert [again.subject(n) for n in (0, 2)] == ["anna", "cleo"]
        assert again.find("anna") == [0]
        again.close()
        again = vault.open(folder=folder, keys=FileKeyStore(keys_folder))
        assert {slot_epoch(again._tree.payload(n)) for n in (0, 2)} == {again.epoch.number}
        keys = [path.name[-6:] for path in keys_folder.iterdir() if path.name.endswith(".key")]
        assert f"-{again.epoch.number}.key" in keys
        if again.epoch.number == 2:
            assert "-1.key" not in keys
        again.close()
        shutil.rmtree(folder)
        if done:
            return
    pytest.fail("a change of epoch took more than 80 steps")
