// SPDX-License-Identifier: Apache-2.0

package monitortest

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
)

// memory: all of RAM is there, what lies behind it is not.
func (s *suite) memory(t *testing.T) {
	b := s.start(t, doTouch, testMemory>>20)
	before := b.MemoryUsed()
	b.expect(monitor.ExitDone, 0)
	if used := b.MemoryUsed(); used != testMemory || before <= 0 || before > 8<<20 {
		t.Errorf("memory used: %d, then %d", before, used)
	}
	b = s.start(t, doTouch, testMemory>>20+1)
	e := b.run()
	if s.o.NoTraps {
		return
	}
	if f := b.frame(); e.Kind != monitor.ExitDone || e.Value != vector(14) || f.CR2 != abi.PhysVA+testMemory {
		t.Errorf("behind RAM: %+v, %+v", e, f)
	}
}

// holes: guest physical addresses without memory, reached through page tables that the guest itself made, end it.
func (s *suite) holes(t *testing.T) {
	for n := range uint32(4) {
		c := s.config(doHole, n)
		c.Layers = []monitor.Layer{layer(t, []byte("image"))}
		e := s.create(t, c).run()
		if e.Kind != monitor.ExitFault || !strings.Contains(e.Report, "rip") {
			t.Errorf("access %d: %+v", n, e)
		}
	}
}

func layer(t *testing.T, content []byte) monitor.Layer {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return monitor.Layer{File: f, Size: int64(len(content))}
}

// image: the guest reads the file, from its first byte to its last; and layers, from the first of the lowest to the last of the highest.
func (s *suite) image(t *testing.T) {
	for _, sizes := range [][]int{{8192}, {5000}, {2 << 20}, {5<<20 + 123}, {4096, 3 << 20, 5000}, {2 << 20, 4096}} {
		c := s.config(doImage, 0)
		r := rand.NewChaCha8([32]byte{byte(sizes[0])})
		var content []byte
		size := 0
		for _, n := range sizes {
			p := make([]byte, n)
			r.Read(p)
			c.Layers = append(c.Layers, layer(t, p))
			content = append(content, make([]byte, -len(content)&(2<<20-1))...)
			content = append(content, p...)
			size = len(content)
		}
		b := s.create(t, c)
		b.expect(monitor.ExitDone, 0)
		got := make([]byte, 8192)
		if err := b.Shared().ReadAt(got, noteData); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[:4096], content[:4096]) || !bytes.Equal(got[4096:], content[size-4096:]) {
			t.Errorf("image of %d bytes: the guest saw something else", sizes)
		}
	}
}

// refused: what a monitor must not even try.
func (s *suite) refused(t *testing.T) {
	short := layer(t, []byte("short"))
	for _, c := range []struct {
		name string
		edit func(c *monitor.Config)
	}{
		{"no memory", func(c *monitor.Config) { c.Memory = 0 }},
		{"little memory", func(c *monitor.Config) { c.Memory = abi.RAMMin - 2<<20 }},
		{"much memory", func(c *monitor.Config) { c.Memory = abi.RAMMax + 2<<20 }},
		{"odd memory", func(c *monitor.Config) { c.Memory = testMemory + 4096 }},
		{"negative memory", func(c *monitor.Config) { c.Memory = -testMemory }},
		{"no library OS", func(c *monitor.Config) { c.Libos = nil }},
		{"other library OS", func(c *monitor.Config) { c.Libos = bytes.Replace(c.Libos, []byte("USFS"), []byte("XXXX"), 1) }},
		{"NUL in an argument", func(c *monitor.Config) { c.Boot.Args = []string{"a\x00b"} }},
		{"too many arguments", func(c *monitor.Config) { c.Boot.Args = []string{strings.Repeat("x", abi.BootSize)} }},
		{"image too short", func(c *monitor.Config) { c.Layers = []monitor.Layer{{File: short.File, Size: short.Size + 1}} }},
		{"image of no size", func(c *monitor.Config) { c.Layers = []monitor.Layer{{File: short.File}} }},
		{"image without a file", func(c *monitor.Config) { c.Layers = []monitor.Layer{{Size: 1}} }},
		{"image too large", func(c *monitor.Config) { c.Layers = []monitor.Layer{{File: short.File, Size: abi.ImageMax + 1}} }},
		{"layers too large", func(c *monitor.Config) { c.Layers = []monitor.Layer{short, {File: short.File, Size: abi.ImageMax}} }},
		{"too many layers", func(c *monitor.Config) { c.Layers = slices.Repeat([]monitor.Layer{short}, abi.LayersMax+1) }},
	} {
		conf := s.config(doExit, 0)
		c.edit(&conf)
		sb, err := s.m.Create(conf)
		if err == nil {
			sb.Close()
			t.Errorf("%s: was taken", c.name)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error of several lines: %q", c.name, err)
		}
	}
}
