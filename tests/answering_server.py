"""A server in this process that answers with a package, and misbehaves first where it is told to."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from leadwise.serving.api import respond
from leadwise.serving.scorer import Scorer

Handler = BaseHTTPRequestHandler
Misbehaviour = Callable[[Handler], None]


class Server:
    """Answers as the scoring server does, after it has misbehaved in the given ways, one request each."""

    def __init__(self, scorer: Scorer) -> None:
        self.misbehaves: list[Misbehaviour] = []
        self.sizes: list[int] = []
        outer = self

        class Answering(Handler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.sizes.append(len(json.loads(body)["inputs"]))
                if outer.misbehaves:
                    outer.misbehaves.pop(0)(self)
                    return
                status, content = respond(scorer, body, self.headers["Content-Type"])
                answer(self, status, content)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join(10)


def answer(handler: Handler, status: int, content: object = None, **headers: str) -> None:
    """Bytes as they are, anything else as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
