// SPDX-License-Identifier: Apache-2.0
//
// node.js: loaded before the program (NODE_OPTIONS) in images with the base node20. Whatever JavaScript keeps of random numbers
// is dropped when the process turns out to be a copy: another instance of the same snapshot. OpenSSL keeps none (openssl.cnf).
//
// How it notices: a page that the kernel wipes in each copy. Each who keeps something has a word of it, 0 after a copy. That is
// one load, in the call that asks for the number: nothing can come before it.
'use strict';
{
  const own = { exports: {} };
  process.dlopen(own, '/usr/lib/unifaas/node.node');
  const { page, fill, generation } = own.exports;
  const alive = page();
  if (alive) install(alive, fill, generation);
}

function install(alive, fill, generation) {
  const MATH = 0, CRYPTO = 1; // words of the page; from 8 on for the sdk
  alive[CRYPTO] = 1;

  // V8's own Math.random cannot be given new seed. This is xoshiro128++.
  const seed = new Uint32Array(4);
  let a = 0, b = 0, c = 0, d = 0;
  function reseed() {
    if (!fill(seed)) throw new Error('the system has no random numbers');
    [a, b, c, d] = seed;
    seed.fill(0);
    a |= 1; // never all zeros
    alive[MATH] = 1;
  }
  function next() {
    let t = (a + d) | 0;
    const r = (((t << 7) | (t >>> 25)) + a) >>> 0;
    t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
    return r;
  }
  // A method, like what it stands for: not a constructor.
  const { random } = {
    random() {
      if (alive[MATH] === 0) reseed();
      return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
    },
  };
  Object.defineProperty(Math, 'random', { value: random, writable: true, enumerable: false, configurable: true });

  // Of OpenSSL's bytes, crypto.randomUUID and crypto.randomInt keep a stock, which is of no use in a copy: there they go without.
  let copied = false;
  const isCopy = () => {
    if (alive[CRYPTO] === 0) {
      copied = true;
      alive[CRYPTO] = 1;
    }
    return copied;
  };
  const define = (o, name, value) => {
    Object.defineProperty(value, 'name', { value: name });
    Object.defineProperty(o, name, { ...Object.getOwnPropertyDescriptor(o, name), value });
  };
  let patched = false;
  function patchCrypto(crypto) {
    if (patched) return;
    patched = true;
    const { randomUUID, randomInt, randomFillSync } = crypto;
    const fresh = { __proto__: null, disableEntropyCache: true };
    define(crypto, 'randomUUID', function (options) {
      if (!isCopy()) return randomUUID(options);
      return options === undefined ? randomUUID(fresh) : randomUUID(typeof options === 'object' && options ? { ...options, ...fresh } : options);
    });
    define(crypto, 'randomInt', function (min, max, callback) {
      if (!isCopy()) return randomInt(min, max, callback);
      if (max === undefined || typeof max === 'function') [min, max, callback] = [0, min, max];
      if (callback !== undefined && typeof callback !== 'function') return randomInt(min, max, callback); // which says what is wrong
      randomInt(min, max); // or which of the numbers is
      const range = max - min, limit = 2 ** 48 - (2 ** 48 % range), bytes = Buffer.alloc(6);
      let n;
      do n = randomFillSync(bytes).readUIntBE(0, 6);
      while (n >= limit);
      n = (n % range) + min;
      if (callback === undefined) return n;
      process.nextTick(callback, undefined, n);
    });
    require('module').syncBuiltinESMExports();
  }
  let webPatched = false;
  function patchWeb(web) {
    if (webPatched) return;
    webPatched = true;
    const proto = Object.getPrototypeOf(web);
    const { randomUUID } = proto;
    define(proto, 'randomUUID', function (...args) {
      const id = randomUUID.apply(this, args); // which checks this
      return isCopy() ? require('crypto').randomUUID() : id;
    });
  }
  const web = Object.getOwnPropertyDescriptor(globalThis, 'crypto');
  if (web?.get && web.configurable) {
    Object.defineProperty(globalThis, 'crypto', {
      ...web,
      get() {
        const c = Reflect.apply(web.get, globalThis, []);
        patchWeb(c);
        return c;
      },
    });
  }

  // crypto takes milliseconds to load: it is patched when the program loads it.
  const Module = require('module');
  const load = Module._load;
  Module._load = function (request) {
    const m = Reflect.apply(load, this, arguments);
    if (request === 'crypto' || request === 'node:crypto') {
      patchCrypto(m);
      patchWeb(m.webcrypto);
    } else if (request === 'http' || request === 'node:http') {
      warmWith(m);
    }
    return m;
  };
  // import does not come by there. A program that is a module gets it at once.
  if (isModule(process.argv[1])) require('crypto');

  Object.defineProperty(globalThis, Symbol.for('unifaas.restore'), { value: { alive, first: 8, generation } });
}

// V8 compiles a function when it is called first, and Node's own for HTTP are many: the first request takes ten times as long as the second. So
// that each copy of the snapshot need not do it again, it is done before: once the program's server listens, another one, which
// nobody else can reach, is asked twice.
let warmed = process.env.UNIFAAS_SNAPSHOT === 'off';
function warmWith(http) {
  if (warmed || !require('worker_threads').isMainThread) return;
  warmed = true;
  const proto = http.Server.prototype;
  const inherited = proto.listen;
  let done = false;
  const listen = function (...args) {
    if (proto.listen === listen) delete proto.listen; // else somebody has put something around it
    if (!done) setImmediate(warm, http, 2);
    done = true;
    return Reflect.apply(inherited, this, args);
  };
  proto.listen = listen;
}

function warm(http, rounds) {
  const path = `\0unifaas-${process.pid}`;
  const server = http.createServer((req, res) => {
    req.on('data', () => {});
    req.on('end', () => {
      res.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': 3 });
      res.end('ok\n');
    });
  });
  server.on('error', () => server.close());
  server.listen(path, () => {
    const ask = () => {
      if (rounds-- === 0) {
        server.close();
        return;
      }
      const c = require('net').connect(path);
      c.on('error', () => {});
      c.on('data', () => c.end());
      c.on('close', ask);
      c.write('POST / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: -\r\nAccept-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}');
    };
    ask();
  });
}

function isModule(main) {
  if (!main) return false;
  const fs = require('fs'), path = require('path');
  try {
    if (main === '-') return false;
    let at = fs.realpathSync(path.resolve(main));
    if (at.endsWith('.mjs')) return true;
    if (!at.endsWith('.js')) return false;
    for (let dir = path.dirname(at); ; dir = path.dirname(dir)) {
      try {
        return JSON.parse(fs.readFileSync(path.join(dir, 'package.json'), 'utf8')).type === 'module';
      } catch (e) {
        if (e.code !== 'ENOENT') return false;
      }
      if (dir === path.dirname(dir)) return false;
    }
  } catch {
    return false; // Node says what is wrong with it
  }
}
