// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unifaas.dev/internal/monitor"
)

// fakeMonitor is a monitor whose answers the test chooses.
type fakeMonitor struct{ probe, create error }

func (m fakeMonitor) Name() string { return "fake" }
func (m fakeMonitor) Probe() error { return m.probe }
func (m fakeMonitor) Create(c monitor.Config) (monitor.Sandbox, error) {
	if m.create != nil {
		return nil, m.create
	}
	return fakeSandbox{}, nil
}

type fakeSandbox struct{ monitor.Sandbox }

func (fakeSandbox) Close() error { return nil }

// tree makes a file system for the checks to look at.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for p, text := range files {
		p = filepath.Join(root, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

var good = map[string]string{
	"proc/cpuinfo": "processor\t: 0\nmodel name\t: Test CPU\nflags\t\t: fpu fsgsbase xsave rdtscp constant_tsc\n",
	"proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n",
	"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
	"proc/sys/vm/overcommit_memory":              "0\n",
	"proc/sys/vm/max_map_count":                  "65530\n",
	"sys/fs/cgroup/cgroup.controllers":           "cpu memory\n",
	"dev/kvm":                                    "",
}

func with(changes map[string]string) map[string]string {
	m := map[string]string{}
	for k, v := range good {
		m[k] = v
	}
	for k, v := range changes {
		if v == "-" {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	return m
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name    string
		changes map[string]string
		mon     fakeMonitor
		check   string
		status  Status
		text    string // in detail or fix
		ok      bool
	}{
		{"good", nil, fakeMonitor{}, "virtual machine", OK, "monitor fake", true},
		{"no kvm", map[string]string{"dev/kvm": "-"}, fakeMonitor{probe: errors.New("no such file")}, "/dev/kvm", Fail, "modprobe", false},
		{"probe", nil, fakeMonitor{probe: errors.New("lacks KVM_CAP_X")}, "virtual machine", Fail, "KVM_CAP_X", false},
		{"create", nil, fakeMonitor{create: errors.New("no memory")}, "virtual machine", Fail, "no memory", false},
		{"old cpu", map[string]string{"proc/cpuinfo": "model name : Old\nflags : fpu xsave rdtscp\n"}, fakeMonitor{}, "cpu", Fail, "fsgsbase", false},
		{"drifting", map[string]string{"proc/cpuinfo": "model name : X\nflags : fpu fsgsbase xsave rdtscp\n"}, fakeMonitor{}, "cpu", Warn, "TSC", true},
		{"little memory", map[string]string{"proc/meminfo": "MemTotal: 900000 kB\nMemAvailable: 100000 kB\n"}, fakeMonitor{}, "memory", Warn, "available", true},
		{"no thp", map[string]string{"sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]\n"}, fakeMonitor{}, "huge pages", Warn, "echo madvise", true},
		{"strict", map[string]string{"proc/sys/vm/overcommit_memory": "2\n"}, fakeMonitor{}, "overcommit", Warn, "sysctl", true},
		{"few maps", map[string]string{"proc/sys/vm/max_map_count": "1000\n"}, fakeMonitor{}, "mappings", Warn, "sysctl", true},
		{"no proc", map[string]string{"proc/cpuinfo": "-", "proc/meminfo": "-"}, fakeMonitor{}, "memory", Warn, "mount /proc", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Run(Options{Monitor: c.mon, Root: tree(t, with(c.changes)), DataDir: t.TempDir()})
			if r.OK != c.ok {
				t.Errorf("ok is %v, want %v: %+v", r.OK, c.ok, r.Checks)
			}
			for _, got := range r.Checks {
				if got.Name == c.check && (got.Status != c.status || !strings.Contains(got.Detail+got.Fix, c.text)) {
					t.Errorf("%+v, want %s with %q", got, c.status, c.text)
				}
				if strings.Contains(got.Detail+got.Fix, "\n") {
					t.Errorf("%s: more than a line", got.Name)
				}
			}
		})
	}
}

func TestDataDir(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]Status{"": Warn, filepath.Join(file, "x"): Fail, filepath.Join(t.TempDir(), "a", "b"): OK} {
		if c := dataDir(dir); c.Status != want {
			t.Errorf("%q: %+v, want %s", dir, c, want)
		}
	}
}

func TestPrint(t *testing.T) {
	var b bytes.Buffer
	Print(&b, Report{Checks: []Check{{"x", Fail, "is bad", "do this"}}})
	if got := b.String(); !strings.Contains(got, "fail  x") || !strings.Contains(got, "-> do this") || !strings.Contains(got, "cannot run") {
		t.Errorf("printed %q", got)
	}
}
