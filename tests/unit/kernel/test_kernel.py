from __future__ import annotations

import os
import subprocess
import sys
import threading
from array import array
from hashlib import sha256
from itertools import accumulate
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil import kernel
from counterfoil.core.merkle import leaf_hash, node_hash
from counterfoil.errors import FormatError

pytestmark = pytest.mark.usefixtures("hashing")

ENTRIES = [
    bytes([i % 251]) * (i * 37 % 1300) for i in range(601)
]  # odd, and on both sides of 16 blocks


@pytest.fixture
def native():
    if not kernel.is_native():
        pytest.skip("this is hashlib's turn, or the kernel is not built here")


def joined(entries):
    return b"".join([sha256(b"\x00" + entry).digest() for entry in entries])


def row(count):
    return b"".join([sha256(bytes([i])).digest() for i in range(count)])


def laid(entries, width):
    """Entries behind their lengths, and where each ends, as a file has them."""
    data = b"".join([len(entry).to_bytes(width, "big") + entry for entry in entries])
    return data, array("Q", accumulate([len(entry) + width for entry in entries]))


def test_every_length_to_300_hashes_as_hashlib_does():
    """No border of a block or of its padding is wrong, at any place in a batch."""
    for first in range(301):
        entries = [bytes([7]) * length for length in range(first, first + 17)]
        assert kernel.leaves(entries) == joined(entries)


@given(st.lists(st.binary(max_size=400), max_size=40))
def test_leaves_are_those_of_hashlib(entries):
    """Any entries, of any lengths and any number, have the leaves that the RFC gives them."""
    assert kernel.leaves(entries) == b"".join([leaf_hash(entry) for entry in entries])


@given(st.integers(0, 40), st.binary(min_size=32, max_size=32))
def test_parents_are_those_of_hashlib(pairs, seed):
    """Each two hashes of a row make the parent that the RFC gives them."""
    hashes = [sha256(seed + bytes([i])).digest() for i in range(2 * pairs)]
    expected = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, 2 * pairs, 2)]
    assert kernel.parents(b"".join(hashes)) == b"".join(expected)


@given(st.integers(0, 64), st.integers(-1, 2**64 - 1))
def test_climbing_takes_each_sibling_on_its_side(count, left):
    """A way of any length ends where hashing step by step ends."""
    node, siblings = sha256(b"node").digest(), [sha256(bytes([i])).digest() for i in range(count)]
    expected = node
    for place, sibling in enumerate(siblings):
        expected = node_hash(*((sibling, expected) if left >> place & 1 else (expected, sibling)))
    assert kernel.climb(node, siblings, left) == expected


def test_long_entries_hash_as_hashlib_does():
    """An entry of the greatest length, and a megabyte beside a byte, are no exception."""
    entries = [bytes(65_535), b"", bytes(1 << 20), b"x"] * 3
    assert kernel.leaves(entries) == joined(entries)


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("width", [2, 4])
def test_a_run_is_laid_out_and_hashed_as_its_entries(width):
    """Entries in one piece have the same leaves, and lie where a reader looks for them."""
    data, ends = laid(ENTRIES, width)
    shifted = array("Q", [end + 1000 for end in ends])
    assert kernel.run_leaves(data, 1000, shifted, width) == joined(ENTRIES)
    lengths = array("Q", map(len, ENTRIES))
    found = kernel.lay_out(ENTRIES, lengths, width, 1000, hashed=True)
    assert found == (data, shifted.tobytes(), joined(ENTRIES))
    assert kernel.lay_out(ENTRIES, lengths, width, 1000, hashed=False)[2] == b""


@pytest.mark.usefixtures("native")
def test_a_run_whose_lengths_do_not_hold_is_refused():
    """Nothing is hashed that ends and lengths disagree about, or that lies outside the bytes."""
    data, ends = laid([b"one", b"two", b"three"], 2)
    assert kernel.run_leaves(data, 0, ends, 2) is not None
    for bad in ([5, 10], [5, 10, 18], [5, 10, 2**64 - 1], [10, 5, 17], [4, 10, 17], [5, 6, 17]):
        assert kernel.run_leaves(data, 0, array("Q", bad), 2) is None
    for bad in ([10, 5, 17], [0, 2**64 - 5, 17], [17, 18], [16]):
        assert kernel.run_leaves(data, 0, array("Q", bad), 0) is None
    assert kernel.run_leaves(data, 1, ends, 2) is None
    assert kernel.run_leaves(data + b"x", 0, ends, 2) is None
    assert kernel.run_leaves(data[:1] + b"\x04" + data[2:], 0, ends, 2) is None
    assert kernel.run_leaves(data, 0, ends, 5) is None
    for lengths in ([2, 3], [3, 4], [3, 3, 1], [2**64 - 1, 4]):
        with pytest.raises(FormatError):
            kernel.lay_out([b"one", b"two"], array("Q", lengths), 2, 0, hashed=True)
    with pytest.raises(FormatError):
        kernel.lay_out([bytes(65_536)], array("Q", [65_536]), 2, 0, hashed=True)


@pytest.mark.usefixtures("native")
def test_hashes_of_another_width_are_refused():
    """A buffer that was not filled never passes for hashes."""
    with pytest.raises(FormatError):
        kernel.parents(row(17))
    with pytest.raises(FormatError):
        kernel.climb(bytes(31), [bytes(32)] * 8, 0)
    with pytest.raises(FormatError):
        kernel.climb(bytes(32), [bytes(31)] * 8, 0)
    with pytest.raises(FormatError):
        kernel.climb(bytes(32), [bytes(32)] * 65, 0)


def test_threads_do_not_disturb_each_other():
    """Eight threads at once, on batches long enough to let each other in, all find the truth."""
    expected, wrong = joined(ENTRIES), []

    def work():
        if any(kernel.leaves(ENTRIES) != expected for _ in range(20)):
            wrong.append(threading.get_ident())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_forked_process_hashes_as_its_parent():
    """What was loaded before a fork works after it."""
    code = (
        "import os\nfrom counterfoil import kernel\n"
        "entries = [bytes([i]) * i for i in range(200)]\nexpected = kernel.leaves(entries)\n"
        "pid = os.fork()\n"
        "if not pid: os._exit(kernel.leaves(entries) != expected)\n"
        "raise SystemExit(os.waitpid(pid, 0)[1])"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_compiled_module_hashlib_is_used(monkeypatch):
    """Where no compiler was, everything hashes, and nobody has to say so."""
    monkeypatch.setitem(sys.modules, "counterfoil.kernel._native", None)
    monkeypatch.setattr(kernel, "_native", None)
    kernel.load("")
    assert not kernel.is_native()
    assert kernel.leaves(ENTRIES) == joined(ENTRIES)


class Lying:
    """The compiled module, with one function that changes a bit of what it finds."""

    def __init__(self, native, function):
        self.ffi, self.lib = native.ffi, SimpleNamespace()
        for name in dir(native.lib):
            setattr(self.lib, name, getattr(native.lib, name))
        honest = getattr(native.lib, function)

        def lie(*given):
            is_done = honest(*given)
            given[-2][given[-1] - 1] ^= 1
            return is_done

        setattr(self.lib, function, lie)


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize(
    "function", ["kernel_leaves", "kernel_lay_out", "kernel_parents", "kernel_climb"]
)
def test_a_kernel_that_differs_from_hashlib_in_one_bit_is_not_used(function, monkeypatch):
    """Whatever is wrong with it, it hashes nothing."""
    lying = Lying(kernel._native, function)
    monkeypatch.setitem(sys.modules, "counterfoil.kernel._native", lying)
    monkeypatch.setattr(kernel, "_native", None)
    kernel.load("")
    assert not kernel.is_native()
    assert kernel.leaves(ENTRIES) == joined(ENTRIES)


@pytest.mark.usefixtures("native")
def test_a_compiled_module_of_another_version_is_not_used(monkeypatch):
    """One that lacks a function was left over from before an update."""
    old = SimpleNamespace(ffi=kernel._native.ffi, lib=SimpleNamespace(kernel_is_usable=lambda: 1))
    monkeypatch.setitem(sys.modules, "counterfoil.kernel._native", old)
    monkeypatch.setattr(kernel, "_native", None)
    kernel.load("")
    assert not kernel.is_native()


def test_the_environment_switches_it_off():
    """`COUNTERFOIL_KERNEL=off` means hashlib, whatever is built."""
    code = "from counterfoil import kernel; raise SystemExit(kernel.is_native())"
    environment = os.environ | {"COUNTERFOIL_KERNEL": "off"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
