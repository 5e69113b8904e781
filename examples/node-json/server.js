// SPDX-License-Identifier: Apache-2.0
// POST an order, {"customer": "…", "date": "2024-02-29", "lines": [{"item": "…", "count": 2, "price": 1.5}]}: it is checked
// against a schema, added up, and gets a day of delivery.
'use strict'
const http = require('node:http')
const Ajv = require('ajv')
const dayjs = require('dayjs')
const fastJson = require('fast-json-stringify')

const check = new Ajv({ allErrors: true }).compile({
  type: 'object',
  required: ['customer', 'date', 'lines'],
  additionalProperties: false,
  properties: {
    customer: { type: 'string', minLength: 1 },
    date: { type: 'string', pattern: '^\\d{4}-\\d{2}-\\d{2}$' },
    lines: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        required: ['item', 'count', 'price'],
        properties: { item: { type: 'string' }, count: { type: 'integer', minimum: 1 }, price: { type: 'number', minimum: 0 } }
      }
    }
  }
})
const format = fastJson({
  type: 'object',
  properties: { customer: { type: 'string' }, items: { type: 'integer' }, total: { type: 'number' }, delivery: { type: 'string' } }
})

function answer (text) {
  let order
  try {
    order = JSON.parse(text)
  } catch (e) {
    return [400, JSON.stringify({ error: e.message })]
  }
  if (!check(order)) return [422, JSON.stringify({ errors: check.errors.map((e) => `${e.instancePath || '/'} ${e.message}`) })]
  const day = dayjs(order.date)
  if (!day.isValid()) return [422, JSON.stringify({ errors: ['/date is no day'] })]
  return [200, format({
    customer: order.customer,
    items: order.lines.reduce((n, l) => n + l.count, 0),
    total: Math.round(order.lines.reduce((n, l) => n + l.count * l.price, 0) * 100) / 100,
    delivery: day.add(3, 'day').format('dddd, D MMMM YYYY')
  })]
}

const server = http.createServer((req, res) => {
  const parts = []
  req.on('data', (part) => parts.push(part))
  req.on('end', () => {
    const example = '{"customer":"example","date":"2024-02-27","lines":[{"item":"pen","count":2,"price":1.25}]}'
    const [status, text] = answer(req.method === 'POST' ? Buffer.concat(parts).toString() : example)
    res.writeHead(status, { 'Content-Type': 'application/json' })
    res.end(text + '\n')
  })
})
server.keepAliveTimeout = 60000
server.listen(Number(process.env.PORT || 8080))
