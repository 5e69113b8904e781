// SPDX-License-Identifier: Apache-2.0

package unikernel

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/snapshot"
)

// boot is what the library OS is told about the program.
func boot(c *node.TenderConfig) monitor.Boot {
	var flags uint32
	if c.Spawn {
		flags |= abi.BootSpawn
	}
	if c.ReadOnlyRoot {
		flags |= abi.BootReadOnly
	}
	if c.Snapshot.Manual {
		flags |= abi.BootSnapManual
	}
	return monitor.Boot{
		Program: c.Manifest.Program, Args: c.Manifest.Args, Env: c.Env, Cwd: c.Manifest.Cwd, UID: c.Manifest.UID, GID: c.Manifest.GID,
		MaxFiles: maxFiles, OverlayMax: uint64(c.Memory) / 2, Flags: flags,
	}
}

// Key is what a snapshot of such an instance has to fit, but for what only tenders know: Features. false: a layer has no identity.
func (r *Runtime) Key(c node.TenderConfig) (snapshot.Key, bool) {
	k := snapshot.Key{Libos: r.libosSum(), ABI: abi.Version, Memory: c.Memory, Program: program(boot(&c))}
	for _, l := range c.Layers {
		var d [32]byte
		b, err := hex.DecodeString(strings.TrimPrefix(l.Digest, "sha256:"))
		if err != nil || len(b) != len(d) {
			return snapshot.Key{}, false
		}
		copy(d[:], b)
		k.Layers = append(k.Layers, d)
	}
	return k, true
}

func (r *Runtime) libosSum() [32]byte {
	r.sumOnce.Do(func() { r.sum = sha256.Sum256(r.Libos) })
	return r.sum
}

// program is a hash of the boot block. Each text goes in with its length.
func program(b monitor.Boot) (sum [32]byte) {
	h := sha256.New()
	number := func(n uint64) { h.Write(binary.LittleEndian.AppendUint64(nil, n)) }
	text := func(s string) {
		number(uint64(len(s)))
		h.Write([]byte(s))
	}
	list := func(l []string) {
		number(uint64(len(l)))
		for _, s := range l {
			text(s)
		}
	}
	text(b.Program)
	list(b.Args)
	list(b.Env)
	text(b.Cwd)
	for _, n := range []uint64{uint64(b.UID), uint64(b.GID), uint64(b.MaxFiles), b.OverlayMax, uint64(b.Flags)} {
		number(n)
	}
	h.Sum(sum[:0])
	return sum
}
