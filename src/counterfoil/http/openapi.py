"""The description of the service: `GET /openapi.json`, OpenAPI 3.1, written by hand.

A test holds it against the routes there are, and another against what they answer.
"""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import counterfoil
from counterfoil.http.entries import MANY, MAX_ENTRIES, ONE
from counterfoil.http.problems import MEDIA_TYPE
from counterfoil.http.search import DEFAULT_FOUND, MAX_FOUND
from counterfoil.http.sending import Reply

_HEX = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_TILE = "^(0|[1-9][0-9]?|entries)/(x[0-9]{3}/)*[0-9]{3}(\\.p/[1-9][0-9]{0,2})?$"
_RECEIPT = {"type": "string", "description": "C2SP tlog-proof", "pattern": "^c2sp.org/tlog-proof"}
_ENTRY = {
    "type": "object",
    "required": ["index", "digest", "receipt"],
    "additionalProperties": False,
    "properties": {
        "index": {"type": "integer", "minimum": 0},
        "digest": {**_HEX, "description": "SHA-256 of the entry"},
        "receipt": _RECEIPT,
    },
}
_FOUND = {
    "type": "object",
    "required": ["index", "entry", "receipt"],
    "additionalProperties": False,
    "properties": {
        "index": {"type": "integer", "minimum": 0},
        "entry": {"type": "string", "description": "as it stands in the log"},
        "receipt": _RECEIPT,
    },
}
_ENVELOPE = {
    "type": "object",
    "description": "DSSE v1 as canonical JSON (RFC 8785), with an in-toto statement in it",
    "required": ["payload", "payloadType", "signatures"],
    "additionalProperties": False,
    "properties": {
        "payload": {"type": "string", "contentEncoding": "base64"},
        "payloadType": {"const": "application/vnd.in-toto+json"},
        "signatures": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["keyid", "sig"],
                "additionalProperties": False,
                "properties": {
                    "keyid": {"type": "string"},
                    "sig": {"type": "string", "contentEncoding": "base64"},
                },
            },
        },
    },
}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "hint": {"type": "string"},
        "reasons": {"type": "array", "items": {"type": "string"}},
    },
}
_READY = {
    "type": "object",
    "required": ["ready", "tree", "writer", "ending"],
    "additionalProperties": False,
    "properties": {
        "ready": {"type": "boolean"},
        "tree": {"enum": ["ok", "not now"]},
        "writer": {"enum": ["ok", "read-only", "not now", "moved", "set back"]},
        "ending": {"type": "boolean"},
    },
}
_PROBLEMS = {
    "400": "not in the one form that is accepted",
    "401": "not signed, or the signature does not count; `Accept-Signature` says what does",
    "403": "not allowed to this caller, or by the trust policy",
    "404": "not there, at the size that is published",
    "408": "the body did not arrive in time",
    "409": "the log was moved away from this server",
    "413": "too long, or too many",
    "415": "another kind of body",
    "429": "too often or too many at once; `Retry-After` says when to come back",
    "500": "something is wrong with the server, which its operator sees",
    "503": "not now; `Retry-After` says when to come back",
}
_READER = ("401", "429", "500", "503")


def describe() -> dict[str, Any]:
    """Describe every route."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "counterfoil",
            "version": counterfoil.__version__,
            "summary": "A tamper-evident ledger: a C2SP tlog-tiles log with a write API.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "components": {
            "schemas": {
                "Envelope": _ENVELOPE,
                "Found": _FOUND,
                "Logged": _ENTRY,
                "Problem": _PROBLEM,
                "Ready": _READY,
            },
            "responses": {
                status: {
                    "description": says,
                    "content": {MEDIA_TYPE: {"schema": _ref("Problem")}},
                }
                for status, says in _PROBLEMS.items()
            },
        },
        "paths": {
            "/checkpoint": {
                "get": _get("The newest checkpoint, a signed note", _text(), _READER),
            },
            "/tile/{path}": {
                "get": _get(
                    "A tile of hashes, or a bundle of entries",
                    _binary(),
                    ("404", *_READER),
                    _parameter("path", "path", {"type": "string", "pattern": _TILE}),
                )
            },
            "/entries": {"post": _post_entries()},
            "/receipts/{index}": {
                "get": _get(
                    "The receipt of an entry, for the newest checkpoint",
                    _text(),
                    ("404", *_READER),
                    _parameter("index", "path", {"type": "integer", "minimum": 0}),
                )
            },
            "/find": {"get": _find()},
            "/blobs/{digest}": {
                "get": _get(
                    "A statement too large for an entry",
                    _binary(),
                    ("404", *_READER),
                    _parameter("digest", "path", _HEX),
                )
            },
            "/healthz": {"get": _get("Whether the process lives", _text(), ("500",))},
            "/readyz": {"get": _readyz()},
            "/metrics": {
                "get": _get("Figures for Prometheus", _text(), ("401", "403", "429", "500"))
            },
            "/openapi.json": {
                "get": _get("This description", _json({"type": "object"}), ("401", "429", "500"))
            },
        },
    }


def openapi_route() -> Route:
    """Serve the description, to everybody."""
    body = orjson.dumps(describe())

    async def show(request: Request) -> Response:
        del request
        headers = {"Content-Type": "application/json", "Cache-Control": "no-cache"}
        return Reply(body, headers=headers)

    return Route("/openapi.json", show, methods=["GET"])


def _post_entries() -> dict[str, Any]:
    answer = {
        "type": "object",
        "required": ["entries"],
        "additionalProperties": False,
        "properties": {"entries": {"type": "array", "items": _ref("Logged")}},
    }
    statuses = ("400", "401", "403", "408", "409", "413", "415", "429", "500", "503")
    return {
        "summary": "Append envelopes; answered once they are published, each one appended once",
        "requestBody": {
            "required": True,
            "content": {
                ONE: {"schema": _ref("Envelope")},
                MANY: {
                    "schema": {
                        "type": "string",
                        "description": f"1 to {MAX_ENTRIES} envelopes, one a line",
                    }
                },
            },
        },
        "responses": {"200": _ok(_json(answer)), **_responses(statuses)},
    }


def _find() -> dict[str, Any]:
    answer = {
        "type": "object",
        "required": ["size", "found"],
        "additionalProperties": False,
        "properties": {
            "size": {"type": "integer", "minimum": 0},
            "found": {"type": "array", "items": _ref("Found")},
        },
    }
    last = {"type": "integer", "minimum": 1, "maximum": MAX_FOUND, "default": DEFAULT_FOUND}
    return _get(
        "Statements, oldest first; that there are no others is not shown",
        _json(answer),
        ("400", *_READER),
        _parameter("subject", "query", {"type": "string"}, "name of a subject, or a digest"),
        _parameter("predicate", "query", {"type": "string"}, "short name, or type in full"),
        _parameter("issuer", "query", {"type": "string"}, "label of a key"),
        _parameter("last", "query", last, "how many of the newest"),
    )


def _readyz() -> dict[str, Any]:
    content = _json(_ref("Ready"))
    return {
        "summary": "Whether it works",
        "responses": {
            "200": _ok(content),
            "500": {"$ref": "#/components/responses/500"},
            "503": {"description": "not now", "content": content},
        },
    }


def _get(
    summary: str, content: dict[str, Any], statuses: tuple[str, ...], *parameters: dict[str, Any]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": _ok(content), **_responses(statuses)},
    }
    if parameters:
        described["parameters"] = list(parameters)
    return described


def _responses(statuses: tuple[str, ...]) -> dict[str, Any]:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _ok(content: dict[str, Any]) -> dict[str, Any]:
    return {"description": "as asked", "content": content}


def _parameter(name: str, where: str, schema: dict[str, Any], says: str = "") -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "in": where, "schema": schema}
    if says:
        described["description"] = says
    if where == "path":
        described["required"] = True
    return described


def _text() -> dict[str, Any]:
    return {"text/plain": {"schema": {"type": "string"}}}


def _binary() -> dict[str, Any]:
    return {"application/octet-stream": {}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
