// SPDX-License-Identifier: Apache-2.0
// Programs of Node.js's own modules, small enough to be compared line by line with a run on the machine itself.
'use strict'
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { once } = require('node:events')

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const scratch = () => fs.mkdtempSync(path.join(os.tmpdir(), 'node-'))
const code = async (f) => { try { return await f() } catch (e) { return e.code || e.message } }

exports.fs = async (say) => {
  const d = scratch()
  const file = path.join(d, 'file')
  fs.writeFileSync(file, 'first\n')
  await fs.promises.appendFile(file, 'second\n')
  say('read', fs.readFileSync(file, 'utf8'))
  const st = await fs.promises.stat(file)
  say('stat', [st.size, st.isFile(), (st.mode & 0o777).toString(8), st.nlink])
  fs.mkdirSync(path.join(d, 'a/b/c'), { recursive: true })
  for (let i = 0; i < 200; i++) fs.writeFileSync(path.join(d, 'a/b', 'n' + i), String(i))
  say('list', fs.readdirSync(path.join(d, 'a/b')).length)
  say('recursive', fs.readdirSync(d, { recursive: true }).sort().slice(0, 5))
  await fs.promises.rename(file, file + '.new')
  await fs.promises.symlink('file.new', path.join(d, 'link'))
  say('link', fs.readlinkSync(path.join(d, 'link')))
  await fs.promises.cp(path.join(d, 'a'), path.join(d, 'copy'), { recursive: true })
  say('copied', fs.readdirSync(path.join(d, 'copy/b')).length)
  const h = await fs.promises.open(file + '.new', 'r+')
  await h.truncate(3)
  const { bytesRead } = await h.read(Buffer.alloc(10), 0, 10, 0)
  await h.close()
  say('handle', bytesRead)
  say('missing', await code(() => fs.promises.readFile(path.join(d, 'nothing'))))
  say('not empty', await code(() => fs.promises.rmdir(path.join(d, 'a'))))
  // All four threads of the pool at once.
  say('at once', (await Promise.all([...Array(40).keys()].map((i) => fs.promises.readFile(path.join(d, 'a/b/n' + i), 'utf8')))).join(' '))
  const seen = new Promise((resolve) => { const w = fs.watch(d, (_, name) => { if (name === 'watched') { w.close(); resolve(name) } }) })
  fs.writeFileSync(path.join(d, 'watched'), 'x')
  say('watched', await seen)
  fs.rmSync(d, { recursive: true })
  say('gone', fs.existsSync(d))
}

exports.http = async (say, url) => {
  const http = require('node:http')
  const server = http.createServer((req, res) => {
    let n = 0
    req.on('data', (d) => { n += d.length })
    req.on('end', () => { res.setHeader('X-Method', req.method); res.end(`${req.method} ${req.url} ${n}`) })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const own = `http://127.0.0.1:${server.address().port}`
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
  const get = (u, options = {}, body) => new Promise((resolve, reject) => {
    const req = http.request(u, { agent, ...options }, (res) => {
      const parts = []
      res.on('data', (d) => parts.push(d))
      res.on('end', () => resolve([res.statusCode, Buffer.concat(parts).toString()]))
    })
    req.on('error', reject)
    req.end(body)
  })
  say('get', await get(own + '/a?b=c'))
  say('post', await get(own + '/p', { method: 'POST' }, 'x'.repeat(500000)))
  say('many', (await Promise.all([...Array(30).keys()].map((i) => get(own + '/' + i)))).map((r) => r[1]).join(','))
  say('fetch', await (await fetch(own + '/fetch', { method: 'PUT', body: 'body' })).text())
  agent.destroy()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  // Where the function may reach a port of the machine's loopback, the others there are forbidden rather than closed.
  say('refused', ['ECONNREFUSED', 'EACCES'].includes(await code(() => get(own + '/', { agent: undefined }))))
  if (url) {
    say('function', await get(url))
    say('function post', await get(url, { method: 'POST' }, 'x'.repeat(300000)))
  }
}

exports.tls = async (say) => {
  const https = require('node:https')
  const cert = fs.readFileSync(path.join(__dirname, 'cert.pem'))
  const key = fs.readFileSync(path.join(__dirname, 'key.pem'))
  const server = https.createServer({ cert, key }, (req, res) => res.end('over ' + req.socket.getProtocol()))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const get = (options) => new Promise((resolve, reject) => {
    https.get({ host: '127.0.0.1', port: server.address().port, servername: 'localhost', agent: false, ...options }, (res) => {
      let text = ''
      res.on('data', (d) => { text += d })
      res.on('end', () => resolve(text))
    }).on('error', reject)
  })
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) say('get', await get({ ca: cert, maxVersion }))
  say('untrusted', await code(() => get({})))
  say('wrong name', await code(() => get({ ca: cert, servername: 'example.org' })))
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

exports.worker_threads = async (say) => {
  const { Worker } = require('node:worker_threads')
  const file = path.join(__dirname, 'worker.js')
  const workers = [1000, 2000, 3000].map((n) => {
    const w = new Worker(file, { workerData: {} })
    w.postMessage(n)
    return w
  })
  const answers = await Promise.all(workers.map(async (w) => {
    const [m] = await once(w, 'message')
    w.postMessage('end')
    return [m, (await once(w, 'exit'))[0]]
  }))
  say('primes', answers)
  const cells = new SharedArrayBuffer(8)
  const sharers = [1, 2].map(() => new Worker(file, { workerData: { cells, times: 10000 } }))
  await Promise.all(sharers.map((w) => once(w, 'exit')))
  say('shared', [...new Int32Array(cells)])
  const bad = new Worker(file, { workerData: { fail: true } })
  say('fails', (await once(bad, 'error'))[0].message)
  const endless = new Worker('for (;;) {}', { eval: true })
  await once(endless, 'online')
  say('terminated', await endless.terminate())
}

exports.child_process = async (say) => {
  const cp = require('node:child_process')
  const { promisify } = require('node:util')
  const exec = promisify(cp.exec)
  say('exec', (await exec('echo $((6 * 7)); echo $0')).stdout)
  say('status', await code(() => exec('exit 3')))
  say('execFile', cp.execFileSync(process.execPath, ['-p', '1 + 1'], { encoding: 'utf8' }))
  const r = cp.spawnSync('/bin/sh', ['-c', 'while read x; do echo "<$x>"; done; echo oops >&2; exit 4'], { input: 'a\nb\n', encoding: 'utf8' })
  say('spawnSync', [r.status, r.stdout, r.stderr])
  const spin = cp.spawn('/bin/sh', ['-c', 'echo up; while :; do :; done'])
  await once(spin.stdout, 'data')
  spin.kill('SIGTERM')
  say('killed', await once(spin, 'exit'))
  say('missing', (await once(cp.spawn('/no/such/program'), 'error'))[0].code)
  const child = cp.fork(path.join(__dirname, 'child.js'), ['an argument'])
  child.send({ n: 1, text: 'grüße' })
  say('fork', (await once(child, 'message'))[0])
  child.send('end')
  say('fork ended', await once(child, 'exit'))
  say('environment', (await exec('echo $A', { env: { A: 'b' } })).stdout)
  const big = cp.spawn('/bin/sh', ['-c', 'i=0; while [ $i -lt 2000 ]; do echo 0123456789012345678901234567890123456789; i=$((i + 1)); done'])
  let n = 0
  big.stdout.on('data', (d) => { n += d.length })
  await once(big, 'close')
  say('much output', n)
}

exports.crypto = async (say) => {
  const crypto = require('node:crypto')
  const text = 'the quick brown fox '.repeat(5000)
  for (const a of ['md5', 'sha1', 'sha256', 'sha512', 'sha3-256', 'blake2b512']) say(a, crypto.createHash(a).update(text).digest('hex').slice(0, 32))
  say('hmac', crypto.createHmac('sha256', 'key').update(text).digest('base64'))
  const key = crypto.scryptSync('password', 'salt', 32)
  const iv = Buffer.alloc(12, 7)
  const c = crypto.createCipheriv('aes-256-gcm', key, iv)
  const sealed = Buffer.concat([c.update(text), c.final()])
  const d = crypto.createDecipheriv('aes-256-gcm', key, iv)
  d.setAuthTag(c.getAuthTag())
  say('gcm', [sealed.length, crypto.createHash('sha256').update(sealed).digest('hex'), Buffer.concat([d.update(sealed), d.final()]).toString() === text])
  say('pbkdf2', await new Promise((resolve, reject) => crypto.pbkdf2('p', 's', 1000, 24, 'sha512', (e, k) => e ? reject(e) : resolve(k.toString('hex')))))
  const pair = crypto.generateKeyPairSync('ed25519')
  const signature = crypto.sign(null, Buffer.from(text), pair.privateKey)
  say('ed25519', [crypto.verify(null, Buffer.from(text), pair.publicKey, signature), crypto.verify(null, Buffer.from('x'), pair.publicKey, signature)])
  const ec = crypto.createECDH('prime256v1')
  const other = crypto.createECDH('prime256v1')
  ec.generateKeys()
  other.generateKeys()
  say('ecdh', ec.computeSecret(other.getPublicKey()).equals(other.computeSecret(ec.getPublicKey())))
  say('random', [crypto.randomBytes(16).length, crypto.randomUUID() !== crypto.randomUUID(), crypto.randomInt(5) < 5])
  say('subtle', Buffer.from(await crypto.webcrypto.subtle.digest('SHA-256', Buffer.from(text))).toString('hex'))
}

exports.zlib = async (say) => {
  const zlib = require('node:zlib')
  const { promisify } = require('node:util')
  const text = Buffer.from([...Array(20000).keys()].map((n) => `${n} squared is ${n * n}\n`).join(''))
  for (const [name, pack, unpack] of [['gzip', zlib.gzip, zlib.gunzip], ['deflate', zlib.deflate, zlib.inflate], ['raw', zlib.deflateRaw, zlib.inflateRaw]]) {
    const packed = await promisify(pack)(text)
    say(name, [packed.length, (await promisify(unpack)(packed)).equals(text)])
  }
  const packed = zlib.brotliCompressSync(text, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } })
  say('brotli', [packed.length, zlib.brotliDecompressSync(packed).equals(text)])
  say('error', await code(() => promisify(zlib.gunzip)('no gzip')))
}

exports.streams = async (say) => {
  const { Readable, Transform } = require('node:stream')
  const { pipeline } = require('node:stream/promises')
  const zlib = require('node:zlib')
  const crypto = require('node:crypto')
  const d = scratch()
  const from = path.join(d, 'from')
  const to = path.join(d, 'to')
  await pipeline(Readable.from((function * () { for (let i = 0; i < 20000; i++) yield `line ${i}\n` })()), fs.createWriteStream(from))
  say('written', fs.statSync(from).size)
  const upper = new Transform({ transform (chunk, _, done) { done(null, chunk.toString().toUpperCase()) } })
  await pipeline(fs.createReadStream(from), upper, zlib.createGzip(), fs.createWriteStream(to))
  const hash = crypto.createHash('sha256')
  await pipeline(fs.createReadStream(to), zlib.createGunzip(), hash)
  say('through gzip', hash.digest('hex'))
  const lines = require('node:readline').createInterface({ input: fs.createReadStream(from) })
  let n = 0
  for await (const line of lines) n += line.length
  say('lines', n)
  say('failed', await code(() => pipeline(fs.createReadStream(path.join(d, 'nothing')), fs.createWriteStream(to))))
  const web = new Blob(['a', 'bc']).stream().getReader()
  say('web', Buffer.from((await web.read()).value).toString())
  fs.rmSync(d, { recursive: true })
}

exports.net = async (say) => {
  const net = require('node:net')
  const dgram = require('node:dgram')
  for (const where of [0, path.join(scratch(), 'socket')]) {
    const server = net.createServer({ allowHalfOpen: true }, (s) => s.pipe(s))
    await new Promise((resolve) => where ? server.listen(where, resolve) : server.listen(0, '127.0.0.1', resolve))
    const s = net.connect(where ? { path: where } : { host: '127.0.0.1', port: server.address().port })
    const big = Buffer.alloc(1 << 20, 'x')
    s.end(big)
    let n = 0
    for await (const d of s) n += d.length
    say(where ? 'unix' : 'tcp', n)
    await new Promise((resolve) => server.close(resolve))
  }
  const a = dgram.createSocket('udp4')
  await new Promise((resolve) => a.bind(0, '127.0.0.1', resolve))
  const b = dgram.createSocket('udp4')
  b.send('datagram', a.address().port, '127.0.0.1')
  say('udp', (await once(a, 'message'))[0].toString())
  a.close()
  b.close()
  say('lookup', await new Promise((resolve) => require('node:dns').lookup('localhost', 4, (e, address) => resolve(e ? e.code : address))))
}

exports.runtime = async (say) => {
  const order = []
  setTimeout(() => order.push('timeout'), 0)
  setImmediate(() => order.push('immediate'))
  process.nextTick(() => order.push('tick'))
  await Promise.resolve().then(() => order.push('promise'))
  while (order.length < 4) await sleep(1)
  say('order', [order.slice(0, 2), order.slice(2).sort()])
  say('intl', new Date(Date.UTC(2024, 6, 1)).toLocaleDateString('de-DE', { timeZone: 'Europe/Paris', dateStyle: 'full' }))
  say('wasm', (await WebAssembly.instantiate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11]))).instance.exports.add(40, 2))
  // Enough work for the optimizing compiler, and garbage enough for its collector.
  let sum = 0
  for (let i = 0; i < 2e6; i++) sum = (sum + i * 7) % 1000003
  const keep = []
  for (let i = 0; i < 200000; i++) { const o = { i, s: 'x' + i }; if (i % 100 === 0) keep.push(o) }
  say('work', [sum, keep.length, keep[1999].s])
  say('import', (await import('node:url')).pathToFileURL('/a b').href)
  say('versions', [process.version, process.arch, process.platform, os.EOL])
  say('structured', structuredClone(new Map([[1, new Set([2])]])).get(1).has(2))
}
