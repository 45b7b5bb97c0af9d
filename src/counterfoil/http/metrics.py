"""What happened, for Prometheus: `GET /metrics`.

Each process counts for itself; with several workers, a scrape sees one of them.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from counterfoil.http.problems import Problem
from counterfoil.http.sending import Reply

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ENTRIES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_METHODS = {"GET", "HEAD", "POST"}


class Metrics:
    """The figures of one process.

    Args:
        size: Gives the log's size.
    """

    def __init__(self, size: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = Counter(
            "counterfoil_http_requests_total",
            "Requests answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "counterfoil_http_request_seconds",
            "From the head of a request to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.running = Gauge(
            "counterfoil_http_requests_running", "Requests under way.", registry=registry
        )
        self.waiting = Gauge(
            "counterfoil_entries_waiting", "Entries that wait for a commit.", registry=registry
        )
        self._appended = Counter(
            "counterfoil_entries_appended_total", "Entries appended.", registry=registry
        )
        self.known = Counter(
            "counterfoil_entries_known_total",
            "Entries sent again that were in the log already.",
            registry=registry,
        )
        self.refused = Counter(
            "counterfoil_envelopes_refused_total", "Envelopes not let in.", registry=registry
        )
        self._commit_seconds = Histogram(
            "counterfoil_commit_seconds",
            "From entries to a published checkpoint.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._commit_entries = Histogram(
            "counterfoil_commit_entries",
            "Entries in one commit.",
            buckets=_ENTRIES,
            registry=registry,
        )
        log_size = Gauge(
            "counterfoil_log_size", "Entries under the published checkpoint.", registry=registry
        )
        log_size.set_function(size)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def committed(self, entries: int, seconds: float) -> None:
        """Count a commit."""
        self._appended.inc(entries)
        self._commit_seconds.observe(seconds)
        self._commit_entries.observe(entries)

    def text(self) -> bytes:
        """Write them as Prometheus reads them."""
        return generate_latest(self._registry)


def metrics_route(metrics: Metrics, *, is_open: bool) -> Route:
    """Serve them: to this machine and to known callers, or to everybody."""

    async def show(request: Request) -> Response:
        who = request.scope["who"]
        if not (is_open or who.is_local or who.is_known):
            raise Problem(
                403,
                "metrics are for this machine and for known callers",
                hint="Sign the request, or have the server started with --open-metrics.",
            )
        headers = {"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"}
        return Reply(metrics.text(), headers=headers)

    return Route("/metrics", show, methods=["GET"])
