"""Clients that are slow, silent, endless or many, against one live server with short limits."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
import requests
from hostile_bodies import CHUNK, MARKER, VALID_BODIES
from live_server import JSON, LiveServer, SmallModel, serving

from leadwise.contract import LeadwiseError
from leadwise.serving.admission import LARGE_BODY, AdmissionControl, ServerLimits
from leadwise.serving.connections import LARGEST_HEAD
from leadwise.serving.request_parsing import LARGEST_BODY

pytestmark = [pytest.mark.xdist_group("small server"), pytest.mark.timeout(600)]

ARRIVAL_S, ANSWER_S, CONNECTIONS, REQUESTS = 2.0, 6.0, 40, 12
LIMITS = {
    "LEADWISE_ARRIVAL_S": str(ARRIVAL_S),
    "LEADWISE_ANSWER_S": str(ANSWER_S),
    "LEADWISE_CONNECTIONS": str(CONNECTIONS),
    "LEADWISE_REQUESTS": str(REQUESTS),
    "LEADWISE_HELD_BYTES": str(LARGEST_BODY + 2**20),
}
HEAD = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GOOD = {"inputs": [{"age": 50}]}


@pytest.fixture(scope="module")
def server(small_model: SmallModel) -> Iterator[LiveServer]:
    with serving(small_model, small_model.folder / "limited.log", LIMITS) as server:
        before = server.processes().keys()
        yield server
        # After everything below.
        assert server.post(GOOD).status_code == 200
        assert before <= server.processes().keys()
        log = server.said()
        assert not {trace for trace in ("Traceback", MARKER, CHUNK, "while answering") if trace in log}


def closed_after(client: socket.socket, patience_s: float) -> tuple[float, bytes]:
    """Seconds until the server has closed a connection, and what it said before."""
    started, said = time.perf_counter(), b""
    client.settimeout(patience_s)
    with suppress(ConnectionResetError, BrokenPipeError):
        while part := client.recv(65536):
            said += part
    return time.perf_counter() - started, said


def drip(client: socket.socket, piece: bytes, *, every_s: float = 0.2, until_s: float = 20) -> None:
    """Send a piece again and again until the server hangs up."""
    ends = time.perf_counter() + until_s
    with suppress(ConnectionResetError, BrokenPipeError):
        while time.perf_counter() < ends:
            client.sendall(piece)
            time.sleep(every_s)
        pytest.fail("the server went on listening")


@pytest.mark.parametrize("start", [b"", HEAD + b"X-Signal: 7.654"])
def test_a_header_that_never_ends_is_not_waited_for(server: LiveServer, start: bytes) -> None:
    with server.connect() as client:
        client.sendall(start)
        waited, _ = closed_after(client, 20)
    assert ARRIVAL_S * 0.8 < waited < ARRIVAL_S + 3


def test_a_header_that_drips_or_grows_is_not_waited_for(server: LiveServer) -> None:
    with server.connect() as client:
        client.sendall(HEAD)
        drip(client, b"X-Signal: 7.654321\r\n")
    with server.connect() as client:
        with suppress(ConnectionResetError, BrokenPipeError):
            client.sendall(HEAD + b"X-Signal: " + b"7" * (LARGEST_HEAD * 2))
        _, said = closed_after(client, ARRIVAL_S / 2)
        assert said.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_drips_gets_a_408(server: LiveServer, chunked: bool) -> None:
    with server.connect() as client:
        client.sendall(HEAD + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: 500\r\n\r\n"))
        started = time.perf_counter()
        drip(client, b"5\r\n7.654\r\n" if chunked else b"7.65")
        assert time.perf_counter() - started < ARRIVAL_S + 3
    with server.connect() as client:
        client.sendall(HEAD + b'Content-Length: 500\r\n\r\n{"inputs": [{"signal": [[7.654321')
        waited, said = closed_after(client, 20)
    assert waited < ARRIVAL_S + 3
    assert said.startswith(b"HTTP/1.1 408 ")
    content = json.loads(said.partition(b"\r\n\r\n")[2])
    assert content["error"] == {
        "code": "too_slow",
        "field": "body",
        "message": f"body: has not arrived within {ARRIVAL_S:g} s",
    }


def test_a_client_that_sends_on_after_a_refusal_is_cut_off(server: LiveServer) -> None:
    with server.connect() as client:
        client.sendall(HEAD + f"Content-Length: {2**40}\r\n\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
        drip(client, b" " * 2**16, every_s=0.05)


def test_a_client_that_does_not_read_its_answers_is_cut_off(server: LiveServer) -> None:
    body = json.dumps({"inputs": [{"age": 50}] * 1024}).encode()
    request = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        with suppress(ConnectionResetError, BrokenPipeError, TimeoutError):
            client.settimeout(ANSWER_S * 2)
            client.sendall(request * 20)
        ends = time.perf_counter() + 120
        while server.holds(client):
            assert time.perf_counter() < ends, "the server goes on waiting"
            time.sleep(0.2)
        # The system has taken some of the answers off the server's hands.
        _, said = closed_after(client, 30)
    assert said.count(b"HTTP/1.1 200 ") < 20
    assert server.post(GOOD).status_code == 200


def test_large_requests_wait_for_each_other_and_small_ones_do_not() -> None:
    async def try_both() -> None:
        admission = AdmissionControl(ServerLimits(large_at_once=1))
        async with admission.turn(LARGE_BODY + 1):
            async with asyncio.timeout(5), admission.turn(LARGE_BODY):
                pass
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), admission.turn(LARGE_BODY + 1):
                    pass
        async with asyncio.timeout(5), admission.turn(LARGE_BODY + 1):
            pass

    asyncio.run(try_both())


def test_trailers_without_end_are_cut_off(server: LiveServer) -> None:
    with server.connect() as client:
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        drip(client, b"X-Signal: 7.654321\r\n" * 1000, every_s=0.01)


def test_more_connections_than_allowed_are_told_so_and_the_others_go_on(server: LiveServer) -> None:
    with ExitStack() as held, requests.Session() as session:
        address = f"{server.url}/invocations"
        assert session.post(address, json=GOOD, timeout=60).status_code == 200
        clients = [held.enter_context(server.connect()) for _ in range(CONNECTIONS + 10)]
        # A keep-alive connection from before the crowd is still served.
        assert session.post(address, json=GOOD, timeout=60).status_code == 200
        refused = [closed_after(client, ARRIVAL_S + 5)[1] for client in clients]
    assert sum(said.startswith(b"HTTP/1.1 503 ") for said in refused) >= 10
    assert server.post(GOOD).status_code == 200


def test_more_requests_than_allowed_get_a_503_that_says_when_to_come_back(server: LiveServer) -> None:
    with ExitStack() as held:
        for _ in range(REQUESTS):
            client = held.enter_context(server.connect())
            client.sendall(HEAD + b"Content-Length: 500\r\n\r\n{")
        # Nobody tells a client that its unfinished request has been seen.
        time.sleep(0.3)
        response = server.post(GOOD)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "busy")
    assert response.headers["Retry-After"] == "1"
    assert server.post(GOOD).status_code == 200


def test_clients_that_go_away_leave_no_trace(server: LiveServer) -> None:
    body, _ = VALID_BODIES["lists"]
    head = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode()
    for sent in (head, head + body[:5000], head + body[:-1], head + body, head + body * 3):
        for _ in range(5):
            with server.connect() as client:
                client.sendall(sent)
    assert server.post(GOOD).status_code == 200


def test_bodies_of_the_largest_size_at_once_are_answered_or_put_off(server: LiveServer) -> None:
    values = b'{"inputs": [{"signal": [[' + b"7.654321," * 3_900_000 + b"1]]}]}"
    bodies = [values, b'{"inputs": [{"signal": "' + b"A" * (LARGEST_BODY - 40) + b'"}]}', b"[" * LARGEST_BODY] * 2

    def send(body: bytes) -> tuple[int, str]:
        try:
            response = server.post(body)
        except requests.ConnectionError:
            # Cut off before it had sent everything, it may not have seen the answer.
            return 408, "too_slow"
        return response.status_code, response.json()["error"]["code"]

    with ThreadPoolExecutor(len(bodies)) as clients:
        found = set(clients.map(send, bodies))
    assert found <= {(503, "busy"), (408, "too_slow"), (400, "missing_field"), (413, "too_many_values")}
    assert sum(server.processes().values()) < 2000


def test_nothing_that_a_client_puts_into_the_address_is_logged(server: LiveServer) -> None:
    for address in (f"/invocations?signal={MARKER}", f"/{MARKER}", f"/invocations/{CHUNK}"):
        assert requests.post(f"{server.url}{address}", json={}, headers=JSON, timeout=60).status_code in (400, 404)
    log = server.said()
    assert '"POST /invocations HTTP' in log
    assert '"POST /... HTTP' in log


@pytest.mark.parametrize("text", ["0", "-1", "nan", "soon", "1e99"])
def test_a_limit_that_is_no_number_above_0_is_named(text: str) -> None:
    with pytest.raises(LeadwiseError, match=f"LEADWISE_ARRIVAL_S: received '{text}'; a number above 0 is needed"):
        ServerLimits.of_environment({"LEADWISE_ARRIVAL_S": text})
