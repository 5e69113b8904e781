// SPDX-License-Identifier: Apache-2.0

package monitortest

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
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
		c.Image, c.ImageSize = imageFile(t, []byte("image"))
		e := s.create(t, c).run()
		if e.Kind != monitor.ExitFault || !strings.Contains(e.Report, "rip") {
			t.Errorf("access %d: %+v", n, e)
		}
	}
}

func imageFile(t *testing.T, content []byte) (*os.File, int64) {
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
	return f, int64(len(content))
}

// image: the guest reads the file, from its first byte to its last.
func (s *suite) image(t *testing.T) {
	for _, size := range []int{8192, 5000, 2 << 20, 5<<20 + 123} {
		content := make([]byte, size)
		r := rand.NewChaCha8([32]byte{byte(size)})
		r.Read(content)
		c := s.config(doImage, 0)
		c.Image, c.ImageSize = imageFile(t, content)
		b := s.create(t, c)
		b.expect(monitor.ExitDone, 0)
		got := make([]byte, 8192)
		if err := b.Shared().ReadAt(got, noteData); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[:4096], content[:4096]) || !bytes.Equal(got[4096:], content[size-4096:]) {
			t.Errorf("image of %d bytes: the guest saw something else", size)
		}
	}
}

// refused: what a monitor must not even try.
func (s *suite) refused(t *testing.T) {
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
		{"image too short", func(c *monitor.Config) { c.Image, c.ImageSize = imageFile(t, []byte("short")); c.ImageSize++ }},
		{"image of no size", func(c *monitor.Config) { c.Image, _ = imageFile(t, []byte("short")); c.ImageSize = 0 }},
		{"image too large", func(c *monitor.Config) { c.Image, _ = imageFile(t, []byte("short")); c.ImageSize = abi.ImageMax + 1 }},
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
