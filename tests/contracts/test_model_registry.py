from __future__ import annotations

import boa
import pytest
from logs import Log
from signers import addresses, domain_of, members
from trees import Tree

ZERO = b"\0" * 32
USE, MODEL = b"\x05" * 32, b"\x30" * 32
SIZE = 10_000
# What the log says at which index: two approvals, two revocations, one more approval.
APPROVED, REVOKED, AGAIN, REVOKED_AGAIN, LAST = 100, 200, 300, 400, 500
TREE = Tree({at: b"statement %d" % at for at in range(100, 600, 100)})


class Models:
    """The registry over an anchored log; of its three members two authorise and one revokes."""

    def __init__(self, contract, log, revoke_threshold=1) -> None:
        self.log = log
        self.members = members(70, 3)
        self.contract = contract.deploy(
            log.anchor.address, log.id, addresses(self.members), 2, revoke_threshold
        )
        self.epoch = 1

    def sign(self, signed, by, **message):
        message.setdefault("epoch", self.epoch)
        domain = domain_of(self.contract.address)
        return [member.sign(domain, signed, message) for member in by]

    def proven(self, index):
        return (SIZE, index, TREE.leaf(index), TREE.path(index, SIZE))

    def authorise(self, index=APPROVED, seconds=1_000, named=ZERO, by=None, **changed):
        expires = boa.env.timestamp + seconds
        message = {"use": USE, "model": MODEL, "statement": TREE.leaf(index), "expires": expires}
        message |= {"revocation": named} | changed
        signatures = self.sign("Authorisation", self.members[:2] if by is None else by, **message)
        self.contract.authorise(USE, MODEL, *self.proven(index), expires, named, signatures)

    def revoke(self, index=REVOKED, by=None, **changed):
        message = {"use": USE, "model": MODEL, "statement": TREE.leaf(index)} | changed
        signatures = self.sign("Revocation", self.members[2:] if by is None else by, **message)
        self.contract.revoke(USE, MODEL, *self.proven(index), signatures)

    def check(self):
        return self.contract.check_model(USE, MODEL)


@pytest.fixture
def models(sources, log):
    log.tree = TREE
    log.advance(SIZE)
    return Models(sources["ModelRegistry"], log)


def test_a_model_is_authorised_for_one_use_until_then(models):
    """The statement's leaf comes back; another use or model is not meant, nor a second later."""
    with boa.reverts("models: model is not authorised"):
        models.check()
    models.authorise(by=models.members)
    assert models.check() == TREE.leaf(APPROVED)
    expires = boa.env.timestamp + 1_000
    assert models.contract.standing_of(USE, MODEL) == (TREE.leaf(APPROVED), expires, 3, ZERO)
    for use, model in ((MODEL, MODEL), (USE, USE)):
        with boa.reverts("models: model is not authorised"):
            models.contract.check_model(use, model)
    boa.env.time_travel(seconds=999)
    models.check()
    boa.env.time_travel(seconds=1)
    with boa.reverts("models: authorisation has expired"):
        models.check()


def test_a_revocation_holds_until_an_authorisation_names_it(models):
    """One that does not, or names an older one, revives nothing."""
    models.authorise()
    models.revoke()
    with boa.reverts("models: model is not authorised"):
        models.check()
    for named in (ZERO, TREE.leaf(REVOKED_AGAIN)):
        with boa.reverts("models: last revocation is not named"):
            models.authorise(AGAIN, named=named)
    models.authorise(AGAIN, named=TREE.leaf(REVOKED))
    assert models.check() == TREE.leaf(AGAIN)
    models.revoke(REVOKED_AGAIN)
    with boa.reverts("models: last revocation is not named"):
        models.authorise(LAST, named=TREE.leaf(REVOKED))
    models.authorise(LAST, named=TREE.leaf(REVOKED_AGAIN))
    assert models.check() == TREE.leaf(LAST)


def test_a_statement_counts_once(models):
    """What was submitted can be submitted again by anybody, and changes nothing."""
    models.authorise()
    with boa.reverts("models: statement is counted already"):
        models.authorise(seconds=5_000)
    models.revoke()
    models.authorise(AGAIN, named=TREE.leaf(REVOKED))
    with boa.reverts("models: statement is counted already"):
        models.revoke()
    with boa.reverts("models: statement is counted already"):
        models.authorise(APPROVED, named=TREE.leaf(REVOKED))
    models.check()


def test_an_authorisation_can_be_renewed(models):
    """By a new statement, before the old one expires or after."""
    models.authorise()
    models.authorise(AGAIN, seconds=2_000)
    boa.env.time_travel(seconds=3_000)
    models.authorise(LAST)
    assert models.check() == TREE.leaf(LAST)


def test_a_model_can_be_revoked_before_it_is_authorised(models):
    """What the committee signed and nobody submitted can be called back."""
    models.revoke()
    with boa.reverts("models: last revocation is not named"):
        models.authorise()


def test_a_statement_that_is_not_in_the_log_is_refused(models):
    """Signatures alone authorise and revoke nothing."""
    size, index, leaf, path = models.proven(APPROVED)
    expires = boa.env.timestamp + 1_000
    message = {"use": USE, "model": MODEL, "expires": expires, "revocation": ZERO}
    other = Tree({APPROVED: b"never appended"}).leaf(APPROVED)
    signed = models.sign("Authorisation", models.members[:2], statement=other, **message)
    with boa.reverts("rfc9162: path leads to another root"):
        models.contract.authorise(USE, MODEL, size, index, other, path, expires, ZERO, signed)
    signed = models.sign("Revocation", models.members[2:], use=USE, model=MODEL, statement=other)
    with boa.reverts("rfc9162: path leads to another root"):
        models.contract.revoke(USE, MODEL, size, index, other, path, signed)
    with boa.reverts("anchor: size is not anchored"):
        models.contract.revoke(USE, MODEL, size + 1, index, leaf, path, signed)


@pytest.mark.parametrize(
    "changed",
    [
        {"use": ZERO},
        {"model": ZERO},
        {"statement": ZERO},
        {"expires": 2**64 - 1},
        {"revocation": MODEL},
        {"epoch": 2},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_is_signed_is_what_is_authorised(models, changed):
    """Every field is under the signatures."""
    with boa.reverts("committee: signer is no member"):
        models.authorise(**changed)


@pytest.mark.parametrize(
    "changed",
    [{"use": ZERO}, {"model": ZERO}, {"statement": ZERO}, {"epoch": 2}],
    ids=lambda changed: next(iter(changed)),
)
def test_what_is_signed_is_what_is_revoked(models, changed):
    """Every field is under the signatures."""
    models.authorise()
    with boa.reverts("committee: signer is no member"):
        models.revoke(**changed)
    models.check()


def test_revoking_takes_fewer_members_than_authorising(sources, models):
    """Two authorise; one revokes, or as many as the deployment says, and nobody else."""
    for by, reason in (
        (models.members[:1], "committee: too few signatures"),
        (members(90, 2), "committee: signer is no member"),
    ):
        with boa.reverts(reason):
            models.authorise(by=by)
    models.authorise()
    with boa.reverts("committee: signer is no member"):
        models.revoke(by=members(90, 1))
    with boa.reverts("committee: too few signatures"):
        models.revoke(by=[])
    models.revoke()
    stricter = Models(sources["ModelRegistry"], models.log, revoke_threshold=2)
    with boa.reverts("committee: too few signatures"):
        stricter.revoke()
    stricter.revoke(by=stricter.members[1:])


def test_an_authorisation_has_an_end_to_come(models):
    """One that has expired is not recorded."""
    with boa.reverts("models: authorisation has expired"):
        models.authorise(seconds=0)


def test_while_the_log_is_stopped_no_model_is_authorised(sources, models):
    """A revocation could not be anchored then, so the answer is no."""
    models.authorise()
    fork = Tree({0: b"another face"}).root(SIZE)
    models.log.anchor.report_split(
        models.log.id, 1, SIZE, TREE.root(SIZE), [], fork, models.log.sign(SIZE, fork)
    )
    with boa.reverts("models: log is stopped"):
        models.check()
    with boa.reverts("models: log is stopped"):
        Models(sources["ModelRegistry"], models.log)
    models.log.rotate(models.log.members, 3)
    models.check()


def test_a_registry_needs_an_open_log_and_sensible_thresholds(sources, models, log):
    """It is not deployed over nothing, nor such that nobody or everybody could revoke."""
    deploy = sources["ModelRegistry"].deploy
    seats = addresses(models.members)
    with boa.reverts("anchor: log is not open"):
        deploy(log.anchor.address, b"\1" * 32, seats, 2, 1)
    with boa.reverts():
        deploy(boa.env.generate_address(), log.id, seats, 2, 1)
    for threshold in (0, 3):
        with boa.reverts("models: revoke threshold is not between 1 and the threshold"):
            deploy(log.anchor.address, log.id, seats, 2, threshold)


def test_the_committee_rotates(sources, models):
    """Authorisations stay, and a smaller committee can still revoke."""
    models = Models(sources["ModelRegistry"], models.log, revoke_threshold=2)
    models.authorise()
    new = members(50, 1)
    rotation = {"committee": ZERO, "epoch": 2, "threshold": 1, "members": addresses(new)}
    given, taken = (models.sign("Rotation", by, **rotation) for by in (models.members[:2], new))
    models.contract.rotate(addresses(new), 1, given, taken)
    assert models.contract.committee_of() == (2, 1, addresses(new))
    models.check()
    with boa.reverts("committee: signer is no member"):
        models.revoke(by=models.members[1:])
    models.epoch = 2
    models.revoke(by=new)


def test_events_and_getters_tell_what_it_rests_on(models):
    """Anchor, log, threshold, and each change with its statement."""
    log = models.log
    assert models.contract.anchor() == log.anchor.address
    assert models.contract.log_id() == log.id
    assert models.contract.revoke_threshold() == 1
    models.authorise()
    (event,) = models.contract.get_logs()
    assert (event.use, event.model, event.statement) == (USE, MODEL, TREE.leaf(APPROVED))
    assert (event.expires, event.approvals) == (boa.env.timestamp + 1_000, 2)
    models.revoke()
    (event,) = models.contract.get_logs()
    assert (event.use, event.model, event.statement) == (USE, MODEL, TREE.leaf(REVOKED))


def test_two_logs_on_one_contract_do_not_mix(sources, models):
    """A statement of another log on the same anchor is none here."""
    other = Log(models.log.anchor, 1, 1, origin="other", first=40)
    registry = Models(sources["ModelRegistry"], other)
    with boa.reverts("anchor: size is not anchored"):
        registry.authorise()
