"""Serving: a ledger, or a witness, over HTTP, until told to end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import counterfoil
from counterfoil import ledger as ledgers
from counterfoil.cli import output
from counterfoil.cli.options import LEDGER, AsJson, Ledger
from counterfoil.cli.run import verb
from counterfoil.errors import CounterfoilError, FormatError, RefusedError

if TYPE_CHECKING:
    from counterfoil.http import Settings

Listen = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to listen.")]
Url = Annotated[
    str,
    typer.Option(metavar="URL", help="How callers reach it. [default: at --listen]"),
]
TlsCert = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Certificate chain in PEM; with --tls-key.")
]
TlsKey = Annotated[Path | None, typer.Option(metavar="FILE", help="Its key, in PEM.")]
ClientCa = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Hear only callers with a certificate by this authority."),
]
PublicRead = Annotated[
    bool, typer.Option("--public-read/--no-public-read", help="Whether everybody may read.")
]
OpenMetrics = Annotated[
    bool, typer.Option("--open-metrics", help="Show /metrics to everybody, too.")
]
BehindProxy = Annotated[
    bool,
    typer.Option("--behind-proxy", help="Only a proxy with TLS reaches it, and says for whom."),
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Take no entries.")]
Rate = Annotated[int, typer.Option(metavar="N", help="Requests of one caller in a second.")]
Concurrency = Annotated[int, typer.Option(metavar="N", help="Requests of one caller at once.")]
Workers = Annotated[
    int, typer.Option(metavar="N", help="Processes; more than one where several may write.")
]
Notice = Annotated[
    int,
    typer.Option(
        metavar="SECONDS", help="Before it ends, say at /readyz for so long that it will."
    ),
]


def add_to(app: typer.Typer, group: str) -> None:
    """Add the command under a title of the top-level help."""
    example = "counterfoil serve --listen 127.0.0.1:8080 --public-read"
    verb(app, "serve", example, group=group)(serve)


def serve(
    *,
    listen: Listen = "127.0.0.1:8080",
    url: Url = "",
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    client_ca: ClientCa = None,
    public_read: PublicRead = False,
    open_metrics: OpenMetrics = False,
    behind_proxy: BehindProxy = False,
    read_only: ReadOnly = False,
    rate: Rate = 1000,
    concurrency: Concurrency = 128,
    workers: Workers = 1,
    notice: Notice = 0,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Serve the ledger over HTTP until stopped: reading, appending, searching."""
    from counterfoil import http  # noqa: PLC0415 its libraries are an extra

    settings = http.make_settings(
        ledger,
        listen=listen,
        url=url,
        tls_cert=tls_cert,
        tls_key=tls_key,
        client_ca=client_ca,
        public_read=public_read,
        open_metrics=open_metrics,
        behind_proxy=behind_proxy,
        read_only=read_only,
        rate=rate,
        concurrency=concurrency,
        workers=workers,
        notice_s=notice,
    )
    body = _look(settings)
    http.serve_ledger(settings, lambda: _say(body, as_json=as_json))


def serve_witness(
    own: ledgers.OwnWitness, listen: str, *, behind_proxy: bool, as_json: bool
) -> None:
    """Serve a witness until stopped; it has no TLS of its own, so others reach it by a proxy."""
    from counterfoil import http  # noqa: PLC0415 its libraries are an extra

    # A request to a witness counts by the signature in it, and no address is in that.
    url = "http://witness.invalid"
    settings = http.make_settings("", listen=listen, url=url, behind_proxy=True)
    if not (settings.is_loopback or behind_proxy):
        raise RefusedError(
            f"others would reach {settings.host} without TLS",
            reasons=(),
            hint="Give --behind-proxy, if only a proxy that has TLS reaches it.",
        )
    body = {
        "serving": listen,
        "witness": own.name,
        "logs": [key.name for key in own.known()],
    }
    http.serve_witness(settings, own.name, lambda: _say(body, as_json=as_json))


def _look(settings: Settings) -> dict[str, Any]:
    """See that the ledger can be opened as it will be; say what will be open to whom."""
    with counterfoil.open(settings.ledger) as opened:
        if settings.workers > 1 and not (settings.read_only or opened.engine.is_shared):
            raise FormatError(
                "this ledger has one writer at a time, and so one worker",
                hint="Leave --workers out, or serve it --read-only.",
            )
        if not settings.read_only:
            try:
                opened.require_writer()
            except ledgers.UnpublishedError as error:  # the server goes on trying
                output.remark("warning", f"nothing is taken in yet: {error}")
            except ledgers.MovedError as error:
                error.hint += " To serve what is here: --read-only."
                raise
        try:
            known = ledgers.known_callers(opened.policy.show(), opened.size)
            callers = sorted({one.principal for one in known.values()})
        except CounterfoilError as error:
            callers = []
            output.remark("warning", f"nobody may sign requests: {error}")
        origin, size = opened.origin, opened.size
    through = "callers with a certificate" if settings.client_ca else "nobody else"
    here = "" if settings.behind_proxy else "this machine, "
    signed = f"principals who sign ({', '.join(callers) or 'none'})"
    return {
        "serving": settings.url,
        "listen": f"{settings.host}:{settings.port}",
        "origin": origin,
        "size": size,
        "read": "everybody" if settings.public_read else f"{signed}, and {through}",
        "write": "nobody: read-only" if settings.read_only else f"{signed}, and {through}",
        "metrics": "everybody" if settings.open_metrics else f"{here}{signed}, and {through}",
        "callers": callers,
        "workers": settings.workers,
    }


def _say(body: dict[str, Any], *, as_json: bool) -> None:
    shown = {name: value for name, value in body.items() if name not in {"serving", "callers"}}
    shown["logs"] = ", ".join(body["logs"]) or "none" if "logs" in body else None
    output.show(
        body,
        f"serving at {output.plain(body['serving'])}; Ctrl-C ends it",
        output.fields(shown),
        as_json=as_json,
    )
