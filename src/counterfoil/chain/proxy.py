"""What stands before a development chain: named methods only, and bounded, on 127.0.0.1.

anvil gives anyone who reaches it methods that set balances, jump in time and replace blocks. This
passes on those that a real node serves, and signs nothing for anybody. Web pages are refused: a
request that names an origin, or another host than this one, gets no answer.

`finalized` and `safe` mean the newest block that is on the disk.
"""

from __future__ import annotations

import http
import http.server
import json
import socketserver
import threading
from collections.abc import Callable
from typing import Any

from counterfoil.chain.rpc import Rpc
from counterfoil.core.canonical import JsonValue, parse_json
from counterfoil.errors import CounterfoilError, FormatError

MAX_REQUEST_BYTES = 1024 * 1024
"""Longest request: several of the longest transactions."""

MAX_BATCH = 100
"""Requests in one array."""

MAX_CONNECTIONS = 64
"""Callers at once; further ones wait."""

REQUEST_WITHIN_S = 30.0
"""Time between two bytes of a caller."""

_MAX_DEPTH = 16  # of a request: a filter of logs has five levels

METHODS = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_createAccessList",
        "eth_estimateGas",
        "eth_feeHistory",
        "eth_gasPrice",
        "eth_getBalance",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getBlockReceipts",
        "eth_getBlockTransactionCountByHash",
        "eth_getBlockTransactionCountByNumber",
        "eth_getCode",
        "eth_getLogs",
        "eth_getProof",
        "eth_getStorageAt",
        "eth_getTransactionByBlockHashAndIndex",
        "eth_getTransactionByBlockNumberAndIndex",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
        "eth_sendRawTransaction",
        "eth_syncing",
        "net_listening",
        "net_version",
        "web3_clientVersion",
    }
)
"""What is passed on: reading, and handing in what was signed elsewhere."""

_NOT_FOUND, _INVALID, _INTERNAL = -32601, -32600, -32603  # JSON-RPC 2.0, section 5.1


class Proxy:
    """A server in threads of its own; `close` ends it.

    Args:
        upstream: Gives the node to ask; it changes when the node is started again.
        durable: Gives the number of the newest block that is on the disk.
        port: Where to listen on 127.0.0.1; 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """

    def __init__(
        self, upstream: Callable[[], Rpc], durable: Callable[[], int], port: int = 0
    ) -> None:
        self._upstream = upstream
        self._durable = durable
        self._server = _Server(("127.0.0.1", port), self)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, body: bytes) -> JsonValue:
        """Answer a request or an array of them."""
        try:
            asked = parse_json(body, what="request", max_depth=_MAX_DEPTH)
        except FormatError as error:
            return _error(None, _INVALID, str(error))
        if not isinstance(asked, list):
            return self._answer_one(asked)
        if not 0 < len(asked) <= MAX_BATCH:
            return _error(None, _INVALID, f"a batch has 1 to {MAX_BATCH} requests")
        return [self._answer_one(one) for one in asked]

    def _answer_one(self, asked: JsonValue) -> JsonValue:
        match asked:
            case {"jsonrpc": "2.0", "id": int() | str() as number, "method": str(method), **more}:
                params = more.get("params", [])
                if not isinstance(params, list):
                    return _error(number, _INVALID, "params is no array")
                if method not in METHODS:
                    return _error(number, _NOT_FOUND, f"{method} is not served here")
                return self._pass_on(number, method, [self._named(one) for one in params])
        return _error(None, _INVALID, "that is no request")

    def _pass_on(self, number: int | str, method: str, params: list[JsonValue]) -> JsonValue:
        # Written anew from what was read, so that both of us read the same.
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        try:
            _, data = self._upstream().post(json.dumps(request).encode(), method)
            return parse_json(data, what="answer")
        except CounterfoilError as error:
            return _error(number, _INTERNAL, str(error))

    def _named(self, param: JsonValue) -> JsonValue:
        if param in ("finalized", "safe"):
            return hex(self._durable())
        if isinstance(param, dict):
            return {name: self._named(value) for name, value in param.items()}
        return param


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], proxy: Proxy) -> None:
        self.proxy = proxy
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, once there is room for it."""
        self._room.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a caller that went away is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = REQUEST_WITHIN_S
    server: _Server

    def do_POST(self) -> None:
        """Answer one request."""
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        if self.headers.get("Origin") is not None or host not in {"127.0.0.1", "localhost"}:
            self.send_error(http.HTTPStatus.FORBIDDEN, "not for web pages")
            return
        length = self.headers.get("Content-Length") or ""
        if not (length.isascii() and length.isdigit()) or int(length[:9]) > MAX_REQUEST_BYTES:
            self.send_error(http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        answer = json.dumps(self.server.proxy.answer(self.rfile.read(int(length)))).encode()
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the library's name
        """Write nothing: addresses are no secret, but nobody asked for a log."""


def _error(number: int | str | None, code: int, message: str) -> JsonValue:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}
