// SPDX-License-Identifier: Apache-2.0
// Says hello over HTTP on $PORT, and echoes what is posted.
'use strict'
const http = require('node:http')

const server = http.createServer((req, res) => {
  const parts = []
  req.on('data', (part) => parts.push(part))
  req.on('end', () => {
    const answer = { message: 'Hello from Node.js', path: req.url }
    if (parts.length > 0) answer.body = Buffer.concat(parts).toString()
    const data = JSON.stringify(answer) + '\n'
    res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(data) })
    res.end(data)
  })
})
server.keepAliveTimeout = 60000
server.listen(Number(process.env.PORT || 8080))
