from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chain.account import LocalAccount
from counterfoil.chain.answers import TxReceipt
from counterfoil.chain.shelf import (
    MAX_ATTEMPTS,
    Attempt,
    Pending,
    Settled,
    Shelf,
    call_digest,
    check_key,
    format_pending,
    format_settled,
    parse_pending,
    parse_settled,
)
from counterfoil.chain.transaction import Call, Transaction
from counterfoil.errors import FormatError

ACCOUNT = LocalAccount(b"\x07" * 32)
CALL = Call("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", b"data", 5)


def attempt(nonce=3, fee=10, call=CALL, chain_id=1, account=ACCOUNT):
    made = Transaction(chain_id, nonce, call, 21_000, fee, 0)
    return Attempt(account.sign_transaction(made), 1_700_000_000)


ENTRY = Pending("advance log/5", (attempt(), attempt(fee=12)))
RECEIPT = TxReceipt(b"\x01" * 32, 2**60, b"\x02" * 32, True, 21_000, 2**200, CALL.to)
DONE = Settled("advance log/5", 3, call_digest(CALL), "succeeded", RECEIPT)


def test_entries_read_back():
    """What is under way and what is settled reads back as it was written."""
    assert parse_pending(format_pending(ENTRY)) == ENTRY
    reverted = replace(DONE, outcome="reverted", receipt=replace(RECEIPT, succeeded=False))
    displaced = replace(DONE, outcome="displaced", receipt=None)
    for done in (DONE, replace(reverted, reason="anchor: no"), displaced):
        assert parse_settled(format_settled(done)) == done


MIXED = {
    "another nonce": attempt(nonce=4),
    "another call": attempt(call=replace(CALL, value_wei=6)),
    "another chain": attempt(chain_id=2),
    "another account": attempt(account=LocalAccount(b"\x08" * 32)),
}


@pytest.mark.parametrize("what", MIXED)
def test_versions_that_do_different_things_are_refused(what):
    """All versions of a transaction are of one account, chain, nonce and call, or it is none."""
    with pytest.raises(FormatError):
        parse_pending(format_pending(replace(ENTRY, attempts=(attempt(), MIXED[what]))))


def test_entries_have_versions_and_not_too_many():
    """A transaction without versions, or with more than are ever made, is refused."""
    for many in ((), (attempt(),) * (MAX_ATTEMPTS + 1)):
        with pytest.raises(FormatError):
            parse_pending(format_pending(replace(ENTRY, attempts=many)))


@pytest.mark.parametrize(
    ("form", "parse"),
    [(format_pending(ENTRY), parse_pending), (format_settled(DONE), parse_settled)],
)
def test_every_changed_byte_is_refused_or_still_whole(form, parse):
    """A file with one byte changed is refused, or is a whole entry that reads back."""
    formatter = format_pending if parse is parse_pending else format_settled
    for place in range(len(form)):
        changed = form[:place] + bytes([form[place] ^ 1]) + form[place + 1 :]
        try:
            assert formatter(parse(changed)) == changed
        except FormatError:
            continue


@given(
    st.dictionaries(
        st.sampled_from(["format", "key", "attempts", "nonce"]),
        st.none() | st.integers(0, 9) | st.text(),
    )
)
def test_other_json_is_refused(value):
    """JSON that is no entry is a FormatError."""
    for parse in (parse_pending, parse_settled):
        with pytest.raises(FormatError):
            parse(json.dumps(value).encode())


@pytest.mark.parametrize("key", ["", "x" * 201, "line\nbreak", "ü", "\0"])
def test_a_key_is_printable_and_short(key):
    """What a transaction is for has a name that can be shown and compared."""
    with pytest.raises(FormatError):
        check_key(key)


def test_what_is_settled_is_no_longer_under_way(tmp_path):
    """Settling takes an entry from one side to the other, and it is found there by its key."""
    shelf = Shelf(tmp_path / "shelf")
    shelf.make()
    shelf.put(ENTRY)
    assert shelf.pending() == (ENTRY,)
    assert shelf.find_settled(ENTRY.key) is None
    shelf.settle(DONE)
    assert shelf.pending() == ()
    assert shelf.find_settled(ENTRY.key) == DONE
    assert list(shelf.settled()) == [DONE]


def test_a_file_under_another_name_is_refused(tmp_path):
    """A file that was copied to another nonce is not sent as that."""
    shelf = Shelf(tmp_path / "shelf")
    shelf.make()
    shelf.put(ENTRY)
    folder = tmp_path / "shelf" / "pending"
    (folder / "3.json").rename(folder / "9.json")
    with pytest.raises(FormatError, match="holds the nonce 3"):
        shelf.pending()


def test_entries_are_in_order_of_their_nonces(tmp_path):
    """What is under way is listed by nonce, as numbers and not as text."""
    shelf = Shelf(tmp_path / "shelf")
    shelf.make()
    for nonce in (10, 9, 2):
        shelf.put(Pending(f"k{nonce}", (attempt(nonce=nonce),)))
    assert [entry.nonce for entry in shelf.pending()] == [2, 9, 10]
