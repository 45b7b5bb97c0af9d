from __future__ import annotations

import os

import pytest

import counterfoil as cf
from counterfoil.data.fingerprint import fingerprint
from counterfoil.errors import FormatError, UnavailableError, VerificationError

SALT = bytes(32)
GOOD = "age,income,repaid\n31,2000,1\n47,3100,0\n"


@pytest.fixture
def table(tmp_path):
    """Writes a CSV file and gives its path."""

    def write(data, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"a,b\n", "no rows"),
        (b"a,b\n1\n", "line 2: 1 values where the header has 2"),
        (b"a,b\n1,2,3\n", "line 2: 3 values"),
        (b"a,a\n1,2\n", "two columns of one name"),
        (b"a,b\n\xff\xfe,2\n", "not UTF-8 in its first lines"),
        (b"a,b\n" + b"1,2\n" * 5000 + b"\xff,2\n", "not UTF-8 after line [0-9]{4}:"),
        (b'a,b\n"1,2\n', "line"),
        (b'a,b\n"1"x,2\n', "line 2"),
        (b"a,b\n" + b"x" * (1 << 21) + b",1\n", "line 2"),
    ],
)
def test_a_bad_table_is_refused_and_the_place_is_named(table, data, said):
    """Each error says what is wrong, where, and what to do."""
    with pytest.raises(FormatError, match=said) as caught:
        fingerprint(table(data), SALT)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_what_is_no_file_does_not_hang_or_pass(tmp_path, table):
    """Pipes, devices, links and missing files are refused at once."""
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to(table(GOOD))
    for path in (tmp_path / "pipe.csv", "/dev/zero", tmp_path / "link.csv", tmp_path / "none"):
        with pytest.raises((FormatError, UnavailableError)):
            fingerprint(path, SALT)
    (tmp_path / "folder").mkdir()
    with pytest.raises(FormatError, match="no files"):
        fingerprint(tmp_path / "folder", SALT)
    (tmp_path / "folder" / "x").symlink_to("/etc/hostname")
    with pytest.raises(FormatError, match="symbolic link"):
        fingerprint(tmp_path / "folder", SALT)


def test_a_file_that_changes_while_it_is_read_is_refused(table):
    """What was fingerprinted was there as a whole at one time, or not at all."""
    rows = "".join(f"{i},{i},1\n" for i in range(40_000))
    path = table("age,income,repaid\n" + rows)

    def append(_parts):
        with path.open("a") as file:
            file.write("1,1,1\n")

    with pytest.raises(VerificationError, match="changed while it was read"):
        fingerprint(path, SALT, append)


def test_missing_values_are_values_and_infinite_ones_are_refused():
    """NaN becomes null, which two equal tables share; infinity has to be decided by people."""
    nan = fingerprint([[1.0, float("nan")]], SALT)
    assert nan.root == fingerprint([[1.0, None]], SALT).root
    assert nan.root != fingerprint([[1.0, 0.0]], SALT).root
    with pytest.raises(FormatError, match="row 0"):
        fingerprint([[1.0, float("inf")]], SALT)
    with pytest.raises(FormatError):
        fingerprint([[1.0, 2.0], [1.0]], SALT)
    with pytest.raises(FormatError):
        fingerprint([], SALT)


def test_a_fingerprint_tells_nothing_without_its_salt():
    """The same rows under two salts have nothing in common."""
    one, other = (fingerprint([["a"], ["b"]], bytes([i]) * 32) for i in (1, 2))
    assert not set(one.leaves) & set(other.leaves)


@pytest.mark.parametrize(
    "name",
    ["", "../x", "a/b", "a..b", "x\n", " x", "x. It is lawful", "x" * 101, "ab" * 32],
)
def test_names_are_plain_names(tmp_path, table, name):
    """A name is no path and no sentence, holds no control characters, and is no digest."""
    with cf.init(tmp_path / "ledger") as ledger:
        before = ledger.size
        with pytest.raises(FormatError, match="cannot be the name"):
            ledger.data.add(table(GOOD), name=name)
        assert ledger.size == before
        assert not (ledger.folder / "private" / "data").exists()


def test_the_same_data_is_one_data_set_and_a_changed_row_is_named(tmp_path, table):
    """Adding again changes nothing; a flipped value, a missing or an extra row is told."""
    path = table(GOOD)
    with cf.init(tmp_path / "ledger") as ledger:
        added = ledger.data.add(path, name="people")
        assert ledger.data.add(path, name="people") == added
        assert ledger.data.check("people", path) == added
        assert b"2000" not in b"".join(ledger.entries(0, ledger.size))
        for changed, said in (
            (GOOD.replace("47,3100,0", "47,3100,1"), "row 2"),
            (GOOD + "1,2,3\n", "1 more at the end"),
            (GOOD.rsplit("47", 1)[0], "1 fewer at the end"),
            (GOOD.replace("income", "salary"), "the header"),
        ):
            with pytest.raises(VerificationError, match=said):
                ledger.data.check("people", table(changed, "changed.csv"))
        with pytest.raises(FormatError, match="added as csv"):
            ledger.data.diff("people", [[31, 2000, 1]])
        again = ledger.data.add(table(GOOD + "1,2,1\n"), name="people")
        assert again.digest != added.digest
        assert ledger.data.show("people") == again
        assert ledger.data.show(added.digest) == added


def test_lost_salts_are_said(tmp_path, table):
    """Without the owner's private files nothing can be compared, and damaged ones are named."""
    with cf.init(tmp_path / "ledger") as ledger:
        added = ledger.data.add(table(GOOD), name="people")
        leaves = ledger.folder / "private" / "data" / f"{added.digest}.leaves"
        data = leaves.read_bytes()
        leaves.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(VerificationError, match="not those of people"):
            ledger.data.check("people", table(GOOD))
        leaves.with_suffix(".json").unlink()
        with pytest.raises(UnavailableError, match="salt"):
            ledger.data.check("people", table(GOOD))
