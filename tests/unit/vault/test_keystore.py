from __future__ import annotations

import os
import stat
import threading

import pytest

from counterfoil.errors import ConflictError, FormatError, RefusedError, UnavailableError
from counterfoil.ledger.disk import Disk
from counterfoil.vault import FileKeyStore

STREAM, OTHER = b"S" * 32, b"T" * 32


class MemoryKeyStore:
    """The shortest store that keeps the protocol's promises while its process lives."""

    def __init__(self):
        self.keys = {}

    def key(self, stream, epoch, *, create=False):
        if create:
            self.keys.setdefault((stream, epoch), os.urandom(32))
        if (stream, epoch) not in self.keys:
            raise UnavailableError("no such key")
        return self.keys[stream, epoch]

    def destroy(self, stream, epoch):
        self.keys.pop((stream, epoch), None)


@pytest.fixture(params=["file", "memory"])
def opened(request, tmp_path):
    """Opens one key store again and again, as after a restart."""
    if request.param == "memory":
        store = MemoryKeyStore()
        return lambda: store
    return lambda: FileKeyStore(tmp_path / "keys")


def test_a_key_stays_the_same(opened):
    """A key is 32 bytes, and asking again, after a restart too, gives the same one."""
    key = opened().key(STREAM, 1, create=True)
    assert len(key) == 32
    assert opened().key(STREAM, 1, create=True) == key
    assert opened().key(STREAM, 1) == key


def test_keys_differ(opened):
    """Each stream and each epoch has a key of its own."""
    store = opened()
    places = [(STREAM, 0), (STREAM, 1), (STREAM, 2**32 - 1), (OTHER, 1)]
    assert len({store.key(*place, create=True) for place in places}) == len(places)


def test_a_missing_key_is_not_made_up(opened):
    """Without `create`, a key that is not there is an error and is not invented."""
    with pytest.raises(UnavailableError):
        opened().key(STREAM, 1)
    with pytest.raises(UnavailableError):
        opened().key(STREAM, 1)


def test_a_destroyed_key_is_gone(opened):
    """After `destroy` nobody gets the key back, after a restart neither; others stay."""
    key, other = (opened().key(STREAM, epoch, create=True) for epoch in (1, 2))
    opened().destroy(STREAM, 1)
    with pytest.raises(UnavailableError):
        opened().key(STREAM, 1)
    assert opened().key(STREAM, 2) == other
    assert opened().key(STREAM, 1, create=True) != key


def test_destroying_twice_is_no_error(opened):
    """An interrupted destruction is completed by asking again, and nothing may be there."""
    opened().destroy(STREAM, 1)
    opened().key(STREAM, 1, create=True)
    opened().destroy(STREAM, 1)
    opened().destroy(STREAM, 1)


def test_only_the_owner_may_look(keys):
    """The folder and every file in it are closed to others."""
    keys.key(STREAM, 1, create=True)
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700
    (file,) = keys.folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_open_folder_is_refused(keys):
    """A key store that others may enter is refused, with its mode and what to do."""
    keys.folder.chmod(0o750)
    with pytest.raises(RefusedError, match="0750") as caught:
        FileKeyStore(keys.folder)
    assert "chmod" in caught.value.hint


def test_a_readable_key_is_refused(keys):
    """A key file that others may read is not used."""
    keys.key(STREAM, 1, create=True)
    (file,) = keys.folder.iterdir()
    file.chmod(0o640)
    with pytest.raises(RefusedError, match="0640"):
        keys.key(STREAM, 1)


def test_a_linked_key_is_refused(keys, tmp_path):
    """A symbolic link in the place of a key is not followed."""
    keys.key(STREAM, 1, create=True)
    (file,) = keys.folder.iterdir()
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError):
        keys.key(STREAM, 1)


def test_every_flipped_bit_of_a_key_is_noticed(keys):
    """A damaged key file is named as such, before anything is said to be forged."""
    keys.key(STREAM, 1, create=True)
    (file,) = keys.folder.iterdir()
    good = file.read_bytes()
    for at in range(len(good)):
        file.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(FormatError):
            keys.key(STREAM, 1)


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"counterfoil vault key v1\n" * 99])
def test_another_file_is_no_key(keys, data):
    """Whatever lies in the place of a key is refused in our own words."""
    keys.key(STREAM, 1, create=True)
    (file,) = keys.folder.iterdir()
    file.write_bytes(data)
    with pytest.raises(FormatError, match="key"):
        keys.key(STREAM, 1)


def test_a_renamed_key_is_refused(keys):
    """The key of another epoch or stream does not pass for the one that is asked for."""
    keys.key(STREAM, 1, create=True)
    (file,) = keys.folder.iterdir()
    file.rename(keys.folder / f"{STREAM.hex()}-2.key")
    with pytest.raises(FormatError, match="another stream or epoch"):
        keys.key(STREAM, 2)


def test_destruction_reaches_the_blocks(keys):
    """The bytes of a destroyed key are overwritten, not only unlinked."""
    keys.key(STREAM, 1, create=True)
    (file,) = keys.folder.iterdir()
    with file.open("rb") as still_open:
        keys.destroy(STREAM, 1)
        assert set(still_open.read()) == {0}
    assert list(keys.folder.iterdir()) == []


@pytest.mark.parametrize("after", [False, True])
def test_creation_breaks_without_harm(tmp_path, failing_disk, after):
    """Whichever step of making a key the disk refuses, the key that is made in the end stays."""
    for at in range(20):
        folder = tmp_path / f"{at}"
        try:
            FileKeyStore(folder, disk=failing_disk(at, after=after)).key(STREAM, 1, create=True)
        except UnavailableError:
            key = FileKeyStore(folder).key(STREAM, 1, create=True)
            assert FileKeyStore(folder).key(STREAM, 1) == key
        else:
            return
    pytest.fail("making a key took more than 20 steps")


@pytest.mark.parametrize("after", [False, True])
def test_destruction_breaks_without_harm(tmp_path, failing_disk, after):
    """Whichever step of destroying a key the disk refuses, asking again destroys it."""
    for at in range(20):
        folder = tmp_path / f"{at}"
        FileKeyStore(folder).key(STREAM, 1, create=True)
        try:
            FileKeyStore(folder, disk=failing_disk(at, after=after)).destroy(STREAM, 1)
        except UnavailableError:
            FileKeyStore(folder).destroy(STREAM, 1)
            assert list(folder.iterdir()) == []
        else:
            return
    pytest.fail("destroying a key took more than 20 steps")


def test_two_makers_cannot_replace_each_other(tmp_path):
    """Of two processes that make one key at the same time, neither overwrites the other's."""
    barrier = threading.Barrier(2, timeout=10)

    class Slow(Disk):
        def sync(self, fd):
            super().sync(fd)
            barrier.wait()  # both have found no key and written one of their own

    results = []

    def make():
        try:
            key = FileKeyStore(tmp_path / "keys", disk=Slow()).key(STREAM, 1, create=True)
            results.append(key)
        except ConflictError as error:
            results.append(error)

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    given = [result for result in results if isinstance(result, bytes)]
    assert given == [FileKeyStore(tmp_path / "keys").key(STREAM, 1)]
    assert len(list((tmp_path / "keys").iterdir())) == 1
