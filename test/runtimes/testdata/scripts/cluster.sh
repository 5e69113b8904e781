# SPDX-License-Identifier: Apache-2.0
# node: workers that share a port; no JIT.
cd "$(mktemp -d)"
cat >cluster.js <<'P'
const cluster = require('cluster'), http = require('http')
async function ask(port) {
	for (let i = 0; i < 4; i++)
		console.log(await new Promise(r => http.get({ port, host: '127.0.0.1', agent: false }, p => p.on('data', d => r(d.toString())))))
	for (const w of Object.values(cluster.workers)) w.kill()
}
if (cluster.isPrimary) {
	let up = 0, down = 0
	for (let i = 0; i < 2; i++) cluster.fork()
	cluster.on('listening', (w, a) => ++up == 2 && ask(a.port))
	cluster.on('exit', () => ++down == 2 && console.log('done'))
} else {
	http.createServer((q, r) => r.end('hi')).listen(0, '127.0.0.1')
}
P
node cluster.js
node --jitless -e 'console.log([1, 2, 3].map(x => x * 2))'
