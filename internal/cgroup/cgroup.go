// SPDX-License-Identifier: Apache-2.0

// Package cgroup gives processes control groups of their own, with a weight and a bound of CPU time and a bound of memory, in hierarchies of
// version 1, version 2 or both. It decides no limits and starts no processes.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits are those of one group.
type Limits struct {
	Weight int   // of CPU time beside other groups; DefaultWeight is usual
	CPU    int64 // thousandths of a CPU; 0: no bound
	Memory int64 // bytes; 0: no bound
}

// DefaultWeight is that of a group that nobody gave one.
const DefaultWeight = 100

const (
	cpu    = "cpu"
	memory = "memory"

	threadsEach = 4 // of a CPU: what all groups together are worth

	period = 100000 // microseconds in which a bound of CPU time is counted
	prefix = "unifaas-"
)

// Root is where one node's groups are. Its methods may be called by several goroutines.
type Root struct {
	parts  []part
	remove func(dir string) error
}

// part is a folder of one hierarchy below which groups are made.
type part struct {
	dir         string
	version     int
	controllers []string // of cpu and memory
}

// Open finds where this process can make groups, below root: "/" but in tests. What an earlier node left there goes. The error says in one
// line why there is nowhere.
func Open(root string) (*Root, error) {
	return open(root, host{os.Getpid(), func(pid int) bool { return !errors.Is(unix.Kill(pid, 0), unix.ESRCH) }, os.Remove})
}

// host is what a test has another of.
type host struct {
	self   int
	alive  func(pid int) bool
	remove func(dir string) error // of a group: the kernel removes what it shows there with it
}

func open(root string, h host) (*Root, error) {
	mounts, err := hierarchies(root)
	if err != nil {
		return nil, err
	}
	r := &Root{remove: h.remove}
	var why []error
	for _, want := range []string{cpu, memory} {
		found := false
		for _, m := range mounts {
			if !slices.Contains(m.controllers, want) {
				continue
			}
			found = true
			if err := r.add(m, want, h); err != nil {
				why = append(why, fmt.Errorf("controller %s: %w", want, err))
			}
			break
		}
		if !found {
			why = append(why, fmt.Errorf("controller %s is in no hierarchy that is mounted", want))
		}
	}
	if len(r.parts) == 0 {
		return nil, errors.Join(why...)
	}
	return r, nil
}

// add has a controller of a mounted hierarchy used.
func (r *Root) add(m mount, controller string, h host) error {
	for n := range r.parts {
		if p := &r.parts[n]; strings.HasPrefix(p.dir, m.point+"/") {
			if p.version == 2 {
				if err := enable(p.dir, controller); err != nil {
					return err
				}
			}
			p.controllers = append(p.controllers, controller)
			return nil
		}
	}
	base, err := m.base(controller, h.self)
	if err != nil {
		return err
	}
	h.sweep(base)
	dir := filepath.Join(base, prefix+strconv.Itoa(h.self))
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return cause(dir, err)
	}
	if m.version == 2 {
		if err := enable(dir, controller); err != nil {
			h.remove(dir)
			return err
		}
	}
	r.parts = append(r.parts, part{dir, m.version, []string{controller}})
	if controller != cpu {
		return nil
	}
	// All groups together against the rest of the machine, the node itself among it: as much as so many busy threads.
	for _, f := range files(m.version, cpu, Limits{Weight: DefaultWeight * threadsEach * runtime.NumCPU()}) {
		if err := write(dir, f.name, f.value); err != nil {
			return err
		}
	}
	return nil
}

// Has says which of "cpu" and "memory" can be bounded.
func (r *Root) Has(controller string) bool {
	return slices.ContainsFunc(r.parts, func(p part) bool { return slices.Contains(p.controllers, controller) })
}

// String is for people.
func (r *Root) String() string {
	var text []string
	for _, p := range r.parts {
		text = append(text, fmt.Sprintf("%s (version %d)", strings.Join(p.controllers, ", "), p.version))
	}
	return strings.Join(text, ", ")
}

// Close removes what is empty.
func (r *Root) Close() error {
	var errs []error
	for _, p := range r.parts {
		if err := r.remove(p.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Group is the group of one process and its threads.
type Group struct {
	root *Root
	name string
	last Limits
}

// Make makes a group, puts a process into it, if pid is not 0, and bounds it.
func (r *Root) Make(name string, pid int, l Limits) (*Group, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\n\x00") {
		return nil, fmt.Errorf("control group %q: not a name", name)
	}
	g := &Group{root: r, name: name}
	for _, p := range r.parts {
		if err := os.Mkdir(filepath.Join(p.dir, name), 0o755); err != nil {
			g.Remove()
			return nil, cause(filepath.Join(p.dir, name), err)
		}
	}
	err := g.set(l)
	for _, p := range r.parts {
		if err == nil && pid != 0 {
			err = write(filepath.Join(p.dir, name), "cgroup.procs", strconv.Itoa(pid))
		}
	}
	if err != nil {
		g.Remove()
		return nil, err
	}
	return g, nil
}

// Set changes the limits. It is for one goroutine at a time.
func (g *Group) Set(l Limits) error {
	if l == g.last {
		return nil
	}
	return g.set(l)
}

func (g *Group) set(l Limits) error {
	var errs []error
	for _, p := range g.root.parts {
		dir := filepath.Join(p.dir, g.name)
		for _, c := range p.controllers {
			for _, f := range files(p.version, c, l) {
				errs = append(errs, write(dir, f.name, f.value))
			}
		}
	}
	g.last = l
	return errors.Join(errs...)
}

// Remove removes the group. Preconditions: its processes are gone.
func (g *Group) Remove() error {
	var errs []error
	for _, p := range g.root.parts {
		if err := g.root.remove(filepath.Join(p.dir, g.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

type file struct{ name, value string }

// files is what limits are in the files of a controller.
func files(version int, controller string, l Limits) []file {
	weight := max(l.Weight, 1)
	quota := l.CPU * (period / 1000)
	bytes := "max"
	if l.Memory > 0 {
		bytes = strconv.FormatInt(l.Memory, 10)
	}
	switch {
	case version == 2 && controller == cpu:
		most := "max"
		if l.CPU > 0 {
			most = strconv.FormatInt(max(quota, 1000), 10)
		}
		return []file{{"cpu.weight", strconv.Itoa(min(weight, 10000))}, {"cpu.max", most + " " + strconv.Itoa(period)}}
	case version == 2:
		return []file{{"memory.max", bytes}}
	case controller == cpu:
		if quota = max(quota, 1000); l.CPU <= 0 {
			quota = -1
		}
		shares := max(min(weight*1024/DefaultWeight, 262144), 2)
		return []file{{"cpu.shares", strconv.Itoa(shares)}, {"cpu.cfs_period_us", strconv.Itoa(period)}, {"cpu.cfs_quota_us", strconv.FormatInt(quota, 10)}}
	}
	if l.Memory <= 0 {
		bytes = "-1"
	}
	return []file{{"memory.limit_in_bytes", bytes}}
}

func write(dir, name, value string) error {
	if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644); err != nil {
		return cause(filepath.Join(dir, name)+" = "+value, err)
	}
	return nil
}

// enable has the groups below dir have a controller of version 2.
func enable(dir, controller string) error {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return cause(dir, err)
	}
	if slices.Contains(strings.Fields(string(text)), controller) {
		return nil
	}
	return write(dir, "cgroup.subtree_control", "+"+controller)
}

// sweep removes the groups of nodes that are gone.
func (h *host) sweep(base string) {
	entries, err := os.ReadDir(base)
	if err != nil {
		return
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), prefix)
		pid, err := strconv.Atoi(strings.TrimSuffix(number, leaf))
		if !ok || err != nil || !e.IsDir() || h.alive(pid) {
			continue
		}
		dir := filepath.Join(base, e.Name())
		groups, _ := os.ReadDir(dir)
		for _, g := range groups {
			if g.IsDir() {
				_ = h.remove(filepath.Join(dir, g.Name())) // one that is in use stays
			}
		}
		_ = h.remove(dir)
	}
}

// cause is one line about a path.
func cause(path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}
