// SPDX-License-Identifier: Apache-2.0

package build

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPythonHooks: a copy of the process, made so that Python does not hear of it, gives other numbers, but for those that the program
// seeded itself. OpenSSL's generator is the one that keeps nothing.
func TestPythonHooks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/unifaas.yaml", "base: python3.11\ncommand: python3 app.py\n", 0o644)
	write(t, dir+"/app.py", `
import ctypes, os, pickle, random, ssl, tempfile, unifaas
libc = ctypes.CDLL(None)
other, fixed, normal, names = random.Random(), random.Random(7), random.Random(), tempfile._RandomNameSequence()
taken = random.random
normal.gauss(0, 1), next(names), taken()
assert pickle.loads(pickle.dumps(fixed)).random() == random.Random(7).random()
def numbers():
    return [taken(), other.getrandbits(64), normal.gauss(0, 1), next(names)], fixed.random()
r, w = os.pipe()
for i in range(3):
    if libc.fork() == 0:
        os.write(w, repr(numbers()).encode() + b'\n')
        os._exit(0)
    libc.wait(None)
os.close(w)
copies = [eval(l) for l in os.fdopen(r)] + [numbers()]
assert len(copies) == 4 and len({c[1] for c in copies}) == 1, copies
for i in range(4):
    assert len({c[0][i] for c in copies}) == 4, copies
ssl.RAND_bytes(1)
crypto = ctypes.CDLL('libcrypto.so.3')
crypto.RAND_get0_public.restype = crypto.EVP_RAND_CTX_get0_rand.restype = crypto.EVP_RAND_get0_name.restype = ctypes.c_void_p
rand = ctypes.c_void_p(crypto.RAND_get0_public(None))
rand = ctypes.c_void_p(crypto.EVP_RAND_CTX_get0_rand(rand))
print(ctypes.string_at(crypto.EVP_RAND_get0_name(rand)).decode(), len(set(ssl.RAND_bytes(16) for i in range(1000))), unifaas.generation())
`, 0o644)
	trees, m, err := parted(t, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := start(t, trees, m); got != "SYSTEM-RANDOM 1000 0\n" {
		t.Errorf("says %q", got)
	}
}

// TestPythonSame: where the program seeds it, our generator is Python's.
func TestPythonSame(t *testing.T) {
	const both = `import sys
sys.path.append('/usr/lib/python3/dist-packages')
import _random as old, _unifaas_random as new
def result(f, m):
    try:
        return f(m)
    except Exception as e:
        return type(e)
class Own(int):
    def __abs__(self): return 3
class Hashed:
    def __hash__(self): return -12345
seeds = [0, 1, -1, 2**31, 2**32, 2**64 + 17, -2**70, 2**20000 + 3, True, 1.5, (1, 2), Own(-9), Hashed(), [], {}]
tries = [lambda m, s=s: m.Random(s).getstate() for s in seeds]
def many(m):
    r = m.Random(1)
    r.seed(12345)
    l = [r.random() for i in range(2000)] + [r.getrandbits(k) for k in list(range(200)) + [1000, 5000]]
    state = r.getstate()
    l.append(r.random())
    r.setstate(state)
    return l + [r.random()]
tries += [many, lambda m: m.Random(1, 2), lambda m: m.Random(x=1), lambda m: m.Random(1).seed(1, 2), lambda m: m.Random(1).seed(b=1)]
tries += [lambda m, k=k: m.Random(1).getrandbits(k) for k in [-1, 'x', 2**40, 2**70, 1.5, 0, None]]
tries += [lambda m, s=s: m.Random(1).setstate(s) for s in [[], (), (1,)*624 + (625,), (-1,)*625, (1,)*624 + (-1,), (2**64,)*625, (2**40,)*624 + (1,)]]
for i, f in enumerate(tries):
    a, b = result(f, old), result(f, new)
    assert a == b, (i, a, b)
print(len(tries))
`
	dir := t.TempDir()
	write(t, dir+"/unifaas.yaml", "base: python3.11\ncommand: [python3, -S, app.py]\n", 0o644)
	write(t, dir+"/app.py", both, 0o644)
	trees, m, err := parted(t, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := start(t, trees, m); got != "34\n" {
		t.Errorf("says %q", got)
	}
}

// TestNodeHooks: after what a copy of the process sees, nothing comes from what it kept.
func TestNodeHooks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/unifaas.yaml", "base: node20\ncommand: node app.js\nenv: {NODE_OPTIONS: --stack-trace-limit=3}\n", 0o644)
	write(t, dir+"/app.mjs", `
import assert from 'node:assert';
import { randomUUID, randomInt } from 'node:crypto';
const { alive } = globalThis[Symbol.for('unifaas.restore')];
const taken = randomUUID;
randomUUID();
alive.fill(0);
assert.equal(taken.name, 'randomUUID');
assert.match(taken(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
assert(alive[1] !== 0); // it looked
export const imported = randomInt;
`, 0o644)
	write(t, dir+"/app.js", `
const assert = require('assert');
const { Worker, isMainThread, parentPort } = require('worker_threads');
const unifaas = require('unifaas');
unifaas.afterRestore(() => assert.fail('restored?'));
unifaas.ready();
assert.equal(unifaas.generation(), 0n);
const { alive } = globalThis[Symbol.for('unifaas.restore')];
assert.equal(Error.stackTraceLimit, 3);
const random = Math.random;
function check() {
  // A wiped page: new seed. The same word kept: the old sequence goes on.
  alive.fill(0);
  const x = [random(), random()];
  assert(x[0] !== x[1] && alive[0] === 1);
  alive.fill(0);
  assert.notDeepEqual([random(), random()], x);
  let sum = 0, low = 1, high = 0;
  for (let i = 0; i < 1e5; i++) {
    const r = Math.random();
    sum += r; low = Math.min(low, r); high = Math.max(high, r);
    if (!(r >= 0 && r < 1)) assert.fail(r);
  }
  assert(Math.abs(sum / 1e5 - 0.5) < 0.01 && low < 0.001 && high > 0.999, [sum, low, high]);
  assert.equal(random.name, 'random');
  assert.equal(random.length, 0);
  assert.throws(() => new random(), TypeError);
  assert.deepEqual(Object.getOwnPropertyDescriptor(Math, 'random'), { value: random, writable: true, enumerable: false, configurable: true });

  const crypto = require('crypto');
  const { randomUUID, randomInt } = crypto;
  const form = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  for (const copied of [false, true]) {
    if (copied) alive.fill(0);
    const ids = new Set();
    for (let i = 0; i < 300; i++) {
      for (const id of [randomUUID(), randomUUID({}), crypto.webcrypto.randomUUID(), globalThis.crypto.randomUUID()]) {
        assert.match(id, form);
        ids.add(id);
      }
    }
    assert.equal(ids.size, 1200);
    assert.throws(() => randomUUID(1), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(() => crypto.webcrypto.randomUUID.call({}), { code: 'ERR_INVALID_THIS' });
    const seen = new Set();
    for (let i = 0; i < 500; i++) seen.add(randomInt(3)).add(randomInt(-2, 4));
    assert.deepEqual([...seen].sort((a, b) => a - b), [-2, -1, 0, 1, 2, 3]);
    for (const bad of [[], ['x'], [1.5], [0], [3, 3], [0, 2 ** 48], [2 ** 60], [1, 2, 3], [5, null]]) {
      assert.throws(() => randomInt(...bad), (e) => /^ERR_/.test(e.code), bad);
    }
    for (const args of [[10], [5, 10]]) {
      randomInt(...args, (err, n) => {
        assert(err === undefined && n >= 0 && n < 10);
        if (!isMainThread) parentPort.postMessage('int');
      });
    }
    assert(randomInt(2 ** 47, 2 ** 47 + 2 ** 48 - 1) >= 2 ** 47);
  }
}
check();
if (isMainThread) {
  let ints = 0;
  new Worker(__filename).on('message', () => ints++).on('exit', async (code) => {
    const { imported } = await import('./app.mjs');
    assert(imported(5) < 5);
    console.log(code, ints);
  });
}
`, 0o644)
	trees, m, err := parted(t, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := start(t, trees, m); got != "0 4\n" {
		t.Errorf("says %q", got)
	}
	// A program that is a module.
	if err := os.Remove(filepath.Join(dir, "app.js")); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/unifaas.yaml", "base: node20\ncommand: node app.mjs\n", 0o644)
	if trees, m, err = parted(t, dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if got := start(t, trees, m); got != "" {
		t.Errorf("says %q", got)
	}
}

// TestNodeWarm: what HTTP needs is compiled once a server listens; the program's own server hears nothing of it, and its end is the end.
func TestNodeWarm(t *testing.T) {
	for env, want := range map[string]string{"": "closed 0, requests 2\n", "UNIFAAS_SNAPSHOT: off": "closed 0, requests 0\n"} {
		dir := t.TempDir()
		write(t, dir+"/unifaas.yaml", "base: node20\ncommand: node app.js\nenv: {"+env+"}\n", 0o644)
		write(t, dir+"/app.js", `
const http = require('http');
let requests = 0, mine = 0;
require('diagnostics_channel').subscribe('http.server.request.start', () => requests++);
const server = http.createServer((req, res) => { mine++; res.end(); });
server.listen(0, '127.0.0.1', () => {
  if (Object.hasOwn(http.Server.prototype, 'listen')) throw new Error('it is still there');
  server.close();
});
process.on('exit', () => console.log('closed ' + mine + ', requests ' + requests));
`, 0o644)
		trees, m, err := parted(t, dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := start(t, trees, m); got != want {
			t.Errorf("%q: says %q", env, got)
		}
	}
}
