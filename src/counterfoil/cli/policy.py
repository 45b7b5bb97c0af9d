"""The trust policy: shown, drafted from what was observed, adopted, enforced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import counterfoil
from counterfoil import ledger as ledgers
from counterfoil import remote
from counterfoil.cli import files, output
from counterfoil.cli.options import LEDGER, PRODUCTION, AsJson, By, Ledger, Stage, signers
from counterfoil.cli.run import noun, verb
from counterfoil.errors import FormatError, PolicyError

if TYPE_CHECKING:
    from counterfoil import TrustPolicy

app = noun("The trust policy: who may say what, and what must have been said.")

Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write it there. [default: print it]")
]
Draft = Annotated[Path, typer.Argument(metavar="FILE", help="The next policy, a trust.toml.")]
TheirPolicy = Annotated[Path, typer.Argument(metavar="FILE", help="The policy, a trust.toml.")]
At = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The ledger's address, if it asks who reads."),
]
OwnKey = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Make a key for a principal of that log, on this machine."),
]
PrincipalName = Annotated[
    str, typer.Argument(metavar="NAME", help="The principal's name, as trust.toml will have it.")
]
ModeName = Annotated[
    str,
    typer.Option(
        metavar="observe|warn|enforce", help="Record what would be refused, say so, or refuse."
    ),
]


@verb(app, "show", "counterfoil policy show")
def show(*, ledger: Ledger = LEDGER, as_json: AsJson = False) -> None:
    """Show the policy that gates and `verify` go by."""
    with counterfoil.open(ledger) as opened:
        policy, path = opened.policy.show(), opened.places.trust
    principals = [
        (one.name, one.organisation, ", ".join(f"{it.predicate}: {it.subject}" for it in one.may))
        for one in policy.principals
    ]
    stages = [
        (
            stage.name,
            stage.mode.value,
            ", ".join(stage.formats),
            "; ".join(_requirement(one) for one in stage.requirements),
        )
        for stage in policy.stages
    ]
    data = policy.data
    if data is not None:
        needs = "; ".join(_requirement(one) for one in data.requirements)
        stages.append(("(data)", data.mode.value, ", ".join(data.purposes), needs))
    output.show(
        {
            "digest": policy.digest.hex(),
            "file": str(path),
            "policy": ledgers.policy_to_json(policy),
        },
        f"{output.plain(policy.name)}, version {policy.version}",
        output.fields(
            {
                "digest": policy.digest.hex(),
                "file": path,
                "expires": policy.expires,
                "log": policy.log.origin,
                "operator": policy.log.operator,
                "witnesses": f"{policy.quorum} of {len(policy.witnesses)} must have signed",
            }
        ),
        "",
        output.table(("principal", "of", "may say: about"), principals),
        "",
        output.table(("gate", "mode", "lets in", "needs"), stages),
        as_json=as_json,
    )


@verb(app, "suggest", "counterfoil policy suggest --out trust.toml")
def suggest(
    *, stage: Stage = PRODUCTION, out: Out = None, ledger: Ledger = LEDGER, as_json: AsJson = False
) -> None:
    """Draft the next policy from what was observed."""
    if out is not None:
        files.check_new(out)
    with counterfoil.open(ledger) as opened:
        policy = opened.policy.suggest(stage)
    text = ledgers.format_policy(policy)
    body = {**_body(policy), "toml": text, "file": None if out is None else str(out)}
    if out is None:
        output.show(body, *map(output.plain, text.splitlines()), as_json=as_json)
        return
    files.write_file(out, text.encode())
    output.show(
        body,
        f"wrote {output.plain(str(out))}: version {policy.version}, a draft",
        f"next: read it, then counterfoil policy adopt {output.quoted(str(out))}",
        as_json=as_json,
    )


@verb(app, "adopt", "counterfoil policy adopt trust.toml")
def adopt(file: Draft, *, by: By = None, ledger: Ledger = LEDGER, as_json: AsJson = False) -> None:
    """State a policy in the log, and go by it from now on."""
    policy = ledgers.parse_policy(files.read_file(file), str(file))
    with counterfoil.open(ledger) as opened:
        entry = opened.policy.adopt(policy, by=signers(by))
        policy, copy = opened.policy.show(), opened.folder / "trust.toml"
    output.show(
        {**_body(policy), "entry": entry, "file": str(copy)},
        f"adopted version {policy.version} (entry {entry})",
        output.fields({"digest": policy.digest.hex(), "gates": _gates(policy), "hand out": copy}),
        as_json=as_json,
    )


@verb(app, "trust", "counterfoil policy trust their-trust.toml --at https://ledger.example")
def trust(file: TheirPolicy, *, at: At = None, key: OwnKey = None, as_json: AsJson = False) -> None:
    """Go by a policy from somebody you trust, for a ledger elsewhere."""
    given = ledgers.parse_policy(files.read_file(file), str(file))
    policy, places = remote.trust_policy(file, at)
    is_taken = policy == given
    public = None
    if key is not None:
        public = ledgers.format_vkey(ledgers.make_principal_key(places, key))
    output.show(
        {
            **_body(policy),
            "taken": is_taken,
            "given": {"version": given.version, "digest": given.digest.hex()},
            "log": policy.log.origin,
            "file": str(places.trust),
            "keys": str(places.keys),
            "key": public,
        },
        *(
            ()
            if is_taken
            else (f"NOT taken: version {given.version}, as a newer one is trusted already",)
        ),
        f"{output.plain(policy.log.origin)} is held against version {policy.version} of its policy",
        output.fields(
            {
                "digest": policy.digest.hex(),
                "file": places.trust,
                "keys": places.keys,
                "key": public,
            }
        ),
        "next: compare the digest with theirs, by another way than the file came",
        as_json=as_json,
        exit_code=0 if is_taken else PolicyError.exit_code,
    )


@verb(app, "key", "counterfoil policy key risk-a")
def key(name: PrincipalName, *, ledger: Ledger = LEDGER, as_json: AsJson = False) -> None:
    """Make a key for a principal; its public half is for trust.toml."""
    with counterfoil.open(ledger) as opened:
        public = ledgers.format_vkey(opened.add_principal(name))
        folder = opened.places.keys
    output.show(
        {"principal": name, "key": public, "folder": str(folder)},
        f"made a key for {output.plain(name)}",
        output.fields({"key": public, "folder": str(folder)}),
        "next: add a [[principal]] with this key to trust.toml, then counterfoil policy adopt it",
        as_json=as_json,
    )


@verb(app, "enforce", "counterfoil policy enforce --stage production")
def enforce(
    *,
    stage: Stage = PRODUCTION,
    mode: ModeName = "enforce",
    by: By = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Set what gates do: observe, warn or enforce."""
    if mode not in set(ledgers.Mode):
        raise FormatError(f"there is no mode {mode!r}", hint=f"Modes: {', '.join(ledgers.Mode)}.")
    with counterfoil.open(ledger) as opened:
        before = opened.policy.show()
        entry = opened.policy.enforce(stage, ledgers.Mode(mode), by=signers(by))
        policy = opened.policy.show()
    already = " already" if policy == before else ""
    output.show(
        {**_body(policy), "stage": stage, "mode": mode, "entry": entry},
        f"{output.plain(stage)} is in {mode} mode{already} (policy version {policy.version}, "
        f"entry {entry})",
        output.fields({"digest": policy.digest.hex(), "gates": _gates(policy)}),
        as_json=as_json,
    )


def _body(policy: TrustPolicy) -> dict[str, Any]:
    return {"version": policy.version, "digest": policy.digest.hex(), "previous": policy.previous}


def _gates(policy: TrustPolicy) -> str:
    gates = {stage.name: stage.mode.value for stage in policy.stages}
    if policy.data is not None:
        gates["data"] = policy.data.mode.value
    return ", ".join(f"{name}: {mode}" for name, mode in gates.items())


def _requirement(one: ledgers.Requirement) -> str:
    among = " ".join(one.among)
    bounds = [f"{metric} ≥ {number}" for metric, number in one.at_least]
    bounds += [f"{metric} ≤ {number}" for metric, number in one.at_most]
    extra = f", {', '.join(bounds)}" if bounds else ""
    return f"{one.predicate} by {one.threshold} of {among}{extra}"
