"""The description of the service, held against its routes and against what it answers."""

from __future__ import annotations

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import counterfoil as cf
from counterfoil.http.app import routes_of
from counterfoil.http.openapi import describe
from counterfoil.http.service import Service
from counterfoil.http.settings import make_settings

from .conftest import start

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def test_every_route_is_described_with_its_methods(tmp_path):
    """What is served and what the description lists are the same."""
    with cf.init(tmp_path / "ledger") as ledger:
        service = Service(make_settings(str(tmp_path / "ledger")), ledger)
        served = {
            route.path.replace(":path", ""): {m.lower() for m in route.methods} - {"head"}
            for route in routes_of(service)
        }
    described = {path: set(methods) for path, methods in describe()["paths"].items()}
    assert served == described


def test_the_description_is_served(shared):
    """To everybody who may ask at all, as JSON."""
    reply = shared.ask("GET", "/openapi.json")
    assert reply.json == describe()
    assert reply.headers["content-type"] == "application/json"


@schemathesis.serializer("application/x-ndjson")
def lines(_, value):
    """How a body of many envelopes is sent: as it was made up."""
    return str(value).encode()


SCHEMA = schemathesis.openapi.from_dict(describe())


@pytest.fixture(scope="module")
def open_server(shared):
    """A reader of the same ledger that is open to everybody, and never says 429."""
    served = start(shared, "--public-read", "--read-only", "--rate", "1000000")
    yield served
    served.kill()
    served.process.stdout.close()


@SCHEMA.parametrize()
@settings(max_examples=settings().max_examples // 2, suppress_health_check=list(HealthCheck))
def test_whatever_is_asked_the_answer_is_as_described(case, shared, open_server):
    """Requests made up from the description, good and bad: no failure, no undescribed answer."""
    if case.path == "/entries" and case.method == "POST":
        response = case.call(base_url=shared.url, auth=Signing(shared))
        assert response.status_code in {400, 413, 415}
    else:
        response = case.call(base_url=open_server.url)
    case.validate_response(response, checks=CHECKS)


class Signing(requests.auth.AuthBase):
    """Signs what is sent, when it is known."""

    def __init__(self, served):
        self._served = served

    def __call__(self, request):
        path, body = request.path_url, request.body or b""
        body = body.encode() if isinstance(body, str) else body
        headers = self._served.signed(request.method, path, body, headers=request.headers)
        request.headers.update(headers)
        return request
