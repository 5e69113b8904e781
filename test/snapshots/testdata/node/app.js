// SPDX-License-Identifier: Apache-2.0
'use strict';
const http = require('http');
const crypto = require('crypto');
const { Worker, isMainThread, parentPort } = require('worker_threads');
const { randomUUID, randomInt } = crypto;
const { random } = Math;

function numbers() {
  return {
    random: random(),
    'Math.random': Math.random(),
    uuid: randomUUID(),
    'web uuid': globalThis.crypto.randomUUID(),
    int: randomInt(2 ** 47),
    bytes: crypto.randomBytes(16).toString('hex'),
    fill: crypto.randomFillSync(Buffer.alloc(16)).toString('hex'),
    web: Buffer.from(globalThis.crypto.getRandomValues(new Uint8Array(16))).toString('hex'),
    key: crypto.generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' }).toString('hex'),
  };
}

numbers(); // whatever they keep, they keep from here on
if (isMainThread) {
  const restores = [];
  let unifaas;
  if (process.env.HOOK) {
    unifaas = require('unifaas');
    unifaas.afterRestore((g) => restores.push(g));
    if (process.env.UNIFAAS_SNAPSHOT === 'manual') unifaas.ready();
  }
  let counter = 0;
  const worker = new Worker(__filename);
  const server = http.createServer((req, res) => {
    counter++;
    worker.once('message', (other) => {
      const out = { counter, unique: numbers(), worker: other, restores: restores.length };
      if (unifaas) out.generation = String(unifaas.generation());
      const data = JSON.stringify(out);
      res.setHeader('Content-Length', data.length);
      res.end(data);
    });
    worker.postMessage('numbers');
  });
  worker.once('message', () => server.listen(process.env.PORT || 8080));
  worker.postMessage('numbers');
} else {
  parentPort.on('message', () => parentPort.postMessage(numbers()));
}
