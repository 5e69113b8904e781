# SPDX-License-Identifier: Apache-2.0
"""Serves GET /CHECK: what the check of that name prints, or its traceback with status 500."""

import os
import sys
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import checks


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        try:
            lines = getattr(checks, "check_" + url.path.strip("/"))(unquote(url.query))
            status, text = 200, "".join(f"{name}: {value}\n" for name, value in lines)
        except Exception:
            status, text = 500, traceback.format_exc()
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
