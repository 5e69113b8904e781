# SPDX-License-Identifier: Apache-2.0
# Python: the modules that reach into the system.
import asyncio, bz2, ctypes, hashlib, json, lzma, mmap, multiprocessing, os, signal, socket, socketserver, sqlite3, ssl, subprocess, sys, tempfile, threading, zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import Manager, shared_memory
import numpy as np

print(json.dumps({"a": [1, 2]}), zlib.crc32(b"x"), hashlib.sha256(b"a").hexdigest()[:8], len(lzma.compress(b"a" * 1000)), len(bz2.compress(b"a" * 1000)))
with sqlite3.connect(os.path.join(tempfile.mkdtemp(), "db")) as c:
    c.execute("pragma journal_mode=wal")
    c.execute("create table t(x)")
    c.executemany("insert into t values(?)", [(i,) for i in range(1000)])
    print(c.execute("select sum(x) from t").fetchall(), c.execute("pragma integrity_check").fetchall())
print(ctypes.CDLL(None).getpid() == os.getpid(), ctypes.CDLL("libm.so.6").abs(-3), ssl.create_default_context().verify_mode)

found = []
threads = [threading.Thread(target=lambda i=i: found.append(i)) for i in range(20)]
for t in threads: t.start()
for t in threads: t.join()
print(sorted(found))

async def late(i):
    await asyncio.sleep(0.01 * i)
    return i

async def main():
    print(await asyncio.gather(*[late(i) for i in range(5)]))
    p = await asyncio.create_subprocess_exec("echo", "hi", stdout=subprocess.PIPE)
    print(await p.communicate())
    s = await asyncio.start_server(lambda r, w: (w.write(b"yo"), w.close()), "127.0.0.1", 0)
    r, w = await asyncio.open_connection("127.0.0.1", s.sockets[0].getsockname()[1])
    print(await r.read())
    s.close()
    print(await asyncio.to_thread(lambda: 5))
asyncio.run(main())

print(subprocess.run(["sort"], input=b"b\na\n", capture_output=True).stdout, subprocess.run("exit 3", shell=True).returncode, os.popen("echo z").read())

def square(x): return x * x
fork = multiprocessing.get_context("fork")
with fork.Pool(3) as p: print(p.map(square, range(10)))
seg = shared_memory.SharedMemory(create=True, size=100)
seg.buf[0] = 7
def attach(name):
    s = shared_memory.SharedMemory(name)
    s.buf[1] = s.buf[0] + 1
    s.close()
q = fork.Process(target=attach, args=(seg.name,))
q.start()
q.join()
print(bytes(seg.buf[:2]), q.exitcode)
seg.close()
seg.unlink()
m = Manager()
d = m.dict()
d["x"] = 1
print(dict(d))
m.shutdown()
counter = fork.Value("i", 0)
def count():
    for _ in range(100):
        with counter.get_lock(): counter.value += 1
ps = [fork.Process(target=count) for _ in range(3)]
for p in ps: p.start()
for p in ps: p.join()
print(counter.value)

signal.signal(signal.SIGALRM, lambda *a: print("alarm"))
signal.setitimer(signal.ITIMER_REAL, 0.5)
signal.pause()
mm = mmap.mmap(-1, 8192)
mm[0:5] = b"hello"
pid = os.fork()
if not pid:
    mm[0:5] = b"world"
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), mm[0:5])
fd = os.pidfd_open(os.getpid())
signal.pidfd_send_signal(fd, signal.SIGALRM)
with tempfile.NamedTemporaryFile() as t:
    t.write(b"x" * 10000)
    t.flush()
    print(os.path.getsize(t.name), mmap.mmap(t.fileno(), 0)[9999])

class Upper(socketserver.BaseRequestHandler):
    def handle(self): self.request.sendall(self.request.recv(100).upper())
srv = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Upper)
threading.Thread(target=srv.serve_forever, daemon=True).start()
with socket.create_connection(srv.server_address) as s:
    s.sendall(b"abc")
    print(s.recv(10))
srv.shutdown()

a = np.random.rand(100, 100)
print(np.allclose(a @ np.linalg.inv(a), np.eye(100), atol=1e-6), np.arange(10).sum())
print(list(ThreadPoolExecutor(4).map(square, range(5))), list(ProcessPoolExecutor(2).map(abs, [-1, -2])))
