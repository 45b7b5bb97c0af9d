"""A server process as its operator meets it: begun, stopped, killed, attacked slowly."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

import counterfoil as cf
from counterfoil.cli import app
from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.keys import Algorithm
from counterfoil.core.merkle import EMPTY_ROOT, leaf_hash
from counterfoil.core.receipt import check_receipt, parse_receipt
from counterfoil.errors import ProofError
from counterfoil.front import move_log
from counterfoil.http import make_settings
from counterfoil.http import run as running
from counterfoil.ledger import OwnWitness
from counterfoil.ledger.httpwitness import HttpWitness
from counterfoil.ledger.keyfiles import generate_key
from counterfoil.ledger.localwitness import format_add_checkpoint

from .conftest import SOON_S, Place, free_port, make_place, start

IDLE = 10_000


def test_it_says_what_is_open_to_whom(serve):
    """The first line of a server, as a program reads it."""
    served = serve("--public-read")
    served.stop()
    said = json.loads(served.process.stdout.read())
    assert said["read"] == "everybody"
    assert said["write"].startswith("principals who sign (auditor, data, operator, risk)")
    assert said["metrics"].startswith("this machine, principals who sign (auditor,")
    assert said["metrics"].endswith("and nobody else"), "whoever reads is not asked for figures"
    assert said["serving"] == f"http://127.0.0.1:{served.port}"
    assert said["size"] == 2


def test_told_to_end_it_answers_what_it_has_taken(serve):
    """SIGTERM while requests are under way: each is answered, and no other one is in."""
    served = serve()
    receipts, refused = {}, []

    def send(worker):
        for number in range(1000):
            envelope = served.envelope(f"{worker} {number}")
            try:
                reply = served.post(envelope)
            except (ConnectionError, http.client.HTTPException) as error:
                refused.append(error)
                return
            assert reply.status == 200
            receipts[envelope] = reply.json["entries"][0]

    threads = [threading.Thread(target=send, args=(worker,)) for worker in range(8)]
    for one in threads:
        one.start()
    until = time.monotonic() + SOON_S
    while len(receipts) < 50:
        assert time.monotonic() < until
    assert served.stop() == 0
    for one in threads:
        one.join()
    # Nobody's request was cut off after it had been taken: those refused had not been accepted.
    assert not [error for error in refused if not isinstance(error, ConnectionError)]
    with served.open() as ledger:
        assert ledger.size == 2 + len(receipts)
        for envelope, said in receipts.items():
            check_receipt(envelope, parse_receipt(said["receipt"].encode()), ledger.key)
            assert ledger.entry(said["index"]) == envelope


def test_a_request_that_was_begun_is_answered_although_it_was_told_to_end(serve):
    """A body half sent when SIGTERM comes is waited for, and its receipt is sent."""
    served = serve()
    body = served.envelope("half sent")
    kind = {"Content-Type": "application/json", "Host": f"127.0.0.1:{served.port}"}
    headers = served.signed("POST", "/entries", body, headers=kind)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST /entries HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=SOON_S) as connection:
        connection.sendall(head.encode() + body[:100])
        until = time.monotonic() + SOON_S
        while b"requests_running 2.0" not in served.ask("GET", "/metrics").body:
            assert time.monotonic() < until
        served.process.send_signal(signal.SIGTERM)
        while True:  # nobody else comes in any more
            try:
                socket.create_connection(("127.0.0.1", served.port), timeout=1).close()
            except OSError:
                break
            assert time.monotonic() < until
        connection.sendall(body[100:])
        answer = b""
        while b"tlog-proof" not in answer:
            piece = connection.recv(1 << 16)
            assert piece
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200")
    assert served.process.wait(SOON_S) == 0


def test_it_gives_notice_before_it_ends(serve):
    """With --notice it says that it ends, and answers everything until then."""
    served = serve("--notice", "4")
    served.process.send_signal(signal.SIGTERM)
    until = time.monotonic() + SOON_S
    while (reply := served.ask("GET", "/readyz")).status == 200:
        assert time.monotonic() < until
    assert (reply.status, reply.json["ending"]) == (503, True)
    assert served.post(served.envelope("late")).status == 200
    assert served.process.wait(SOON_S) == 0
    with served.open() as ledger:
        assert ledger.size == 3


def test_told_twice_it_ends_at_once(serve):
    """Whoever does not want to wait for the end of the notice says so."""
    served = serve("--notice", "600")
    served.process.send_signal(signal.SIGTERM)
    until = time.monotonic() + SOON_S
    while served.ask("GET", "/readyz").status == 200:
        assert time.monotonic() < until
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(SOON_S) == 0


@pytest.mark.parametrize("how", ["SIGHUP", "SIGINT to all"])
def test_however_it_is_told_it_ends_in_peace(serve, how):
    """A terminal that is closed, or Ctrl-C, which every process of a terminal hears."""
    served = serve()
    assert served.post(served.envelope("before")).status == 200
    if how == "SIGHUP":
        assert served.stop(signal.SIGHUP) == 0
    else:
        os.killpg(served.process.pid, signal.SIGINT)
        assert served.process.wait(SOON_S) == 0
    with served.open() as ledger:
        assert ledger.size == 3


@pytest.mark.parametrize("after", range(2))
def test_killed_while_it_writes_it_has_lost_nothing_that_it_acknowledged(serve, after):
    """A SIGKILL of all its processes; started again, it has every receipt, and each entry once."""
    served = serve()
    receipts = {}

    def send(worker):
        for number in range(1000):
            envelope = served.envelope(f"{worker} {number}")
            try:
                reply = served.post(envelope)
            except (OSError, http.client.HTTPException):
                return
            receipts[envelope] = reply.json["entries"][0]

    with ThreadPoolExecutor(6) as pool:
        for worker in range(6):
            pool.submit(send, worker)
        until = time.monotonic() + SOON_S
        while len(receipts) < 20 + 40 * after:
            assert time.monotonic() < until
        served.kill()
    again = serve()
    with again.open() as ledger:
        entries = list(ledger.entries(0, ledger.size))
        for envelope, said in receipts.items():
            assert entries[said["index"]] == envelope
            check_receipt(envelope, parse_receipt(said["receipt"].encode()), ledger.key)
    assert len(set(entries)) == len(entries)
    # What was sent and not answered may be in; sent again, it is there once.
    for envelope in list(receipts)[:5]:
        index = receipts[envelope]["index"]
        assert again.post(envelope).json["entries"][0]["index"] == index


def test_a_worker_does_not_outlive_its_watcher(serve):
    """Whoever kills the process that was started has ended the server, and can start another."""
    served = serve()
    assert served.stop(signal.SIGKILL) == -signal.SIGKILL
    until = time.monotonic() + SOON_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", served.port), timeout=1).close()
        except OSError:
            break
        assert time.monotonic() < until
        time.sleep(0.05)
    again = serve()
    assert again.post(again.envelope("after it")).status == 200


def test_a_worker_that_is_still_starting_does_not_outlive_its_watcher(place, tmp_path):
    """Killed at any moment of the start, nothing of a server is left, and its port is free."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "COUNTERFOIL_HOME": str(place.home),
    }
    listen = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "counterfoil", "serve", "--listen", listen, "--json"]
    for after_s in (0, 0.15, 0.3, 0.45, 0.6, 0.9):
        process = subprocess.Popen(
            [*command, "--ledger", str(place.folder)],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            said = iter(process.stdout.readline, b"")
            assert b"}\n" in said, "it ended by itself"  # the next that it does is a worker
            time.sleep(after_s)
            process.kill()
            process.wait()
            # Whatever it has started holds its standard output open until it ends.
            ended, _, _ = select.select([process.stdout], [], [], SOON_S / 2)
            assert ended, f"a worker goes on, killed {after_s} s after its start"
            assert process.stdout.read() == b""
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()


def test_heads_that_drip_and_idle_connections_are_closed(serve):
    """Slow heads hold a connection for ten seconds, and nobody up meanwhile."""
    served = serve("--public-read")
    idle = [socket.create_connection(("127.0.0.1", served.port), timeout=30) for _ in range(300)]
    slow = socket.create_connection(("127.0.0.1", served.port), timeout=30)
    slow.sendall(b"GET /checkpoint HTTP/1.1\r\n")
    kept = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    kept.request("GET", "/checkpoint")
    assert kept.getresponse().read()
    began = time.monotonic()
    for _ in range(20):
        assert served.ask("GET", "/checkpoint").status == 200
    assert time.monotonic() - began < running.HEAD_WITHIN_S
    until = time.monotonic() + 3 * running.HEAD_WITHIN_S
    dripping = True
    while dripping:
        assert time.monotonic() < until
        time.sleep(0.2)
        try:
            slow.sendall(b"X")
        except OSError:
            dripping = False
    for one in idle:
        assert one.recv(10) == b""
        one.close()
    assert kept.sock.recv(10) == b""
    kept.close()
    slow.close()
    assert served.ask("GET", "/checkpoint").status == 200


@pytest.fixture
def many_files():
    """As many open files as ten thousand connections take, for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{IDLE} IDLE CONNECTIONS ARE NOT TRIED: this user may open {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_ten_thousand_idle_connections_hold_nobody_up_for_long(serve):
    """They are more than a server takes, and closed in time; then callers are served."""
    served = serve("--public-read")
    idle = [socket.socket() for _ in range(IDLE)]
    for one in idle:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(("127.0.0.1", served.port))
    began = time.monotonic()
    assert served.ask("GET", "/checkpoint").status == 200
    waited = time.monotonic() - began
    for one in idle:
        one.close()
    assert waited < 4 * running.HEAD_WITHIN_S
    assert served.post(served.envelope("after them")).status == 200


@pytest.mark.parametrize(
    "junk",
    [
        b"\x00" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /checkpoint HTTP/1.1\r\n\r\n\r\nPOST",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /entries HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /entries HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\nhello",
        b"GET /checkpoint HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /checkpoint HTTP/1.1\r\nHost: \xff\xfe\r\nSignature: \xff\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://elsewhere.example/checkpoint HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_is_no_request_breaks_nothing(shared, junk):
    """Whatever bytes arrive, the connection ends, or is answered; the next one is served."""
    answer = b""
    connection = socket.create_connection(("127.0.0.1", shared.port), timeout=SOON_S)
    with connection, contextlib.suppress(OSError):  # it may be closed while we still send
        connection.sendall(junk)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(1 << 16)
    assert not answer.startswith((b"HTTP/1.1 5", b"HTTP/1.1 2"))
    assert shared.ask("GET", "/checkpoint", by="auditor").status == 200


def test_a_caller_who_takes_no_answer_is_let_go(serve):
    """A long answer that nobody reads is given up; nothing else waits for it."""
    served = serve("--public-read")
    large = "x" * 30_000
    envelopes = [served.envelope(n, by="operator", name=f"{n} {large}") for n in range(100)]
    for first in range(0, 100, 25):
        assert served.post(*envelopes[first : first + 25], by="operator").status == 200
    slow = []
    for _ in range(8):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", served.port))
        one.sendall(b"GET /tile/entries/000.p/102 HTTP/1.1\r\nHost: a\r\n\r\n")
        slow.append(one)
    until = time.monotonic() + SOON_S
    while b"requests_running 9.0" not in served.ask("GET", "/metrics").body:
        assert time.monotonic() < until
    assert served.ask("GET", "/checkpoint").status == 200
    for one in slow:
        one.close()
    while b"requests_running 1.0" not in served.ask("GET", "/metrics").body:
        assert time.monotonic() < until


def test_every_line_it_logs_is_an_object(serve):
    """Requests with their caller, status and time; nothing of a body or a signature."""
    served = serve("--public-read")
    served.post(served.envelope("logged"))
    served.ask("GET", "/nothing\u2028".encode("latin-1", "ignore").decode())
    served.ask("GET", "/checkpoint")
    served.stop()
    lines = served.errors.read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    (post,) = [one for one in logged if one.get("method") == "POST"]
    assert (post["route"], post["status"]) == ("/entries", 200)
    assert post["caller"] == served.keys["risk"].key.label
    assert post["principal"] == "risk"
    assert post["ms"] > 0
    assert post["time"].endswith("Z")
    assert "tlog-proof" not in served.errors.read_text()


def run_serve(place, monkeypatch, *options):
    """The command line, where it ends by itself."""
    monkeypatch.setenv("COUNTERFOIL_HOME", str(place.home))
    words = ["serve", "--ledger", place.folder, *options]
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--listen", "0.0.0.0:8080"), 9, "without TLS"),
        (("--listen", "[::]:8080"), 9, "without TLS"),
        (("--listen", "0.0.0.0:8080", "--behind-proxy"), 3, "--url"),
        (("--listen", "somewhere:80"), 3, "nowhere to listen"),
        (("--listen", "127.0.0.1"), 3, "nowhere to listen"),
        (("--listen", "127.0.0.1:0"), 3, "nowhere to listen"),
        (("--listen", "127.0.0.1:99999"), 3, "nowhere to listen"),
        (("--tls-cert", "x.crt"), 3, "a certificate and its key"),
        (("--client-ca", "x.crt"), 3, "a certificate and its key"),
        (("--tls-cert", "no.crt", "--tls-key", "no.key"), 3, "cannot be used"),
        (("--url", "ledger.example"), 3, "no address of a server"),
        (("--url", "https://u:p@ledger.example"), 3, "no address of a server"),
        (("--rate", "0"), 3, "--rate"),
        (("--workers", "2"), 3, "one writer at a time"),
    ],
)
def test_what_would_be_open_by_mistake_does_not_start(place, monkeypatch, options, code, says):
    """Settings that contradict each other, or would let strangers in, end in one error."""
    ended = run_serve(place, monkeypatch, *options)
    assert ended.exit_code == code, ended.output
    assert says in ended.stderr


def test_two_servers_cannot_write_to_one_ledger(shared, monkeypatch):
    """The second one says who writes, and ends."""
    ended = run_serve(shared, monkeypatch, "--listen", f"127.0.0.1:{free_port()}")
    assert ended.exit_code == cf.ConflictError.exit_code
    assert "already has a writer" in ended.stderr


def test_a_port_that_is_taken(place, monkeypatch):
    """Somebody else listens there: one error, and nothing of ours is left running."""
    monkeypatch.setenv("RUST_BACKTRACE", "1")
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run_serve(place, monkeypatch, "--listen", listen)
    assert ended.exit_code == cf.UnavailableError.exit_code, ended.output
    said = f"error: cannot listen at {listen}: Address already in use"
    assert said in ended.stderr.splitlines()


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 it does not come so far
def test_two_servers_do_not_share_a_port(shared, tmp_path, monkeypatch, listen):
    """The second one, of another ledger, says that the address is in use."""
    other = make_place(tmp_path)
    words = ["--behind-proxy", "--url", "https://other.example"]
    ended = run_serve(other, monkeypatch, "--listen", f"{listen}:{shared.port}", *words)
    assert ended.exit_code == cf.UnavailableError.exit_code, ended.output
    assert "in use" in ended.stderr


def test_a_server_that_ended_is_followed_at_once_on_its_port(serve):
    """Connections that its callers have not let go of yet keep nobody out."""
    served = serve("--public-read")
    kept = http.client.HTTPConnection("127.0.0.1", served.port, timeout=SOON_S)
    kept.request("GET", "/checkpoint")
    assert kept.getresponse().read()
    assert served.stop() == 0
    again = serve("--public-read", port=served.port)
    assert again.ask("GET", "/checkpoint").status == 200
    kept.close()


def test_what_a_server_is_called_is_what_requests_are_signed_for():
    """The address that callers use, with its path, and this machine's own names."""
    settings = make_settings("x", listen="[::1]:8080")
    assert settings.authorities == ("[::1]:8080", "[::1]:8080", "localhost:8080")
    settings = make_settings(
        "x", listen="0.0.0.0:80", url="https://Ledger.example:443/a/b/", behind_proxy=True
    )
    assert settings.authorities == ("ledger.example",)
    assert (settings.prefix, settings.url) == ("/a/b", "https://ledger.example/a/b")


def test_a_private_key_that_others_may_read_is_refused(tmp_path):
    """A key that everybody on the machine may use protects nothing."""
    key = tmp_path / "server.key"
    key.touch(mode=0o644)
    key.chmod(0o644)
    with pytest.raises(cf.RefusedError, match="everybody"):
        make_settings("x", tls_cert=key, tls_key=key)


def test_a_witness_is_served_until_it_is_stopped(tmp_path):
    """`log witness --listen` says what it serves, cosigns, logs a fork, and ends with SIGTERM."""
    home, port = tmp_path / "home", free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COUNTERFOIL_HOME", str(home))
        own = OwnWitness.make("ada.example/w")
        log = generate_key("example.org/log", Algorithm.ED25519)
        own.know(log.key)
    words = ["log", "witness", "--listen", f"127.0.0.1:{port}", "--json"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "COUNTERFOIL_HOME": str(home),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "counterfoil", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + SOON_S
        reply = None
        while reply is None:
            assert time.monotonic() < until
            assert process.poll() is None
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SOON_S)
                note = sign_checkpoint(Checkpoint("example.org/log", 0, EMPTY_ROOT), log)
                body = format_add_checkpoint(0, (), note)
                connection.request("POST", "/add-checkpoint", body)
                reply = connection.getresponse()
                assert (reply.status, b"ada.example/w" in reply.read()) == (200, True)
            except OSError:
                time.sleep(0.05)
            finally:
                connection.close()
        client = HttpWitness(f"http://127.0.0.1:{port}", [own.signers[0].key])
        one, other = (Checkpoint("example.org/log", 1, leaf_hash(name)) for name in (b"1", b"2"))
        client.add_checkpoint(0, (), sign_checkpoint(one, log))
        with pytest.raises(ProofError):
            client.add_checkpoint(1, (), sign_checkpoint(other, log))
        client.close()
        process.terminate()
        told = [json.loads(line) for line in process.stderr.read().splitlines()]
        (fork,) = (line for line in told if line["logger"] == "counterfoil.witness")
        assert fork["level"] == "error"
        assert "signed two histories" in fork["message"]
        said = json.loads(process.stdout.read())
        assert said["witness"] == "ada.example/w"
        assert said["logs"] == ["example.org/log"]
        assert process.wait(SOON_S) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.stderr.close()


def test_readers_can_be_many_processes(place):
    """Read-only, a folder can be served by several workers; each shows the same."""
    served = start(place, "--read-only", "--workers", "2", "--public-read")
    try:
        bodies = {served.ask("GET", "/checkpoint").body for _ in range(20)}
        assert len(bodies) == 1
    finally:
        served.kill()
        served.process.stdout.close()


def test_server_of_a_log_that_was_moved_says_so(place, postgres, tmp_path, monkeypatch):
    """It is not ready from then on, and tells nobody to send an entry again."""
    monkeypatch.setenv("COUNTERFOIL_HOME", str(place.home))
    schema = f"t_{secrets.token_hex(6)}"
    url = f"{postgres.url}?tiles=file://{tmp_path / 'tiles'}&schema={schema}"
    move_log(place.folder, url)
    served = start(Place(url, place.home, place.keys))
    reading = start(Place(url, place.home, place.keys), "--read-only")
    try:
        assert served.post(served.envelope(1)).status == 200
        assert reading.ask("GET", "/readyz").json["writer"] == "read-only"
        move_log(url, place.folder)
        until = time.monotonic() + SOON_S
        for one in (reading, served):
            while (ready := one.ask("GET", "/readyz")).json["writer"] != "moved":
                assert time.monotonic() < until
                time.sleep(0.1)
            assert ready.status == 503
        for number in (2, 3):
            reply = served.post(served.envelope(number))
            assert (reply.status, "retry-after" in reply.headers) == (409, False)
            assert "was moved" in reply.json["detail"]
            assert "again" not in reply.json["hint"]
        until = time.monotonic() + 4  # after a failure it looks again, and must not be reassured
        while time.monotonic() < until:
            ready = served.ask("GET", "/readyz")
            assert (ready.status, ready.json["writer"]) == (503, "moved")
            time.sleep(0.5)
        assert served.stop() == 0
    finally:
        for one in (reading, served):
            one.kill()
            one.process.stdout.close()
        postgres.run(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
