// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tree is a made-up root of the file system.
type tree struct {
	*testing.T
	dir string
}

func newTree(t *testing.T, mountinfo, groups string, files ...string) tree {
	f := tree{t, t.TempDir()}
	f.put("proc/self/mountinfo", mountinfo)
	f.put("proc/self/cgroup", groups)
	for n := 0; n < len(files); n += 2 {
		f.put(files[n], files[n+1])
	}
	return f
}

func (f tree) put(path, text string) {
	f.Helper()
	path = filepath.Join(f.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		f.Fatal(err)
	}
}

func (f tree) want(path, text string) {
	f.Helper()
	got, err := os.ReadFile(filepath.Join(f.dir, path))
	if err != nil || string(got) != text {
		f.Errorf("%s: %q, %v; want %q", path, got, err, text)
	}
}

// group stands for what the kernel puts into a new group of version 2.
func (f tree) group(path string) { f.put(path+"/cgroup.subtree_control", "") }

func (f tree) open() (*Root, error) {
	return open(f.dir, host{self: 77, alive: func(pid int) bool { return pid == 77 || pid == 1 }, remove: os.RemoveAll})
}

const (
	unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	hybrid  = `31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`
)

// TestVersion1: groups are in the node's own group of each hierarchy, also where a container sees only a part of one.
func TestVersion1(t *testing.T) {
	f := newTree(t, hybrid, "4:memory:/docker/abc/deep\n1:cpu,cpuacct:/node\n0::/\n",
		"sys/fs/cgroup/cpu,cpuacct/node/tasks", "", "sys/fs/cgroup/memory/deep/tasks", "", "sys/fs/cgroup/unified/cgroup.controllers", "")
	r, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	if !r.Has(cpu) || !r.Has(memory) || r.String() != "cpu (version 1), memory (version 1)" {
		t.Error(r)
	}
	g, err := r.Make("f-00001", 4711, Limits{Weight: 200, CPU: 250, Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	c, m := "sys/fs/cgroup/cpu,cpuacct/node/unifaas-77/f-00001/", "sys/fs/cgroup/memory/deep/unifaas-77/f-00001/"
	f.want(c+"cpu.shares", "2048")
	f.want(c+"cpu.cfs_period_us", "100000")
	f.want(c+"cpu.cfs_quota_us", "25000")
	f.want(c+"cgroup.procs", "4711")
	f.want(m+"memory.limit_in_bytes", "1073741824")
	f.want(m+"cgroup.procs", "4711")
	if err := g.Set(Limits{Weight: 1}); err != nil {
		t.Fatal(err)
	}
	f.want(c+"cpu.shares", "10")
	f.want(c+"cpu.cfs_quota_us", "-1")
	f.want(m+"memory.limit_in_bytes", "-1")
	if err := errors.Join(g.Remove(), r.Close()); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(f.dir, "sys/fs/cgroup/*/*/unifaas*")); len(left) > 0 {
		t.Error(left)
	}
}

// TestVersion2: a node that is alone in its group moves down in it, so that there can be groups beside it.
func TestVersion2(t *testing.T) {
	own := "sys/fs/cgroup/system.slice/unifaas.service/"
	f := newTree(t, unified, "0::/system.slice/unifaas.service\n", "sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids",
		own+"cgroup.procs", "77\n")
	f.group("sys/fs/cgroup/system.slice/unifaas.service/unifaas-77")
	// The kernel refuses while there are processes; here the file is not there yet.
	if _, err := f.open(); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Fatal(err)
	}
	f.want(own+"unifaas-77.node/cgroup.procs", "77")
	f.group("sys/fs/cgroup/system.slice/unifaas.service")
	r, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	if r.String() != "cpu, memory (version 2)" {
		t.Error(r)
	}
	f.want(own+"unifaas-77/cgroup.subtree_control", "+memory") // a real one has both then
	if _, err := r.Make("f-00001", 4711, Limits{Weight: 200, CPU: 250, Memory: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	f.want(own+"unifaas-77/f-00001/cpu.weight", "200")
	f.want(own+"unifaas-77/f-00001/cpu.max", "25000 100000")
	f.want(own+"unifaas-77/f-00001/memory.max", "1073741824")
	f.want(own+"unifaas-77/f-00001/cgroup.procs", "4711")
	g, err := r.Make("g-00001", 0, Limits{Weight: 50000})
	if err != nil {
		t.Fatal(err)
	}
	f.want(own+"unifaas-77/g-00001/cpu.weight", "10000")
	f.want(own+"unifaas-77/g-00001/cpu.max", "max 100000")
	f.want(own+"unifaas-77/g-00001/memory.max", "max")
	if _, err := os.Stat(filepath.Join(f.dir, own, "unifaas-77/g-00001/cgroup.procs")); err == nil {
		t.Error("process 0 was moved")
	}
	g.Remove()
}

// TestVersion2Shared: a node that is not alone in its group takes nobody along, and needs the top of the hierarchy.
func TestVersion2Shared(t *testing.T) {
	f := newTree(t, unified, "0::/user.slice/shell\n", "sys/fs/cgroup/cgroup.controllers", "cpu memory", "sys/fs/cgroup/user.slice/shell/cgroup.procs", "50\n77\n")
	if _, err := f.open(); err == nil || !strings.Contains(err.Error(), "is not for this node alone: run it as a service with Delegate=yes") {
		t.Fatal(err)
	}
	f.group("sys/fs/cgroup")
	f.group("sys/fs/cgroup/unifaas-77")
	r, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Make("f", 5, Limits{}); err != nil {
		t.Fatal(err)
	}
	f.want("sys/fs/cgroup/unifaas-77/f/cgroup.procs", "5")
}

// TestLeftOver: what nodes that are gone left behind goes, what is another's stays.
func TestLeftOver(t *testing.T) {
	c := "sys/fs/cgroup/cpu,cpuacct/"
	f := newTree(t, hybrid, "1:cpu,cpuacct:/\n", c+"unifaas-99/f-00001/cpu.shares", "1", c+"unifaas-1/f-00001/cpu.shares", "1", c+"unifaas-x/tasks", "",
		"sys/fs/cgroup/memory/tasks", "")
	if _, err := f.open(); err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{"unifaas-99": false, "unifaas-1": true, "unifaas-x": true, "unifaas-77": true} {
		if _, err := os.Stat(filepath.Join(f.dir, c, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNowhere(t *testing.T) {
	for _, mounts := range []string{"", "garbage\n", "1 2 3 - cgroup\n", "31 23 0:28 / /x rw - cgroup cgroup rw,name=systemd\n"} {
		f := newTree(t, mounts, "0::/\n")
		if r, err := f.open(); err == nil {
			t.Errorf("%q: %v", mounts, r)
		}
	}
	f := newTree(t, hybrid, "1:cpu,cpuacct:/\n", "sys/fs/cgroup/cpu,cpuacct/tasks", "")
	r, err := f.open() // without memory
	if err != nil || !r.Has(cpu) || r.Has(memory) {
		t.Fatal(r, err)
	}
	for _, name := range []string{"", "..", "a/b", "a\nb"} {
		if _, err := r.Make(name, 1, Limits{}); err == nil {
			t.Errorf("%q is a name", name)
		}
	}
}

// machine is this machine's own, if it can be used.
func machine(t *testing.T, need string) *Root {
	r, err := Open("/")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if !r.Has(need) {
		t.Skip(r, "has no", need)
	}
	return r
}

func startIn(t *testing.T, r *Root, l Limits, command ...string) *exec.Cmd {
	c := exec.Command(command[0], command[1:]...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var once bool
	t.Cleanup(func() {
		c.Process.Kill()
		if !once {
			c.Wait()
		}
	})
	g, err := r.Make("test-"+strconv.Itoa(c.Process.Pid), c.Process.Pid, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		once = true
		c.Process.Kill()
		c.Wait()
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestCPU: a process gets no more than its part.
func TestCPU(t *testing.T) {
	r := machine(t, cpu)
	c := startIn(t, r, Limits{Weight: 50, CPU: 100}, "sh", "-c", "while :; do :; done")
	name := "test-" + strconv.Itoa(c.Process.Pid)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(r.parts[0].dir, name, "cpu.stat"))
		if err != nil {
			t.Fatal(err)
		}
		if _, n, ok := strings.Cut(string(text), "nr_throttled "); ok && !strings.HasPrefix(n, "0") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("never throttled: %s", text)
		}
	}
}

// TestMemory: a process that takes more than its limit ends, and nobody else.
func TestMemory(t *testing.T) {
	r := machine(t, memory)
	c := startIn(t, r, Limits{Weight: DefaultWeight, Memory: 32 << 20}, "sh", "-c", "sleep 0.1; exec tail /dev/zero")
	c.Wait()
	if ws := c.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
		t.Errorf("%v", c.ProcessState)
	}
}
