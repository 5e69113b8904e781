// SPDX-License-Identifier: Apache-2.0
// A child process: answers messages of its parent over the channel that fork makes.
'use strict'
process.on('message', (m) => {
  if (m === 'end') process.exit(7)
  process.send({ got: m, argv: process.argv.slice(2) })
})
