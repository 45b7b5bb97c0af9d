"""A witness of ours with an account for anchors: who may have it sign, and for what."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

import counterfoil
from counterfoil.chain import account as accounts
from counterfoil.chain.account import LocalAccount, account_path, create_account
from counterfoil.chain.answering import AnchorDesk
from counterfoil.chain.binding import bind
from counterfoil.chain.here import policy_for
from counterfoil.chain.request import AnchorRequest, format_request, parse_answer
from counterfoil.chain.served import agree, open_desk, seat_witness
from counterfoil.core.anchoring import ChainRules, Finality
from counterfoil.core.keys import Algorithm
from counterfoil.core.quorum import Witness
from counterfoil.errors import (
    ConflictError,
    FormatError,
    PolicyError,
    RefusedError,
    VerificationError,
)
from counterfoil.http.witness import own_app
from counterfoil.ledger.keyfiles import generate_key
from counterfoil.ledger.ownwitness import OwnWitness
from counterfoil.ledger.places import Places

SENTENCE = "a long sentence"
LOG_ID, CONTRACT = "ab" * 32, "0x" + "cd" * 20
RULES = ChainRules(1337, CONTRACT, "00" * 32, 0, LOG_ID, 1, ("Bank", "Far"), Finality.IMMEDIATE)


@pytest.fixture(autouse=True)
def cheap_keys(monkeypatch):
    """Key files that cost little, and whose passphrase is known."""
    monkeypatch.setattr(accounts, "_SCRYPT_N", 2)
    monkeypatch.setenv("COUNTERFOIL_PASSPHRASE", SENTENCE)


@pytest.fixture
def bank(tmp_path, home, monkeypatch):
    """A ledger of another machine: its key, its policy, its newest checkpoint."""
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "bank-home"))
    with counterfoil.init(tmp_path / "ledger", organisation="Bank") as ledger:
        ledger.append(b"x")
        bank = SimpleNamespace(
            key=ledger.key, policy=ledger.policy.show(), checkpoint=ledger.checkpoint
        )
    monkeypatch.setenv("COUNTERFOIL_HOME", str(home))
    return bank


@pytest.fixture
def account():
    return create_account(account_path("far"), SENTENCE)


@pytest.fixture
def own(account):
    """A witness of this machine that has that account."""
    own = OwnWitness.make("far.example/w")
    seat_witness(own, account, name="far")
    return own


@pytest.fixture
def policy(bank, own):
    """The ledger's policy, which names that witness."""
    witnesses = (*bank.policy.witnesses, own.listed("Far"))
    return replace(bank.policy, witnesses=witnesses, chain=RULES)


def request_of(bank):
    log = bytes.fromhex(LOG_ID)
    return format_request(AnchorRequest(1337, CONTRACT, log, 1, bank.checkpoint, {}))


def test_a_seat_is_kept_with_the_witness(own, account, bank, policy):
    """Who serves it later finds the account, and its desk signs with it."""
    assert OwnWitness.open().seat == own.seat
    assert own.listed("Far").anchor.address == account.address.lower()
    agree(policy)
    status, said = open_desk(OwnWitness.open()).answer(request_of(bank))
    assert (status, parse_answer(said).address) == (200, account.address.lower())
    assert "/sign-anchor" in {route.path for route in own_app().routes}


@pytest.mark.usefixtures("own")
def test_a_witness_whose_account_does_not_open_is_not_served(monkeypatch):
    """Its operator sees why at the start, and not when an anchor is late."""
    monkeypatch.setenv("COUNTERFOIL_PASSPHRASE", "another")
    with pytest.raises(FormatError, match="does not open"):
        own_app()
    monkeypatch.delenv("COUNTERFOIL_PASSPHRASE")
    with pytest.raises(FormatError, match="no passphrase"):
        own_app()
    monkeypatch.setenv("COUNTERFOIL_PASSPHRASE", SENTENCE)
    account_path("far").unlink()
    create_account(account_path("far"), SENTENCE)
    with pytest.raises(ConflictError, match="signs anchors with"):
        own_app()


def test_a_witness_keeps_its_anchor_key(own):
    """Policies name it; its passphrase may move to a file that a server can read again."""
    with pytest.raises(ConflictError, match="already"):
        seat_witness(own, create_account(account_path("other"), SENTENCE), name="other")
    path = own.folder / "passphrase"
    path.write_text(f"{SENTENCE}\n")
    account = accounts.load_account(account_path("far"), SENTENCE)
    anchor = own.seat.anchor
    assert seat_witness(own, account, name="far", passphrase_file=path).anchor == anchor
    with pytest.raises(FormatError, match="no plain file"):
        seat_witness(own, account, name="far", passphrase_file=own.folder)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda data: data.replace(b"anchor-seat/v1", b"anchor-seat/v2"), FormatError),
        (lambda data: data.replace(b'"far"', b'""'), FormatError),
        (lambda data: data[:-1], FormatError),
        (lambda _: b"[]", FormatError),
        (lambda data: data.replace(b'"address":"0x', b'"address":"0y'), FormatError),
    ],
)
def test_a_damaged_seat_is_no_seat(own, change, error):
    """It is refused, and the witness is not served as if it had none."""
    path = own.folder / "anchor.json"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(error):
        OwnWitness.open()


def test_a_seat_that_others_may_write_is_refused(own):
    """It says which signer is asked, so whoever writes it would be asked."""
    (own.folder / "anchor.json").chmod(0o666)
    with pytest.raises(RefusedError):
        OwnWitness.open()


def test_the_seat_of_another_witness_is_refused(own):
    """A copied file does not lend its account to another memory."""
    other = OwnWitness.make("other.example/w")
    shutil.copy(own.folder / "anchor.json", other.folder / "anchor.json")
    with pytest.raises(FormatError, match="has not signed for the anchor key"):
        OwnWitness.open("other.example/w")


def test_one_account_has_one_memory(account, bank, policy):
    """A second witness does not sign with an account that the policy has beside the first."""
    agree(policy)
    second = OwnWitness.make("second.example/w")
    second.know(bank.key)
    status, said = AnchorDesk(second, account).answer(request_of(bank))
    assert (status, b"does not name" in said) == (403, True)
    assert not list(second.folder.glob("*.checkpoint"))


def test_an_adopted_policy_that_was_changed_is_not_signed_by(own, bank, policy):
    """Its last line is its digest: damaged or edited, it chooses no chain and no contract."""
    agree(policy)
    desk, request = open_desk(own), request_of(bank)
    assert policy_for(request, None) == policy
    path = Places(bank.key.name).trust
    path.write_text(path.read_text().replace("id = 1337", "id = 1338"))
    with pytest.raises(VerificationError, match="not the policy that was adopted"):
        policy_for(request, None)
    with pytest.raises(VerificationError, match="not the policy that was adopted"):
        desk.answer(request)
    assert not list(own.folder.glob("*.checkpoint"))


def test_a_member_agrees_to_what_names_it_and_never_goes_back(own, policy, bank):
    """Another's policy, an older one, or one with another key of the log is not taken in."""
    key = generate_key("stranger", Algorithm.COSIGNATURE_ED25519)
    stranger = Witness("stranger", key.key, "Far", bind(key, LocalAccount(b"\7" * 32)))
    with pytest.raises(PolicyError, match="no member"):
        agree(replace(policy, witnesses=(*policy.witnesses[:-1], stranger)))
    with pytest.raises(PolicyError, match="nothing of a chain"):
        agree(replace(policy, chain=None))
    assert not Places(bank.key.name).trust.exists()
    newer = replace(policy, version=2, previous=policy.digest.hex())
    for _ in range(2):
        assert agree(newer).name == own.name
    for other in (policy, replace(newer, name="another of that version")):
        with pytest.raises(ConflictError, match=f"version {newer.version}"):
            agree(other)
    assert policy_for(request_of(bank), None) == newer
