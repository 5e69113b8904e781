// SPDX-License-Identifier: Apache-2.0

package pressure

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const gib = 1 << 30

// machine is a folder that looks like a machine's root.
type machine struct {
	*testing.T
	root string
}

func (m machine) put(path, text string) {
	m.Helper()
	p := filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		m.Fatal(err)
	}
}

func (m machine) memory(total, available int64) {
	m.put("proc/meminfo", fmt.Sprintf("MemTotal: %d kB\nMemFree: 1 kB\nMemAvailable:   %d kB\nBuffers: 0 kB\n", total>>10, available>>10))
}

func TestAvailable(t *testing.T) {
	m := machine{t, t.TempDir()}
	g := New(m.root)
	if _, err := g.Read(); err == nil {
		t.Error("without /proc/meminfo it knows something")
	}
	for _, c := range []struct {
		total, available int64
		short, dire      bool
	}{
		{24 * gib, 12 * gib, false, false},
		{24 * gib, 1300 << 20, false, false},
		{24 * gib, 1200 << 20, true, false},
		{24 * gib, 600 << 20, true, true},
		{1000 * gib, 5 * gib, false, false}, // a large machine does not need a twentieth
		{gib, 200 << 20, false, false},
		{gib, 100 << 20, true, false},
		{gib, 0, true, true},
	} {
		m.memory(c.total, c.available)
		s, err := g.Read()
		if err != nil || s.Total != c.total || s.Available != c.available || s.Short() != c.short || s.Dire() != c.dire {
			t.Errorf("%d of %d MiB: %+v, short %v, dire %v, %v", c.available>>20, c.total>>20, s, s.Short(), s.Dire(), err)
		}
	}
	for _, bad := range []string{"", "MemTotal: x kB\n", "MemTotal: 1000 kB\n", "MemTotal: -5 kB\nMemAvailable: 1 kB\n"} {
		m.put("proc/meminfo", bad)
		if s, err := g.Read(); err == nil {
			t.Errorf("%q: %+v", bad, s)
		}
	}
}

func TestStalled(t *testing.T) {
	m := machine{t, t.TempDir()}
	m.memory(24*gib, 12*gib)
	g := New(m.root)
	total := int64(5_000_000)
	step := func(stalled, over time.Duration) Sample {
		total += stalled.Microseconds()
		m.put("proc/pressure/memory", fmt.Sprintf("some avg10=0.00 avg60=0.00 avg300=0.00 total=%d\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99999999\n", total))
		g.at = time.Now().Add(-over)
		s, err := g.Read()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	g.stalled = time.Duration(total) * time.Microsecond
	if s := step(time.Second, time.Hour); s.Short() {
		t.Errorf("a second in an hour: %+v", s)
	}
	if s := step(10*time.Minute, time.Hour); !s.Short() || s.Dire() {
		t.Errorf("ten minutes in an hour: %+v", s)
	}
	total = 0
	if s := step(0, time.Hour); s.Stalled != 0 {
		t.Errorf("a counter that went back: %+v", s)
	}
	m.put("proc/pressure/memory", "nonsense")
	if s, err := g.Read(); err != nil || s.Short() {
		t.Errorf("%+v, %v", s, err)
	}
	// The first sample knows of no time before it.
	if s, err := New(m.root).Read(); err != nil || s.Stalled != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestGroups(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		total int64
		avail int64
	}{
		"version 2": {map[string]string{
			"proc/self/cgroup":                      "0::/a/b\n",
			"sys/fs/cgroup/a/memory.max":            fmt.Sprint(4 * gib),
			"sys/fs/cgroup/a/memory.current":        fmt.Sprint(3 * gib),
			"sys/fs/cgroup/a/memory.stat":           fmt.Sprintf("anon 5\ninactive_file %d\n", gib),
			"sys/fs/cgroup/a/b/memory.max":          "max\n",
			"sys/fs/cgroup/a/b/memory.current":      "7\n",
			"sys/fs/cgroup/memory.current":          "7\n",
			"sys/fs/cgroup/elsewhere/memory.max":    "1\n",
			"sys/fs/cgroup/elsewhere/memory.stat":   "",
			"sys/fs/cgroup/a/b/memory.stat":         "",
			"sys/fs/cgroup/unrelated/memory.events": "",
		}, 4 * gib, 2 * gib},
		"version 1, seen from a container": {map[string]string{
			"proc/self/cgroup":                           "11:cpu:/x\n9:memory:/docker/abc\n0::/docker/abc\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": fmt.Sprint(2 * gib),
			"sys/fs/cgroup/memory/memory.usage_in_bytes": fmt.Sprint(gib),
		}, 2 * gib, gib},
		"no limit": {map[string]string{
			"proc/self/cgroup":                           "9:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "1000\n",
		}, 24 * gib, 12 * gib},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine{t, t.TempDir()}
			m.memory(24*gib, 12*gib)
			for path, text := range c.files {
				m.put(path, text)
			}
			if s, err := New(m.root).Read(); err != nil || s.Total != c.total || s.Available != c.avail {
				t.Errorf("%+v, %v; want %d and %d", s, err, c.total, c.avail)
			}
		})
	}
}

// TestHere: this machine says something sensible.
func TestHere(t *testing.T) {
	s, err := New("/").Read()
	if err != nil || s.Total < 64<<20 || s.Available > s.Total {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestProcess(t *testing.T) {
	before := Private(os.Getpid())
	block := make([]byte, 64<<20)
	for at := 0; at < len(block); at += 4096 {
		block[at] = 1
	}
	if after := Private(os.Getpid()); after < before+60<<20 {
		t.Errorf("64 MiB more are %d bytes", after-before)
	}
	if p := Proportional(os.Getpid()); p < 64<<20 {
		t.Errorf("%d bytes in all", p)
	}
	block[0]++
	if Private(1<<30) != 0 || Proportional(1<<30) != 0 {
		t.Error("a process that is not there has memory")
	}
}
