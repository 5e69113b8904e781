# SPDX-License-Identifier: Apache-2.0
"""Answers whether a number is prime, from a table that takes a while to make: it is made once, and is in the snapshot."""

import json
import os
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import unifaas

LIMIT = 2_000_000


def sieve(limit):
    table = bytearray([1]) * (limit + 1)
    table[:2] = b"\0\0"
    for n in range(2, int(limit**0.5) + 1):
        if table[n]:
            table[n * n :: n] = bytes(len(range(n * n, limit + 1, n)))
    return table


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            n = int(parse_qs(urlsplit(self.path).query)["n"][0])
            body = {"n": n, "prime": bool(primes[n])}
        except (KeyError, IndexError, ValueError):
            body = {"error": f"ask for ?n=NUMBER up to {LIMIT}"}
        body |= {"made": made, "instance": instance}
        data = json.dumps(body).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@unifaas.after_restore
def renew(generation):
    global instance
    instance = str(uuid.uuid4())  # each instance has a name of its own; without this, all would have the snapshot's


made = instance = str(uuid.uuid4())
primes = sieve(LIMIT)
unifaas.ready()
HTTPServer(("", int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
