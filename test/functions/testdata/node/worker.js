// SPDX-License-Identifier: Apache-2.0
// A worker thread: counts primes, answers messages, works on memory that it shares with its maker.
'use strict'
const { parentPort, workerData } = require('node:worker_threads')

if (workerData.cells) {
  const cells = new Int32Array(workerData.cells)
  for (let i = 0; i < workerData.times; i++) Atomics.add(cells, 0, 1)
  Atomics.add(cells, 1, 1)
  Atomics.notify(cells, 1)
} else if (workerData.fail) {
  throw new Error('a worker that fails')
} else {
  parentPort.on('message', (m) => {
    if (m === 'end') return parentPort.close()
    let count = 0
    for (let n = 2; n < m; n++) {
      let prime = true
      for (let d = 2; d * d <= n && prime; d++) prime = n % d !== 0
      if (prime) count++
    }
    parentPort.postMessage({ below: m, primes: count })
  })
}
