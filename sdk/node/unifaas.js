// SPDX-License-Identifier: Apache-2.0
//
// What a function can know and say about snapshots of itself.
//
//     const unifaas = require('unifaas');
//     unifaas.afterRestore((generation) => { ... });  // what must not be the same in two instances
//     unifaas.ready();                                // with UNIFAAS_SNAPSHOT=manual: the snapshot may be taken now
//
// Outside of UniFaaS all of this does nothing. Node's own generators (Math.random, crypto) need no help on the base node20.
//
// Hooks run before a new connection is handled, and in generation() and check(): a program that does something else first
// after a restore, in a timer, calls check() there.
'use strict';
const fs = require('fs');

const hooks = [];
let fd; // of the device; -1 outside of UniFaaS
let last = 0n; // the generation that hooks have seen
let running = false;
let hooked = false;

// Of the base's preload: a page that is wiped in each copy, and a way to ask for the generation.
const restore = globalThis[Symbol.for('unifaas.restore')];

function device() {
  if (fd !== undefined) return fd;
  fd = -1;
  try {
    const f = fs.openSync('/dev/snapshot', fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
    // A device and no file: what is read blocks, or is a number.
    if (fs.fstatSync(f).isCharacterDevice()) fd = f;
    else fs.closeSync(f);
  } catch {
    // not there
  }
  if (fd >= 0 && restore) last = restore.generation(fd) ?? 0n;
  return fd;
}

/** Says that the program is initialised. With UNIFAAS_SNAPSHOT=manual the snapshot is taken when it next waits for a request. */
function ready() {
  if (device() >= 0) fs.writeSync(fd, 'ready\n');
}

// Whether the instance was restored since it was asked last.
function restored() {
  if (restore) {
    if (restore.alive[restore.first] !== 0) return false;
    restore.alive[restore.first] = 1;
    const now = restore.generation(fd) ?? last;
    if (now === last) return false; // the page's first use, no copy
    last = now;
    return true;
  }
  const b = Buffer.alloc(64);
  try {
    last = BigInt(b.toString('latin1', 0, fs.readSync(fd, b, 0, b.length, null)).trim());
    return true;
  } catch (e) {
    if (e.code === 'EAGAIN') return false;
    throw e;
  }
}

/** Runs the hooks if the instance was restored and they did not run yet. */
function check() {
  if (running || device() < 0) return;
  if (!restored()) return;
  running = true;
  for (const hook of [...hooks]) {
    try {
      hook(last);
    } catch (e) {
      process.nextTick(() => {
        throw e; // an uncaught exception, but the other hooks run
      });
    }
  }
  running = false;
}

/** A number that tells this restore from all others, of all instances; 0n in one that booted. Runs hooks that are due. */
function generation() {
  check();
  return device() < 0 ? 0n : last;
}

/** Has hook(generation) called after each restore. */
function afterRestore(hook) {
  if (typeof hook !== 'function') throw new TypeError('afterRestore wants a function');
  if (device() >= 0 && !hooked) {
    hooked = true;
    restored();
    const { Server } = require('net');
    const { emit } = Server.prototype;
    Server.prototype.emit = function (event, ...args) {
      if (event === 'connection') check();
      return emit.call(this, event, ...args);
    };
  }
  hooks.push(hook);
  return hook;
}

module.exports = { ready, generation, afterRestore, check };
