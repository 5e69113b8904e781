# SPDX-License-Identifier: Apache-2.0
"""Programs of Python's standard library, small enough to be compared line by line with a run on the machine itself."""

import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def check_json(_):
    import json

    data = {"text": "grüße \U0001f600", "list": [1, 2.5, None, True, 1e308], "deep": {"a": {"b": [{}] * 3}}}
    text = json.dumps(data, sort_keys=True)
    yield "dumps", text
    yield "again", json.loads(text) == data
    big = json.dumps([{"id": n, "name": f"name {n}"} for n in range(20000)])
    yield "big", (len(big), sum(e["id"] for e in json.loads(big)))
    try:
        json.loads('{"a": ]')
    except json.JSONDecodeError as e:
        yield "error", e


def check_sqlite3(_):
    import sqlite3
    import threading

    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "data.db")
        for mode in ("delete", "wal"):
            db = sqlite3.connect(path)
            yield "journal", db.execute(f"pragma journal_mode={mode}").fetchone()
            db.execute("create table if not exists t (id integer primary key, name text unique, size real)")
            with db:
                db.executemany("insert into t (name, size) values (?, ?)", ((f"{mode} {n}", n / 4) for n in range(3000)))
            yield "sum", db.execute("select count(*), sum(size), max(name) from t").fetchone()
            try:
                with db:
                    db.execute("delete from t")
                    db.execute("insert into t (name) values ('x'), ('x')")
            except sqlite3.IntegrityError as e:
                yield "rolled back", (str(e), db.execute("select count(*) from t").fetchone())

            def write(n):
                own = sqlite3.connect(path, timeout=60)
                for i in range(20):
                    with own:
                        own.execute("insert into t (name) values (?)", (f"{mode} thread {n} {i}",))
                own.close()

            threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            yield "threads", db.execute("select count(*) from t where name like '%thread%'").fetchone()
            yield "integrity", db.execute("pragma integrity_check").fetchone()
            # A second writer meets the lock of the first.
            other = sqlite3.connect(path, timeout=0)
            db.execute("begin immediate")
            try:
                other.execute("begin immediate")
            except sqlite3.OperationalError as e:
                yield "locked", e
            db.rollback()
            other.close()
            db.close()
        yield "left", sorted(os.listdir(d))


def check_ssl(_):
    import socket
    import ssl
    import threading

    cert, key = os.path.join(HERE, "cert.pem"), os.path.join(HERE, "key.pem")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    data = bytes(range(256)) * 2000

    def serve(listener):
        conn, _ = listener.accept()
        try:
            with server.wrap_socket(conn, server_side=True) as tls:
                got = b""
                while len(got) < len(data):
                    got += tls.recv(65536)
                tls.sendall(got[::-1])
        except ssl.SSLError:
            conn.close()  # the client does not trust us

    for version, trusted in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_3, False)):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            t = threading.Thread(target=serve, args=(listener,))
            t.start()
            client = ssl.create_default_context(cafile=cert if trusted else None)
            client.minimum_version = client.maximum_version = version
            with socket.create_connection(listener.getsockname()) as raw:
                try:
                    with client.wrap_socket(raw, server_hostname="localhost") as tls:
                        yield "version", (tls.version(), tls.cipher()[0], tls.getpeercert()["subject"])
                        tls.sendall(data)
                        answer = b""
                        while part := tls.recv(65536):
                            answer += part
                        yield "answer", answer == data[::-1]
                except ssl.SSLCertVerificationError as e:
                    yield "refused", e.verify_message
            t.join()
    yield "authorities", len(ssl.create_default_context().get_ca_certs()) > 50
    yield "random", (len(ssl.RAND_bytes(32)), ssl.RAND_bytes(32) != ssl.RAND_bytes(32))


def check_ctypes(_):
    import ctypes
    import ctypes.util

    libc = ctypes.CDLL("libc.so.6", use_errno=True)
    yield "strlen", libc.strlen(b"twelve bytes")
    libc.strtod.restype = ctypes.c_double
    yield "strtod", libc.strtod(b"2.75", None)
    numbers = (ctypes.c_int * 6)(5, 3, 9, 1, 7, 2)
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    libc.qsort(numbers, len(numbers), ctypes.sizeof(ctypes.c_int), compare(lambda a, b: a[0] - b[0]))
    yield "qsort through a callback", list(numbers)
    yield "errno", (libc.close(-1), ctypes.get_errno())
    yield "libm", ctypes.CDLL("libm.so.6").abs(-3)

    class Pair(ctypes.Structure):
        _fields_ = [("quot", ctypes.c_int), ("rem", ctypes.c_int)]

    libc.div.restype = Pair
    got = libc.div(17, 5)
    yield "div", (got.quot, got.rem)
    try:
        ctypes.CDLL("libnothing.so.9")
    except OSError as e:
        yield "missing", e


def check_zlib(_):
    import bz2
    import gzip
    import hashlib
    import io
    import lzma
    import tarfile
    import zipfile
    import zlib

    text = b"".join(b"%d squared is %d\n" % (n, n * n) for n in range(20000))
    yield "text", (len(text), hashlib.sha256(text).hexdigest(), hashlib.md5(text).hexdigest(), hashlib.blake2b(text).hexdigest()[:16])
    yield "checksums", (zlib.crc32(text), zlib.adler32(text))
    for level in (1, 6, 9):
        packed = zlib.compress(text, level)
        yield "zlib", (level, len(packed), zlib.decompress(packed) == text)
    yield "gzip", gzip.decompress(gzip.compress(text)) == text
    yield "bz2", (len(bz2.compress(text)), bz2.decompress(bz2.compress(text)) == text)
    yield "lzma", (len(lzma.compress(text, preset=1)), lzma.decompress(lzma.compress(text, preset=1)) == text)
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "a.tar.gz")
        with tarfile.open(path, "w:gz") as tar:
            for n in range(10):
                info = tarfile.TarInfo(f"dir/{n}")
                info.size = n * 1000
                tar.addfile(info, io.BytesIO(text))
        with tarfile.open(path) as tar:
            tar.extractall(d)
        yield "tar", sorted((name, os.path.getsize(os.path.join(d, "dir", name))) for name in os.listdir(os.path.join(d, "dir")))
        path = os.path.join(d, "a.zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr("x/text", text)
        with zipfile.ZipFile(path) as z:
            yield "zip", (z.testzip(), z.namelist(), z.read("x/text") == text)
    try:
        zlib.decompress(b"no zlib")
    except zlib.error as e:
        yield "error", e


def check_threading(_):
    import concurrent.futures
    import queue
    import threading

    total, lock = 0, threading.Lock()

    def add():
        nonlocal total
        for _ in range(2000):
            with lock:
                total += 1

    threads = [threading.Thread(target=add) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    yield "sum", total
    barrier, seen = threading.Barrier(8), []

    def meet(n):
        seen.append(barrier.wait(60))

    threads = [threading.Thread(target=meet, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    yield "barrier", sorted(seen)
    q, out = queue.Queue(3), []

    def consume():
        while (item := q.get()) is not None:
            out.append(item * 2)

    t = threading.Thread(target=consume)
    t.start()
    for n in range(100):
        q.put(n)
    q.put(None)
    t.join()
    yield "queue", sum(out)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        yield "pool", list(pool.map(lambda n: n**3, range(10)))
    event, fired = threading.Event(), []
    timer = threading.Timer(0.01, lambda: (fired.append(1), event.set()))
    timer.start()
    yield "timer", (event.wait(60), fired)
    yield "condition", threading.Condition().acquire(blocking=False)
    yield "timed out", (event.clear(), event.wait(0.01))
    local = threading.local()
    local.x = 1
    other = []
    t = threading.Thread(target=lambda: other.append(hasattr(local, "x")))
    t.start()
    t.join()
    yield "local", (local.x, other)
    yield "names", (threading.current_thread() is not threading.main_thread(), isinstance(threading.get_native_id(), int))


def check_asyncio(_):
    import asyncio

    async def main():
        lines = []

        async def echo(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()

        async def talk(n):
            reader, writer = await asyncio.open_connection(*address)
            for i in range(5):
                writer.write(f"client {n} line {i}\n".encode())
                await writer.drain()
                assert await reader.readline() == f"CLIENT {n} LINE {i}\n".encode()
            writer.close()
            await writer.wait_closed()
            return n

        lines.append(("clients", sum(await asyncio.gather(*(talk(n) for n in range(20))))))
        server.close()
        await server.wait_closed()

        class Datagrams(asyncio.DatagramProtocol):
            def __init__(self):
                self.got = asyncio.get_running_loop().create_future()

            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, addr):
                if not self.got.done():
                    self.got.set_result(data)

        loop = asyncio.get_running_loop()
        a, pa = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
        b, _ = await loop.create_datagram_endpoint(Datagrams, remote_addr=a.get_extra_info("sockname"))
        b.sendto(b"datagram")
        lines.append(("udp", await pa.got))
        a.close()
        b.close()
        try:
            await asyncio.wait_for(asyncio.sleep(60), 0.01)
        except asyncio.TimeoutError:
            lines.append(("timeout", True))
        q = asyncio.Queue(2)

        async def produce():
            for n in range(10):
                await q.put(n)

        task = asyncio.create_task(produce())
        lines.append(("queue", [await q.get() for _ in range(10)]))
        await task
        lines.append(("executor", await loop.run_in_executor(None, sum, range(1000))))
        path = os.path.join(tempfile.mkdtemp(), "socket")
        unix = await asyncio.start_unix_server(echo, path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"unix\n")
        lines.append(("unix", await reader.readline()))
        writer.close()
        unix.close()
        return lines

    return asyncio.run(main())


def check_subprocess(_):
    import signal
    import subprocess

    python = [sys.executable, "-c"]
    done = subprocess.run([*python, "import sys; print(sys.stdin.read().upper()); print('oops', file=sys.stderr); sys.exit(3)"],
                          input="text\n", capture_output=True, text=True)
    yield "run", (done.returncode, done.stdout, done.stderr)
    yield "shell", subprocess.check_output("a=1; for i in 1 2 3; do a=$((a * i)); done; echo $a $0; exit 0", shell=True, text=True)
    yield "environment", subprocess.check_output(["/bin/sh", "-c", "echo $A-$HOME; pwd"], env={"A": "b"}, cwd="/tmp", text=True)
    first = subprocess.Popen(["/bin/sh", "-c", "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i + 1)); done"], stdout=subprocess.PIPE)
    second = subprocess.Popen([*python, "import sys; print(sum(1 for l in sys.stdin if '7' in l))"], stdin=first.stdout, stdout=subprocess.PIPE, text=True)
    first.stdout.close()
    yield "pipeline", (second.communicate()[0], first.wait())
    p = subprocess.Popen([*python, "import signal; print('up', flush=True); signal.pause()"], stdout=subprocess.PIPE, text=True)
    line = p.stdout.readline()
    p.send_signal(signal.SIGTERM)
    yield "signal", (line, p.wait(), p.stdout.close())
    try:
        subprocess.run(["/bin/sh", "-c", "while :; do :; done"], timeout=0.2)
    except subprocess.TimeoutExpired:
        yield "timeout", True
    try:
        subprocess.run(["/no/such/program"])
    except OSError as e:
        yield "missing", e
    data = os.urandom(1 << 20)
    echo = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    yield "a megabyte", subprocess.run([*python, echo], input=data, capture_output=True).stdout == data[::-1]
    many = [subprocess.Popen(["/bin/sh", "-c", f"exit {n}"]) for n in range(12)]
    yield "many", [p.wait() for p in many]
    yield "os.system", os.waitstatus_to_exitcode(os.system("exit 5"))
    pid = os.fork()
    if pid == 0:
        os._exit(9)
    yield "fork", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def square(n):
    return n * n


def produce(q, n):
    for i in range(n):
        q.put((os.getpid() != os.getppid(), i))


def increment(value, lock, times):
    for _ in range(times):
        with lock:
            value.value += 1


def answer(pipe):
    pipe.send(pipe.recv()[::-1])


def fail():
    sys.exit(4)


def check_multiprocessing(_):
    import multiprocessing
    from multiprocessing import shared_memory

    for method in ("fork", "spawn"):
        mp = multiprocessing.get_context(method)
        with mp.Pool(2) as pool:
            yield method + " map", pool.map(square, range(20), 3)
            yield method + " apply", pool.apply_async(square, (12,)).get(120)
            try:
                pool.apply(int, ("x",))
            except ValueError as e:
                yield method + " exception", e
        q = mp.Queue()
        p = mp.Process(target=produce, args=(q, 5))
        p.start()
        yield method + " queue", [q.get(timeout=120) for _ in range(5)]
        p.join()
        value, lock = mp.Value("i", 0, lock=False), mp.Lock()
        ps = [mp.Process(target=increment, args=(value, lock, 200)) for _ in range(2)]
        for p in ps:
            p.start()
        for p in ps:
            p.join()
        yield method + " value", (value.value, [p.exitcode for p in ps])
        a, b = mp.Pipe()
        p = mp.Process(target=answer, args=(b,))
        p.start()
        a.send([1, "two", 3.0])
        yield method + " pipe", a.recv()
        p.join()
        p = mp.Process(target=fail)
        p.start()
        p.join()
        yield method + " exit code", p.exitcode
    memory = shared_memory.SharedMemory(create=True, size=100000)
    memory.buf[:5] = b"hello"
    again = shared_memory.SharedMemory(memory.name)
    yield "shared memory", (bytes(again.buf[:5]), memory.size >= 100000)
    again.close()
    memory.close()
    memory.unlink()


def check_files(_):
    import mmap
    import shutil

    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "file")
        with open(path, "w+b") as f:
            f.truncate(100000)
            with mmap.mmap(f.fileno(), 0) as m:
                m[50000:50005] = b"hello"
                m.flush()
            f.seek(50000)
            yield "mmap", f.read(5)
        os.link(path, path + ".link")
        os.symlink("file", path + ".symlink")
        yield "stat", (os.stat(path).st_nlink, os.path.realpath(path + ".symlink") == path, oct(os.stat(path).st_mode))
        os.rename(path, path + ".new")
        yield "renamed", sorted(os.listdir(d))
        shutil.copytree(HERE, os.path.join(d, "copy"), ignore=lambda *_: ["__pycache__", "unifaas.yaml"])
        yield "copied", sorted(os.listdir(os.path.join(d, "copy")))
        with tempfile.NamedTemporaryFile(dir=d) as f:
            f.write(b"x" * 300000)
            f.flush()
            yield "size", os.path.getsize(f.name)
        for n in range(300):
            open(os.path.join(d, "copy", f"n{n}"), "w").close()
        yield "many", sum(1 for e in os.scandir(os.path.join(d, "copy")) if e.name.startswith("n"))


def check_http(url):
    import urllib.error
    import urllib.request

    with urllib.request.urlopen(url, timeout=120) as r:
        yield "get", (r.status, r.read())
    with urllib.request.urlopen(urllib.request.Request(url, data=b"x" * 300000), timeout=120) as r:
        yield "post", (r.status, r.read())
    try:
        urllib.request.urlopen(url.replace("/function/", "/nothing/"), timeout=120)
    except urllib.error.HTTPError as e:
        yield "error", e.code


def check_modules(_):
    import importlib

    names = ["_bz2", "_ctypes", "_decimal", "_hashlib", "_lzma", "_sqlite3", "_ssl", "_uuid", "asyncio", "csv", "curses", "datetime", "dbm",
             "decimal", "difflib", "email", "fcntl", "fractions", "grp", "heapq", "html.parser", "http.cookies", "ipaddress", "locale", "logging.handlers",
             "pickle", "pwd", "random", "readline", "resource", "select", "selectors", "smtplib", "statistics", "struct", "termios", "unittest",
             "urllib.robotparser", "uuid", "wsgiref.simple_server", "xml.etree.ElementTree", "xmlrpc.client", "zoneinfo"]
    for name in names:
        importlib.import_module(name)
    yield "imported", len(names)
    import datetime
    import decimal
    import pickle
    import uuid
    import xml.etree.ElementTree as xml
    import zoneinfo

    yield "zone", datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")).isoformat()
    yield "decimal", decimal.Decimal(2).sqrt()
    yield "pickle", pickle.loads(pickle.dumps({1: [2, (3, "x")]}))
    yield "uuid", uuid.uuid5(uuid.NAMESPACE_DNS, "example.org")
    yield "xml", [e.text for e in xml.fromstring("<a><b>1</b><b>2</b></a>")]
    yield "floats", (repr(0.1 + 0.2), 1e22, float("nan"), (2.0).hex(), round(2.675, 2))
    yield "encodings", ("ä€".encode("utf-16-le"), "é".encode("latin-1"), sys.getfilesystemencoding())
