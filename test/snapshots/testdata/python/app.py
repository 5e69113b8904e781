# SPDX-License-Identifier: Apache-2.0
"""Knows nothing of snapshots but where it says so: what it keeps of random numbers was taken before the first of them."""

import asyncio
import json
import os
import random
import secrets
import ssl
import sys
import tempfile
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from random import random as taken

own = random.Random()
fixed = random.Random(7)
normal = random.Random()
normal.gauss(0, 1)
names = tempfile._RandomNameSequence()
context = ssl.create_default_context()
taken(), own.random(), next(names), ssl.RAND_bytes(16), uuid.uuid4(), secrets.token_hex(8), random.gauss(0, 1)
counter = 0
lock = threading.Lock()
restores = []
held = {}

if os.environ.get("HOOK"):
    import unifaas

    unifaas.after_restore(restores.append)
    if os.environ.get("UNIFAAS_SNAPSHOT") == "manual":
        unifaas.ready()


def numbers():
    return {
        "random": taken(),
        "randbits": random.getrandbits(64),
        "own": own.random(),
        "normal": normal.gauss(0, 1),
        "normal of all": random.gauss(0, 1),
        "name": next(names),
        "uuid4": str(uuid.uuid4()),
        "secrets": secrets.token_hex(16),
        "ssl": ssl.RAND_bytes(16).hex(),
        "urandom": os.urandom(16).hex(),
        "choice": "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=20)),
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self):
        global counter
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        with lock:
            counter += 1
            out = {"counter": counter, "thread": threading.current_thread() is threading.main_thread()}
        if self.path == "/numbers":
            out["unique"] = numbers()
            out["fixed"] = fixed.random()
        elif self.path == "/spread":
            held[body] = [body + "!", {body: body.encode()}]
            try:
                raise ValueError(body)
            except ValueError as e:
                held["error"] = e
            out["said"] = body
        out["restores"] = len(restores)
        if "unifaas" in sys.modules:
            out["generation"] = str(sys.modules["unifaas"].generation())
        data = json.dumps(out).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST

    def log_message(self, *_):
        pass


def main():
    address = ("", int(os.environ.get("PORT", "8080")))
    mode = os.environ.get("SERVER", "threads")
    if mode == "threads":
        ThreadingHTTPServer(address, Handler).serve_forever()
    elif mode == "one":
        HTTPServer(address, Handler).serve_forever()
    elif mode == "other":  # the main thread takes no part
        server = HTTPServer(address, Handler)
        t = threading.Thread(target=server.serve_forever)
        t.start()
        t.join()
    elif mode == "asyncio":
        asyncio.run(serve_async(address))


async def serve_async(address):
    async def one(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        out = {"unique": numbers(), "fixed": fixed.random(), "restores": len(restores), "head": len(head)}
        data = json.dumps(out).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(one, *address)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    main()
