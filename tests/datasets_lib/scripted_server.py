"""A real HTTP server on this machine that answers by a script, faults included."""

import contextlib
import functools
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """One answer; the last of a script is repeated."""

    body: bytes = b""
    status: int = 200
    etag: str | None = '"v1"'
    modified: str | None = None
    kind: str = "application/octet-stream"
    ranges: bool = True
    heed_if_range: bool = True
    shift: int = 0
    """Sends a range that begins some bytes from where it should."""
    announced: int | None = None
    """Content-Length in place of the true one; -1 leaves it out."""
    drop_after: int | None = None
    """Resets the connection after a number of bytes."""
    stall_after: int | None = None
    """Falls silent after a number of bytes, until the server is closed."""
    headers: Mapping[str, str] = field(default_factory=dict)


class ScriptedServer:
    """Serves answers in turn; remembers the requests as (path, headers)."""

    def __init__(self, *answers):
        self.requests = []
        self._answers = list(answers)
        self._closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append((self.path, self.headers))
                script = server._answers
                with contextlib.suppress(ConnectionError):  # the client has closed the connection
                    server._send(self, script.pop(0) if len(script) > 1 else script[0])

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        self.url = f"{self.address}/file.bin"
        threading.Thread(
            target=functools.partial(self._http.serve_forever, 0.01), daemon=True
        ).start()

    @property
    def ranges(self):
        """The Range header of each request."""
        return [headers["Range"] for _, headers in self.requests]

    def close(self):
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()

    def _send(self, handler, answer):
        asked = handler.headers["Range"]
        same = handler.headers["If-Range"] in {None, answer.etag, answer.modified}
        start, status = 0, answer.status
        if asked and answer.ranges and status == 200 and (same or not answer.heed_if_range):
            start = int(asked.removeprefix("bytes=").removesuffix("-")) + answer.shift
            status = 206 if start < len(answer.body) else 416
        body = answer.body[start:]
        handler.send_response(status)
        if status == 206:
            last = len(answer.body) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{len(answer.body)}")
        if answer.announced != -1:
            handler.send_header("Content-Length", str(answer.announced or len(body)))
        for name, value in {
            "Content-Type": answer.kind,
            "ETag": answer.etag,
            "Last-Modified": answer.modified,
            **answer.headers,
        }.items():
            if value is not None:
                handler.send_header(name, value)
        handler.end_headers()
        self._send_body(handler, answer, body)

    def _send_body(self, handler, answer, body):
        limits = [n for n in (answer.drop_after, answer.stall_after) if n is not None]
        handler.wfile.write(body[: min(limits, default=len(body))])
        handler.wfile.flush()
        if answer.stall_after is not None:
            self._closing.wait(20)
        if answer.drop_after is not None:
            handler.connection.shutdown(socket.SHUT_RDWR)
