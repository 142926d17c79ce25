"""What an HTTP server must do with requests that few clients send: both servers, by their raw bytes."""

import gzip
import json
import socket
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import requests
from hostile_bodies import VALID_BODIES
from live_server import JSON, LiveServer, SmallModel, in_use

from leadwise import __version__
from leadwise.registry.load import NoSuchModel, load_scorer
from leadwise.serving import Client
from leadwise.serving.client import request_row
from leadwise.serving.request_parsing import LARGEST_BODY

pytestmark = [pytest.mark.xdist_group("small server"), pytest.mark.timeout(600)]

BODY = b'{"inputs": [{"age": 50, "id": 7}]}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
AT_ONCE_S = 5.0
GIVEN_BACK_MIB = 120
"""Of the allocator as it is by default, 240 are kept."""


@pytest.fixture(scope="module", params=["mlflow_server", "leadwise_server"])
def server(request: pytest.FixtureRequest) -> LiveServer:
    found: LiveServer = request.getfixturevalue(request.param)
    return found


def exchange(server: LiveServer, *headers: bytes, body: bytes = BODY, path: str = "/invocations") -> tuple[str, bytes]:
    """The status line and headers of the answer, and its body; the server has ``AT_ONCE_S`` for both."""
    head = f"POST {path} HTTP/1.1\r\nHost: elsewhere.example\r\n".encode()
    with server.connect() as client:
        client.settimeout(AT_ONCE_S)
        client.sendall(head + b"Content-Type: application/json\r\n" + b"".join(headers) + b"\r\n" + body)
        return answer_from(client)


def answer_from(client: socket.socket) -> tuple[str, bytes]:
    with client.makefile("rb") as stream:
        head = b"".join(iter(stream.readline, b"\r\n")).decode()
        lengths = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
        return head, stream.read(int(lengths[0].partition(":")[2]))


def code_of(content: bytes) -> str:
    return str(json.loads(content)["error"]["code"])


LENGTHS = {
    413: [*map(str, (2**26 + 1, 2**40, 10**19, 2**64 - 1, 2**64)), "9" * 20, "0" * 9 + "9" * 40, "9" * 5000],
    400: ["-1", "+34", "3_4", "34, 35"],
    200: [f"{len(BODY):040}"],
}


@pytest.mark.parametrize(("status", "length"), [(status, one) for status, all_ in LENGTHS.items() for one in all_])
def test_a_length_is_a_number_within_the_limit_or_refused_at_once(server: LiveServer, status: int, length: str) -> None:
    head, _ = exchange(server, f"Content-Length: {length}\r\n".encode())
    assert head.startswith(f"HTTP/1.1 {status} ")


@pytest.mark.parametrize("protocol", [b"h2c", b"TLS/1.0", b"foo, bar", b"websocket"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_for_another_protocol_is_answered_or_told_at_once(
    server: LiveServer, protocol: bytes, chunked: bool
) -> None:
    if protocol == b"websocket" and "mlflow" in server.log.name:
        pytest.skip("uvicorn's own command takes the connection for a WebSocket")
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY) if chunked else BODY
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else LENGTH
    upgrade = b"Connection: keep-alive, Upgrade\r\nUpgrade: " + protocol + b"\r\n"
    head, content = exchange(server, upgrade, framing, body=body)
    if head.startswith("HTTP/1.1 400 "):
        assert code_of(content) == "upgrade"
        assert "connection: close" in head.lower()
    else:
        assert json.loads(content)["predictions"][0]["id"] == 7


def test_nothing_waits_behind_a_request_for_another_protocol(server: LiveServer) -> None:
    with server.connect() as client:
        client.settimeout(AT_ONCE_S)
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        head, _ = answer_from(client)
        assert head.startswith("HTTP/1.1 200 ")
        with suppress(ConnectionError):
            # Closed by then, which the system tells in several ways.
            client.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(1000)[:12] in (b"", b"HTTP/1.1 200")


def test_an_upgrade_that_is_not_of_this_connection_is_ignored(server: LiveServer) -> None:
    head, _ = exchange(server, LENGTH, b"Upgrade: h2c\r\n")
    assert head.startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/invocations/", "/ping/", "/invocations//", "//elsewhere.example/invocations/"])
def test_no_address_leads_to_the_host_that_the_client_names(server: LiveServer, path: str) -> None:
    head, content = exchange(server, LENGTH, path=path)
    assert not head.startswith("HTTP/1.1 3")
    assert "location:" not in head.lower()
    assert b"elsewhere" not in content


PACKED = gzip.compress(BODY, mtime=0)
UTF_16 = {"Content-Type": "application/json; charset=utf-16"}
REFUSED: dict[tuple[int, str], list[tuple[bytes, dict[str, str]]]] = {
    (400, "not_json"): [(BODY.decode().encode("utf-16"), {})],
    (415, "content_type"): [(BODY, UTF_16)],
    (400, "repeated_key"): [(b'{"inputs": [{"age": 50, "age": 51}]}', {})],
    (415, "content_encoding"): [
        (BODY, {"Content-Encoding": coding}) for coding in ("br", "deflate", "zstd", "gzip, gzip", "gzip, br")
    ],
    (400, "not_gzip"): [
        (body, {"Content-Encoding": "gzip"})
        for body in (BODY, b"", PACKED[:-1], PACKED[:5], PACKED + b"\0", PACKED * 2, PACKED[:-8] + bytes(8))
    ],
}


@pytest.mark.parametrize("refusal", REFUSED, ids=lambda one: one[1])
def test_what_is_no_plain_json_is_refused_by_its_code(server: LiveServer, refusal: tuple[int, str]) -> None:
    for body, headers in REFUSED[refusal]:
        response = server.post(body, JSON | headers)
        assert (response.status_code, response.json()["error"]["code"]) == refusal, body
        assert refusal[1] != "content_encoding" or response.headers["Accept-Encoding"] == "gzip"


def test_two_content_types_are_a_415(server: LiveServer) -> None:
    head, _ = exchange(server, LENGTH, b"Content-Type: application/json; charset=utf-16\r\n")
    assert head.startswith("HTTP/1.1 415 ")


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZip"])
@pytest.mark.parametrize("form", VALID_BODIES)
def test_a_body_in_gzip_is_answered_as_it_is_without(server: LiveServer, coding: str, form: str) -> None:
    body, kind = VALID_BODIES[form]
    plain = server.post(body, {"Content-Type": kind})
    response = server.post(gzip.compress(body), {"Content-Type": kind, "Content-Encoding": coding})
    assert response.status_code == 200
    assert response.json() == plain.json()


def spaces_packed(mib: int) -> bytes:
    """Gzip of so many MiB, which are never there at once."""
    packing = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    return b"".join(packing.compress(b" " * 2**20) for _ in range(mib)) + packing.flush()


def test_a_bomb_is_a_413_soon_and_takes_little_memory(leadwise_server: LiveServer) -> None:
    spaces = gzip.compress(b" " * 2**20)
    bomb = spaces_packed(8 * LARGEST_BODY // 2**20)
    leadwise_server.post(spaces, JSON | {"Content-Encoding": "gzip"})
    before, started = sum(leadwise_server.processes().values()), time.perf_counter()
    for body in (bomb, gzip.compress(BODY + b" " * LARGEST_BODY)):
        response = leadwise_server.post(body, JSON | {"Content-Encoding": "gzip"})
        assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
    assert time.perf_counter() - started < 10
    assert sum(leadwise_server.processes().values()) < before + 32


def test_memory_of_large_requests_is_given_back(leadwise_server: LiveServer) -> None:
    (lists,) = json.loads(VALID_BODIES["lists"][0])["inputs"]
    counts = np.tile(np.round(np.asarray(lists["signal"]) * 1000).astype(np.int16), (100, 1))
    long = request_row(lists | {"signal": counts, "units": "uV"})
    bodies = [json.dumps({"inputs": rows}).encode() for rows in ([lists] * 64, [long], [long] * 3, [lists] * 200)]
    assert leadwise_server.post(bodies[0]).status_code == 200
    before = sum(leadwise_server.processes().values())
    with ThreadPoolExecutor(4) as clients:
        assert {answer.status_code for answer in clients.map(leadwise_server.post, bodies * 4)} == {200}
    assert sum(leadwise_server.processes().values()) < before + GIVEN_BACK_MIB


def test_the_registered_version_answers_as_the_registry_hands_it_out(
    server: LiveServer, small_model: SmallModel, ecg_mv: np.ndarray
) -> None:
    counts = {"signal": np.round(ecg_mv * 1000).astype(np.int16), "units": "uV", "fs_hz": 100}
    row = request_row({"id": "a", **counts, "age": 63, "sex": "female"})
    with in_use(small_model.tracking):
        (here,) = load_scorer(small_model.uri).score([row], explain=["MI"])
        with pytest.raises(NoSuchModel, match="models:/small@champion: cannot be fetched from the registry"):
            load_scorer("models:/small@champion")
    assert (here["model"], here["registered_model"], here["version"]) == ("fusion_augmented", "small", "2")
    with Client(server.url) as client:
        assert client.score([row, row], explain=["MI"]) == [here, here]


def test_the_version_is_that_of_the_code_that_answers(server: LiveServer) -> None:
    answer = requests.get(f"{server.url}/version", timeout=30)
    assert (answer.status_code, answer.text) == (200, __version__)


def test_a_body_without_a_length_that_grows_too_large_is_a_413(server: LiveServer) -> None:
    parts = (b" " * 2**20 for _ in range(LARGEST_BODY // 2**20 + 2))
    response = requests.post(f"{server.url}/invocations", data=parts, headers=JSON, timeout=120)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


def test_leadwise_serve_is_one_process(leadwise_server: LiveServer) -> None:
    assert list(leadwise_server.processes()) == [leadwise_server.group]
