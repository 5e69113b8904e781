# SPDX-License-Identifier: Apache-2.0
"""Says hello over HTTP on $PORT, and echoes what is posted."""

import itertools
import json
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

calls = itertools.count(1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept open between requests
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one piece

    def answer(self, body):
        data = json.dumps(body).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        # Which instance it is, and what number this call has in it: what was parked goes on, what is rewound begins again.
        self.send_header("X-Host", socket.gethostname())
        self.send_header("X-Calls", str(next(calls)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer({"message": "Hello from Python", "path": self.path})

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(size).decode(errors="replace")
        self.answer({"message": "Hello from Python", "path": self.path, "body": text})

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
