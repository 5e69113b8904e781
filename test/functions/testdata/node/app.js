// SPDX-License-Identifier: Apache-2.0
// Serves GET /CHECK: what the check of that name says, or its stack with status 500.
'use strict'
const http = require('node:http')
const checks = require('./checks')

http.createServer(async (req, res) => {
  const [path, query] = req.url.split('?')
  const lines = []
  let status = 200
  try {
    await checks[path.slice(1)]((name, value) => lines.push(`${name}: ${JSON.stringify(value)}\n`), decodeURIComponent(query || ''))
  } catch (e) {
    status = 500
    lines.push(e.stack + '\n')
  }
  res.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' })
  res.end(lines.join(''))
}).listen(Number(process.env.PORT))
