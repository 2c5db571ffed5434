"""A web server on this machine that behaves as well or as badly as a test wants."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Mirror:
    """Serves `files`; remembers each request as (name, Range header or None)."""

    files: dict[str, bytes]
    ranges: bool = True
    breaks_after: int | None = None
    chunked: bool = False
    url: str = ""
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def respond(self, request: BaseHTTPRequestHandler) -> None:
        name, wanted = request.path.lstrip("/"), request.headers.get("Range")
        self.requests.append((name, wanted))
        if name not in self.files:
            request.send_error(404)
            return
        body, start = self.files[name], 0
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                request.send_error(416)
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            request.send_response(200)
        if not self.chunked:
            request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        request.wfile.write(body[start:][: self.breaks_after])


@contextmanager
def serving(files: dict[str, bytes], **behaviour: Any) -> Iterator[Mirror]:
    mirror = Mirror(files, **behaviour)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirror.respond(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    mirror.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
