// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
)

// bootBlock is struct ufs_boot with its strings.
func bootBlock(c *monitor.Config) ([]byte, error) {
	b := &c.Boot
	var strs []byte
	base := uint32(abi.BootBlockSize)
	put := func(what string, list ...string) (uint32, error) {
		at := base + uint32(len(strs))
		for _, s := range list {
			if strings.IndexByte(s, 0) >= 0 {
				return 0, fmt.Errorf("%s %q: has a NUL byte", what, s)
			}
			if len(strs)+len(s)+1 > abi.BootSize-int(abi.BootBlockSize) {
				return 0, fmt.Errorf("arguments and environment: more than %d KiB", abi.BootSize>>10)
			}
			strs = append(append(strs, s...), 0)
		}
		return at, nil
	}
	h := abi.Boot{
		Magic:      abi.Magic,
		Version:    abi.Version,
		Flags:      b.Flags,
		RAMSize:    uint64(c.Memory),
		Argc:       uint32(len(b.Args)),
		Envc:       uint32(len(b.Env)),
		UID:        b.UID,
		GID:        b.GID,
		MaxFiles:   b.MaxFiles,
		OverlayMax: b.OverlayMax,
	}
	var at int64
	for i, l := range c.Layers {
		h.Layer[i] = abi.Layer{Offset: uint64(at), Size: uint64(l.Size)}
		h.ImageSize = uint64(at + l.Size)
		at += layerEnd(l.Size)
	}
	h.Layers = uint32(len(c.Layers))
	for _, s := range []struct {
		what string
		at   *uint32
		list []string
	}{
		{"argument", &h.Argv, b.Args},
		{"environment variable", &h.Envp, b.Env},
		{"program", &h.Program, []string{b.Program}},
		{"working directory", &h.Cwd, []string{b.Cwd}},
		{"host name", &h.Hostname, []string{b.Hostname}},
	} {
		at, err := put(s.what, s.list...)
		if err != nil {
			return nil, err
		}
		*s.at = at
	}
	for len(b.Trace) > 0 && len(strs)%4 != 0 {
		strs = append(strs, 0)
	}
	h.Trace, h.TraceCalls = base+uint32(len(strs)), uint32(len(b.Trace))
	for _, v := range b.Trace {
		strs = binary.LittleEndian.AppendUint32(strs, v)
	}
	if len(strs) > abi.BootSize-int(abi.BootBlockSize) {
		return nil, fmt.Errorf("arguments and environment: more than %d KiB", abi.BootSize>>10)
	}
	h.Size = base + uint32(len(strs))
	block, err := binary.Append(nil, binary.LittleEndian, &h)
	if err != nil {
		return nil, err
	}
	return append(block, strs...), nil
}

// writeBoot fills the boot block and the random seed of a fresh shared area.
func writeBoot(shared *guestmem.Area, c *monitor.Config) error {
	block, err := bootBlock(c)
	if err != nil {
		return err
	}
	if err := shared.WriteAt(block, abi.BootOff); err != nil {
		return err
	}
	var seed [len(abi.Ctl{}.Seed)]byte
	rand.Read(seed[:])
	if err := shared.WriteAt(seed[:], abi.CtlSeed); err != nil {
		return err
	}
	shared.Store64(abi.CtlSeedSeq, 1)
	shared.Store64(abi.CtlNextTimer, ^uint64(0))
	return nil
}
