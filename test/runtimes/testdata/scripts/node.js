// SPDX-License-Identifier: Apache-2.0
// node: files, processes, threads, crypto, HTTP, WebAssembly, a large heap.
const fs = require('fs'), http = require('http'), net = require('net'), cp = require('child_process'), crypto = require('crypto')
const zlib = require('zlib'), dns = require('dns'), os = require('os'), path = require('path'), stream = require('stream')
const { Worker } = require('worker_threads')
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'n')), once = f => new Promise(f)

async function main() {
	fs.writeFileSync(dir + '/x', 'hello')
	console.log(fs.readFileSync(dir + '/x', 'utf8'), (await fs.promises.stat(dir + '/x')).size, fs.existsSync(dir + '/nope'))
	console.log(cp.execSync('echo sub').toString().trim(), cp.spawnSync('sh', ['-c', 'exit 4']).status)
	console.log(await once(r => new Worker('require("worker_threads").parentPort.postMessage(6*7)', { eval: true }).on('message', r)))
	console.log(crypto.createHash('sha256').update('a').digest('hex').slice(0, 8), zlib.gunzipSync(zlib.gzipSync('zz')).toString())
	console.log(await once(r => zlib.deflate(Buffer.alloc(1e6), (e, b) => r(b.length))), await once(r => crypto.pbkdf2('a', 'b', 1000, 32, 'sha256', (e, k) => r(k.toString('hex')))))
	const s = http.createServer((q, p) => p.end('ok ' + q.url))
	await once(r => s.listen(0, '127.0.0.1', r))
	console.log(await once(r => http.get({ port: s.address().port, host: '127.0.0.1', path: '/a', agent: false }, p => p.on('data', c => r(c.toString())))))
	s.close()
	console.log(await once(r => dns.lookup('localhost', { family: 4 }, (e, a) => r(e ? e.code : a))))
	const wasm = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11])
	console.log((await WebAssembly.instantiate(wasm)).instance.exports.add(2, 3))
	let a = []
	for (let i = 0; i < 1e6; i++) a.push({ i })
	console.log(a.length)
	a = null
	const t = Date.now()
	await once(r => setTimeout(r, 30))
	console.log(Date.now() - t >= 29)
	let x = 0
	for (let i = 0; i < 1e7; i++) x = (x * 31 + i) | 0
	console.log(x)
	await stream.promises.pipeline(fs.createReadStream('/etc/passwd'), zlib.createGzip(), fs.createWriteStream(dir + '/p.gz'))
	console.log(zlib.gunzipSync(fs.readFileSync(dir + '/p.gz')).equals(fs.readFileSync('/etc/passwd')))
	await once(r => { process.on('SIGUSR2', r); process.kill(process.pid, 'SIGUSR2') })
	console.log(process.platform, process.memoryUsage().rss > 0, os.cpus().length > 0)
	const us = net.createServer(c => c.end('unix'))
	await once(r => us.listen(dir + '/u.sock', r))
	console.log(await once(r => net.connect(dir + '/u.sock').on('data', d => r(d.toString()))))
	us.close()
	const dg = require('dgram').createSocket('udp4')
	await once(r => dg.bind(0, '127.0.0.1', r))
	dg.send('udp', dg.address().port, '127.0.0.1')
	console.log(await once(r => dg.on('message', m => r(m.toString()))))
	dg.close()
}
main()
