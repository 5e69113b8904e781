// SPDX-License-Identifier: Apache-2.0

// Package hooks holds what bases of images have so that language runtimes do not repeat random numbers in instances of one snapshot.
// docs/after-restore.md says how; `make hooks` builds the C sources in native.
package hooks

import (
	_ "embed"

	"unifaas.dev/sdk/node"
	"unifaas.dev/sdk/python"
)

var (
	//go:embed build/openssl.so
	opensslModule []byte
	//go:embed openssl.cnf
	opensslConfig []byte
	//go:embed build/python.so
	pythonModule []byte
	//go:embed build/node.node
	nodeModule []byte
	//go:embed node.js
	nodePreload []byte
)

// File is one file of an image.
type File struct {
	Path string
	Data []byte
}

// openssl are for every program that uses the image's OpenSSL 3, or an own one that reads its configuration.
func openssl() []File {
	return []File{{"/etc/ssl/openssl.cnf", opensslConfig}, {"/usr/lib/unifaas/openssl.so", opensslModule}}
}

// The .pth file runs at each start of Python but with -S, before anything can have imported random.
const pth = "import sys, _unifaas_random; sys.modules['_random'] = _unifaas_random\n"

// Python is what Debian's Python takes by itself, and the module unifaas.
func Python() []File {
	const packages = "/usr/lib/python3/dist-packages/"
	return append(openssl(), File{packages + "unifaas-random.pth", []byte(pth)}, File{packages + "_unifaas_random.abi3.so", pythonModule},
		File{packages + "unifaas.py", python.Module()})
}

// NodeOptions is what NODE_OPTIONS has to begin with.
const NodeOptions = "--require=/usr/lib/unifaas/node.js --openssl-config=/etc/ssl/openssl.cnf"

// Node is what NodeOptions refers to, and the module unifaas.
func Node() []File {
	return append(openssl(), File{"/usr/lib/unifaas/node.js", nodePreload}, File{"/usr/lib/unifaas/node.node", nodeModule},
		File{"/usr/lib/node/unifaas.js", node.Module()})
}
