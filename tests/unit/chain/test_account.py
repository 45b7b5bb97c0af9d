from __future__ import annotations

import json

import pytest

from counterfoil.chain import account as accounts
from counterfoil.chain.account import (
    LocalAccount,
    account_path,
    create_account,
    import_account,
    load_account,
    stated_address,
)
from counterfoil.errors import ConflictError, FormatError, RefusedError, UnavailableError

# Test vectors of Web3 Secret Storage, version 3: the passphrase is "testpassword".
PUBLISHED = {
    "scrypt": {
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
            "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
            "kdf": "scrypt",
            "kdfparams": {
                "dklen": 32,
                "n": 262144,
                "r": 1,
                "p": 8,
                "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
            },
            "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3,
    },
    "pbkdf2": {
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
            "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
            "kdf": "pbkdf2",
            "kdfparams": {
                "c": 262144,
                "dklen": 32,
                "prf": "hmac-sha256",
                "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
            },
            "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3,
    },
}
PUBLISHED_KEY = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"


@pytest.fixture
def path(monkeypatch):
    """Where an account lies; opening its file costs little, as the file itself says."""
    monkeypatch.setattr(accounts, "_SCRYPT_N", 2)
    return account_path("operator")


def test_an_account_reads_back_with_its_passphrase_only(path):
    """The key in the file opens with the passphrase it was made with, and with no other."""
    account = create_account(path, "a sentence")
    assert load_account(path, "a sentence").address == account.address == stated_address(path)
    assert path.stat().st_mode & 0o777 == 0o600
    for wrong in ("another", "a sentence "):
        with pytest.raises(FormatError, match="passphrase is wrong"):
            load_account(path, wrong)
    assert account._key.to_bytes().hex() not in path.read_text()


def test_a_key_is_never_overwritten(path):
    """Making or importing an account of the same name leaves the first one as it is."""
    first = create_account(path, "x")
    with pytest.raises(ConflictError):
        create_account(path, "x")
    with pytest.raises(ConflictError):
        import_account(path, path.read_bytes(), "x")
    assert load_account(path, "x").address == first.address


@pytest.mark.parametrize("kdf", PUBLISHED)
def test_published_key_files_open(kdf, path):
    """Files of the format's own test vectors give the key they are said to hold."""
    account = import_account(path, json.dumps(PUBLISHED[kdf]).encode(), "testpassword")
    assert account._key.to_bytes().hex() == PUBLISHED_KEY
    assert load_account(path, "testpassword").address == account.address


def test_a_file_that_others_may_read_is_refused(path):
    """A key that somebody else may have read, or a link to one, is not used."""
    create_account(path, "x")
    path.chmod(0o640)
    with pytest.raises(RefusedError, match="others may use"):
        load_account(path, "x")
    path.chmod(0o600)
    link = path.with_name("link.json")
    link.symlink_to(path)
    with pytest.raises(RefusedError, match="symbolic link"):
        load_account(link, "x")
    with pytest.raises(UnavailableError, match="there is no account"):
        load_account(path.with_name("nobody.json"), "x")


DAMAGE = {
    "cut": lambda box: box[:-20],
    "no JSON": lambda _: b"secret",
    "another version": lambda box: box.replace(b'"version": 3', b'"version": 1'),
    "another cipher": lambda box: box.replace(b"aes-128-ctr", b"aes-128-cbc"),
    "another kdf": lambda box: box.replace(b'"scrypt"', b'"argon2"'),
    "costly": lambda box: box.replace(b'"n": 2,', b'"n": 2147483648,'),
    "costly in another way": lambda box: box.replace(b'"r": 8', b'"r": 100000'),
    "a cost below zero": lambda box: box.replace(b'"n": 2,', b'"n": -2,'),
    "a cost that is no number": lambda box: box.replace(b'"n": 2,', b'"n": [],'),
    "a cost that is a truth": lambda box: box.replace(b'"n": 2,', b'"n": true,'),
    "a cost less": lambda box: box.replace(b'"n": 2,', b""),
    "another length": lambda box: box.replace(b'"dklen": 32', b'"dklen": 4294967296'),
    "another hash": lambda _: json.dumps(PUBLISHED["pbkdf2"]).replace("hmac-sha", "s-").encode(),
    "costly in memory": lambda box: box.replace(b'"n": 2,', b'"n": 1048576,').replace(
        b'"r": 8', b'"r": 16'
    ),
    "no power of two": lambda box: box.replace(b'"n": 2,', b'"n": 3,'),
    "no salt": lambda box: box.replace(b'"salt"', b'"sugar"'),
    "another mac": lambda box: box.replace(b'"mac": "', b'"mac": "00'),
    "no hexadecimal": lambda box: box.replace(b'"ciphertext": "', b'"ciphertext": "zz'),
    "another address": lambda box: json.dumps(json.loads(box) | {"address": "00" * 20}).encode(),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_file_is_refused(what, path):
    """Whatever is wrong with a key file, the error is ours and nothing is spent on it."""
    create_account(path, "x")
    damaged = DAMAGE[what](path.read_bytes())
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    with pytest.raises(FormatError, match="cost more" if "costly" in what else str(path)):
        load_account(path, "x")


def test_capitals_hide_no_cost(path):
    """Members that were not looked at, as none of ours has them, play no part in opening a file."""
    address = create_account(path, "x").address
    box = path.read_bytes().replace(b'"n": 2,', b'"n": 2, "N": 1073741824, "R": 64, "DkLen": 7,')
    assert b'"N"' in box
    path.write_bytes(box.replace(b'"version"', b'"CRYPTO": 1, "version"'))
    assert load_account(path, "x").address == address


@pytest.mark.parametrize("passphrase", ["", "x" * 1024])
def test_a_passphrase_has_a_length(passphrase, path):
    """An account without a passphrase, or with a novel for one, is not made."""
    with pytest.raises(FormatError, match="1 to 1023 bytes"):
        create_account(path, passphrase)
    assert not path.exists()


@pytest.mark.parametrize("secret", [b"", bytes(32), b"\xff" * 32, b"\x01" * 31])
def test_a_number_that_is_no_key_is_refused(secret):
    """A key has 32 bytes, is not zero, and below the order of the curve."""
    with pytest.raises(FormatError):
        LocalAccount(secret)


def test_a_useless_random_number_is_drawn_again(path):
    """Where the random source gives what can be no key, another is drawn."""
    draws = [bytes(32), b"\x07" * 32]
    account = create_account(path, "x", random=lambda _: draws.pop(0))
    assert account.address == LocalAccount(b"\x07" * 32).address


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 200])
def test_a_name_leads_nowhere_else(name):
    """The name of an account is that of a file in one folder."""
    with pytest.raises(FormatError):
        account_path(name)
