"""A small published tree, and web servers that give it: rightly, wrongly, late, or not at all."""

import hashlib
import shutil
import socket
import ssl
import struct
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

RECORDS = 20
SUMS = "SHA256SUMS.txt"


def publish(tree: Path, simulated_tree: Path) -> None:
    """Write what a server holds: both tables, the licence, 20 records at 100 Hz, and files that nobody needs."""
    for rate, end in ((100, "lr"), (500, "hr")):
        folder = tree / f"records{rate}" / "00000"
        folder.mkdir(parents=True)
        for number in range(1, RECORDS + 1):
            for kind in ("dat", "hea"):
                source = simulated_tree / f"records100/00000/{number:05d}_lr.{kind}"
                shutil.copy(source, folder / f"{number:05d}_{end}.{kind}")
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        shutil.copy(simulated_tree / name, tree)
    (tree / "LICENSE.txt").write_text("Creative Commons Attribution 4.0 International Public License\n")
    (tree / "example_physionet.py").write_text("print('not needed')\n")


class Request(BaseHTTPRequestHandler):
    """One connection; what it answers is up to the server's scripts."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "WebServer"

    def do_GET(self) -> None:
        # A proxy is asked for whole addresses.
        name = unquote(urlsplit(self.path).path).removeprefix("/")
        act = self.server.next_act(name)
        file = self.server.tree / name
        if act is not None:
            act(self, file.read_bytes())
        elif file.is_file():
            self.give(file.read_bytes())
        else:
            self.say(404)

    def give(self, content: bytes, *, sent: bytes | None = None) -> None:
        """Announce a content, and send it or something else."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if sent is None else sent)

    def say(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


Act = Callable[[Request, bytes], None]


def right(request: Request, content: bytes) -> None:
    """The file."""
    request.give(content)


def wrong(request: Request, content: bytes) -> None:
    """Another content of the same length."""
    request.give(bytes([content[0] ^ 1]) + content[1:])


def status(code: int, **headers: str) -> Act:
    return lambda request, content: request.say(code, **headers)


def stall(request: Request, content: bytes) -> None:
    """Half of it, then silence until the server is closed."""
    request.give(content, sent=content[: len(content) // 2])
    request.server.closing.wait()
    request.close_connection = True


def drip(request: Request, content: bytes) -> None:
    """A byte now and then: never silent for as long as a time-out."""
    request.give(content, sent=b"")
    for byte in content:
        if request.server.closing.wait(0.05):
            break
        try:
            request.wfile.write(bytes([byte]))
        except OSError:
            break
    request.close_connection = True


def cut(request: Request, content: bytes) -> None:
    """Half of it, then the end of the connection."""
    request.give(content, sent=content[: len(content) // 2])
    request.close_connection = True


def reset(request: Request, content: bytes) -> None:
    """The connection is torn down without an answer."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.close_connection = True


class WebServer(ThreadingHTTPServer):
    """A folder on 127.0.0.1.

    ``script[name]`` holds what happens at the next requests of a file, one after another; ``always[name]`` what happens
    at all of them. The name ``*`` stands for every file. ``asked`` counts the requests.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    # What may stand in a script.
    right, wrong, stall, drip = map(staticmethod, (right, wrong, stall, drip))
    cut, reset, status = map(staticmethod, (cut, reset, status))

    def __init__(self, tree: Path) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.tree = tree
        self.script: defaultdict[str, deque[Act]] = defaultdict(deque)
        self.always: dict[str, Act] = {}
        self.asked: Counter[str] = Counter()
        self.closing = threading.Event()
        self.scheme = "http"
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/"

    def encrypt(self, certificate: Path) -> None:
        """Speak https from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "https"

    def next_act(self, name: str) -> Act | None:
        with self._lock:
            self.asked[name] += 1
            if self.script[name]:
                return self.script[name].popleft()
            return self.always.get(name, self.always.get("*"))

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what many of these tests are about."""

    def forget(self) -> None:
        """From now on everything is given rightly, and counted anew."""
        self.script.clear()
        self.always.clear()
        self.asked.clear()


@pytest.fixture
def serve() -> Iterator[Callable[[Path], WebServer]]:
    """Start a web server for a folder."""
    started: list[tuple[WebServer, threading.Thread]] = []

    def start(tree: Path) -> WebServer:
        server = WebServer(tree)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def contents(tree: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {file.relative_to(tree).as_posix(): file.read_bytes() for file in tree.rglob("*") if file.is_file()}


@dataclass(frozen=True)
class Site:
    """A published tree, and where the download of it goes."""

    serve: Callable[[Path], WebServer]
    published: Path
    dest: Path

    def start(self) -> WebServer:
        """A server of the tree."""
        return self.serve(self.published)

    def list_files(self) -> None:
        """List every file of the tree as PhysioNet does."""
        lines = [
            f"{hashlib.sha256(raw).hexdigest()} {name}\n" for name, raw in sorted(self.files.items()) if name != SUMS
        ]
        (self.published / SUMS).write_text("".join(lines))

    @property
    def files(self) -> dict[str, bytes]:
        """All that is published, needed or not."""
        return contents(self.published)

    @property
    def needed(self) -> dict[str, bytes]:
        """The content of every file that a download at 100 Hz brings."""
        wanted = ("ptbxl_database.csv", "scp_statements.csv", "LICENSE.txt", SUMS)
        return {name: raw for name, raw in self.files.items() if name in wanted or name.startswith("records100/")}

    def content(self) -> dict[str, bytes]:
        """What has come."""
        return contents(self.dest)

    @property
    def is_whole(self) -> bool:
        """Whether all that is needed has come and nothing else."""
        return self.content() == self.needed


@pytest.fixture
def site(serve: Callable[[Path], WebServer], simulated_tree: Path, tmp_path: Path) -> Site:
    """The published tree, to be downloaded into a folder that is not there yet."""
    site = Site(serve, tmp_path / "published", tmp_path / "ptbxl")
    publish(site.published, simulated_tree)
    site.list_files()
    return site
