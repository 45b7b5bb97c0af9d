from __future__ import annotations

import os
import stat
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from counterfoil.core.keys import Algorithm, format_vkey
from counterfoil.errors import (
    ConflictError,
    CounterfoilError,
    FormatError,
    RefusedError,
    UnavailableError,
)
from counterfoil.ledger import keyfiles
from counterfoil.ledger.keyfiles import generate_key, load_key, save_key


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def key():
    return generate_key("risk-a", Algorithm.ED25519)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys" / "ledger" / "risk-a.pem"


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("passphrase", [None, "a sentence, ünïcode too"])
def test_a_key_survives_its_file(path, algorithm, passphrase):
    """A saved key loads as the same key and signs for its public half."""
    key = generate_key("risk-a", algorithm)
    save_key(path, key, passphrase)
    loaded = load_key(path, passphrase)
    assert loaded == key
    key.key.verify(b"message", loaded.sign(b"message"))


def test_only_the_owner_can_read_a_key(path, key):
    """Key and folders are the owner's alone; the public half is for everybody."""
    old = os.umask(0)
    try:
        save_key(path, key)
    finally:
        os.umask(old)
    assert [mode(one) for one in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]
    public = path.with_suffix(".vkey")
    assert mode(public) == 0o644
    assert public.read_text("utf-8") == f"{format_vkey(key.key)}\n"
    assert sorted(one.name for one in path.parent.iterdir()) == ["risk-a.pem", "risk-a.vkey"]


def test_the_file_is_plain_pkcs8(path, key):
    """Other tools read the key, and with a passphrase the file does not hold it in the clear."""
    save_key(path, key)
    theirs = load_pem_private_key(path.read_bytes(), None)
    assert theirs.public_key().public_bytes_raw() == key.key.public
    locked = path.with_name("locked.pem")
    save_key(locked, key, "secret")
    assert locked.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")


def test_a_key_is_never_overwritten(path, key):
    """Saving where a key lies is refused, and the old key stays as it was."""
    save_key(path, key)
    before = path.read_bytes()
    other = generate_key("risk-a", Algorithm.ED25519)
    with pytest.raises(ConflictError, match="exists already"):
        save_key(path, other)
    assert path.read_bytes() == before
    assert load_key(path) == key


def test_a_key_that_appears_meanwhile_is_not_overwritten(path, key, monkeypatch):
    """Two processes that save at once do not end with one key lost."""
    save_key(path, key)
    monkeypatch.setattr(keyfiles.os.path, "lexists", lambda _: False)
    with pytest.raises(ConflictError):
        save_key(path, generate_key("risk-a", Algorithm.ED25519))
    monkeypatch.undo()
    assert load_pem_private_key(path.read_bytes(), None).sign(b"m") == key.sign(b"m")


def test_a_save_that_was_cut_off_can_be_repeated(path, key):
    """What a kill left behind does not stand in the way of the next attempt."""
    path.parent.mkdir(parents=True)
    path.with_suffix(".vkey").write_text("left behind\n")
    path.with_name(".risk-a.pem.new").write_bytes(b"-----BEGIN")
    save_key(path, key)
    assert load_key(path) == key
    assert not path.with_name(".risk-a.pem.new").exists()


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_a_key_that_others_may_use_is_refused(path, key, bits):
    """Group or world may neither read nor write a key; the hint says how to mend it."""
    save_key(path, key)
    path.chmod(bits)
    with pytest.raises(RefusedError, match=f"mode is {bits:04o}") as caught:
        load_key(path)
    assert "chmod 600" in caught.value.hint


def test_a_link_or_pipe_is_no_key(path, key):
    """Only a plain file is read: a link could be pointed elsewhere, a pipe would wait."""
    save_key(path, key)
    link = path.with_name("link.pem")
    link.symlink_to(path)
    path.with_name("link.vkey").write_bytes(path.with_suffix(".vkey").read_bytes())
    with pytest.raises(RefusedError, match="symbolic link"):
        load_key(link)
    with pytest.raises(ConflictError):
        save_key(link, key)
    pipe = path.with_name("pipe.pem")
    os.mkfifo(pipe, 0o600)
    path.with_name("pipe.vkey").write_bytes(path.with_suffix(".vkey").read_bytes())
    with pytest.raises(RefusedError, match="no plain file"):
        load_key(pipe)


def test_the_passphrase_must_fit(path, key):
    """A wrong, missing, needless, empty or endless passphrase is named as what it is."""
    save_key(path, key, "right")
    open_path = path.with_name("open.pem")
    save_key(open_path, key)
    for where, passphrase, message in (
        (path, "wrong", "passphrase is wrong"),
        (path, None, "needs a passphrase"),
        (open_path, "right", "has no passphrase"),
        (path, "", "1 to 1023 bytes"),
        (path, "x" * 1024, "1 to 1023 bytes"),
        (path, "\ud800", "not UTF-8"),
    ):
        with pytest.raises(FormatError, match=message) as caught:
            load_key(where, passphrase)
        assert caught.value.hint
    for passphrase in ("", "x" * 1024):
        with pytest.raises(FormatError):
            save_key(path.with_name("new.pem"), key, passphrase)
    assert not path.with_name("new.pem").exists()


def test_the_public_half_must_fit(path, key):
    """A vkey of another key, another name's or none at all does not make a signer."""
    save_key(path, key)
    public = path.with_suffix(".vkey")
    good = public.read_bytes()
    other = format_vkey(generate_key("risk-a", Algorithm.ED25519).key).encode()
    for wrong in (b"", b"\xff\n", good[:-1], good + b"\n", other + b"\n", b"x" * 100_000):
        public.write_bytes(wrong)
        with pytest.raises(FormatError):
            load_key(path)
    public.unlink()
    with pytest.raises(UnavailableError, match="public half"):
        load_key(path)


@pytest.mark.parametrize(
    "private",
    [Ed448PrivateKey.generate(), generate_private_key(SECP256R1())],
    ids=["ed448", "p256"],
)
def test_another_algorithm_is_refused(path, key, private):
    """A key that signs with something else is not mistaken for one of ours."""
    save_key(path, key)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(FormatError, match="another algorithm"):
        load_key(path)


def test_another_format_is_refused(path, key):
    """OpenSSH, SEC 1 and DER files, public keys and noise are refused with a way out."""
    save_key(path, key)
    pem = path.read_bytes()
    curve = generate_private_key(SECP256R1())
    for wrong in (
        b"",
        b"\x00" * 1000,
        b"\n" + pem,
        pem.replace(b"\n", b"\r\n"),
        key.private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        key.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        curve.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    ):
        path.write_bytes(wrong)
        with pytest.raises(FormatError, match="not a private key in PKCS#8 PEM") as caught:
            load_key(path)
        assert "openssl pkcs8" in caught.value.hint


def test_a_damaged_key_raises_only_our_errors(path, key):
    """Any byte of the file changed, or the file cut anywhere, is an error of ours or the key."""
    save_key(path, key)
    pem = path.read_bytes()
    for at in range(len(pem)):
        for damaged in (pem[:at], pem[:at] + bytes([pem[at] ^ 1]) + pem[at + 1 :]):
            path.write_bytes(damaged)
            try:
                assert load_key(path) == key
            except CounterfoilError as error:
                assert error.hint  # noqa: PT017 - most damages raise, the last line break may not


def test_a_missing_key_is_named(path):
    """The message says which key is missing and where to look."""
    with pytest.raises(UnavailableError, match=r"there is no key .*risk-a\.pem"):
        load_key(path)


def test_a_key_file_is_called_pem(path, key):
    """Other endings are refused, so that the public half has a place of its own."""
    for act in (lambda one: save_key(one, key), load_key):
        path.parent.mkdir(parents=True, exist_ok=True)
        wrong = path.with_suffix(".vkey")
        wrong.touch()
        with pytest.raises(FormatError, match=r"does not end in \.pem"):
            act(wrong)


def test_a_full_or_read_only_disk_leaves_no_half_key(path, key, monkeypatch):
    """When the disk refuses, the error says so and no key stands there."""

    def refuse(*_):
        raise OSError(28, "No space left on device")

    for step in ("write", "sync"):
        monkeypatch.setattr(keyfiles.Disk, step, refuse)
        with pytest.raises(UnavailableError, match="No space left"):
            save_key(path, key)
        monkeypatch.undo()
        assert not path.exists()
    save_key(path, key)
    assert load_key(path) == key


@pytest.mark.parametrize("algorithm", Algorithm)
def test_randomness_comes_from_outside(algorithm):
    """The same bytes make the same key, fresh ones another, and 32 are asked for."""

    def fixed(size):
        assert size == 32
        return sha256(b"test").digest()

    assert generate_key("a", algorithm, fixed) == generate_key("a", algorithm, fixed)
    assert generate_key("a", algorithm) != generate_key("a", algorithm)


def test_home_is_the_owners_alone(home, monkeypatch):
    """$COUNTERFOIL_HOME is made with mode 0700, and refused where others may write."""
    made = keyfiles.home()
    assert made == home
    assert mode(made) == 0o700
    made.chmod(0o755)
    assert keyfiles.home() == home
    made.chmod(0o775)
    with pytest.raises(RefusedError, match="others may write"):
        keyfiles.home()
    monkeypatch.setenv("COUNTERFOIL_HOME", "")
    monkeypatch.setenv("HOME", str(home.parent))
    assert keyfiles.home() == home.parent / ".counterfoil"
