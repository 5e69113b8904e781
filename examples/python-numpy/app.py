# SPDX-License-Identifier: Apache-2.0
"""Multiplies matrices: POST {"a": [[…]], "b": [[…]]} or {"size": N}; the answer has the product, or its trace and sum."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy

MAX_SIZE = 2000
MAX_BODY = 16 << 20


def multiply(request):
    if "size" in request:
        n = int(request["size"])
        if not 1 <= n <= MAX_SIZE:
            raise ValueError(f"size {n}, choose from 1 to {MAX_SIZE}")
        a = numpy.arange(n * n, dtype=numpy.float64).reshape(n, n) / (n * n)
        product = a @ a.T
        return {"size": n, "trace": float(product.trace()), "sum": float(product.sum())}
    a, b = (numpy.array(request[k], dtype=numpy.float64) for k in ("a", "b"))
    return {"product": (a @ b).tolist()}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def answer(self, status, body):
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer(200, multiply({"size": 100}))

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        if size > MAX_BODY:
            self.close_connection = True
            self.answer(413, {"error": f"at most {MAX_BODY} bytes"})
            return
        try:
            self.answer(200, multiply(json.loads(self.rfile.read(size))))
        except (ValueError, KeyError, TypeError) as e:
            self.answer(400, {"error": str(e)})

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
