// SPDX-License-Identifier: Apache-2.0

// Package pressure says how short of memory this machine is, or the control group that it may use of it. It decides nothing and frees
// nothing.
package pressure

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Bounds of what is enough.
const (
	stallBound = 0.10 // share of the time in which somebody waited for memory
	lowShare   = 20   // memory is low below 1/20 of all
	lowLeast   = 128 << 20
)

// Gauge reads what the kernel says. Its methods are for one goroutine.
type Gauge struct {
	root    string
	stalled time.Duration // since the machine started, at the last Read
	at      time.Time
}

// New makes a gauge that reads below root: "/" but in tests.
func New(root string) *Gauge { return &Gauge{root: root} }

// Sample is how things are.
type Sample struct {
	Total     int64   // bytes that there are: of the machine, or fewer if a control group has a limit
	Available int64   // bytes that can be had without swapping
	Stalled   float64 // share of the time since the last sample in which somebody waited for memory; 0 where the kernel does not say
}

// Short reports whether memory should be given back.
func (s Sample) Short() bool { return s.Stalled > stallBound || s.low(1) }

// Dire reports whether that has to be at once, whatever it costs.
func (s Sample) Dire() bool { return s.low(2) }

// Missing is how much should be given back, if memory is short.
func (s Sample) Missing() int64 { return max(s.bound()*5/4-s.Available, s.Total/50) }

func (s Sample) low(part int64) bool { return s.Total > 0 && s.Available < s.bound()/part }

// bound is below what memory is low.
func (s Sample) bound() int64 { return max(min(s.Total/lowShare, 4<<30), min(lowLeast, s.Total/4)) }

// Read takes a sample. What a kernel does not have is left out; without /proc/meminfo it fails.
func (g *Gauge) Read() (Sample, error) {
	var s Sample
	info, err := os.ReadFile(filepath.Join(g.root, "proc/meminfo"))
	if err != nil {
		return s, err
	}
	s.Total, s.Available = field(info, "MemTotal:"), field(info, "MemAvailable:")
	if s.Total <= 0 || s.Available < 0 {
		return s, errors.New("/proc/meminfo does not say how much memory there is")
	}
	if limit, used, ok := g.group(); ok && limit < s.Total {
		s.Total = limit
		s.Available = min(s.Available, max(limit-used, 0))
	}
	if stalled, ok := g.stall(); ok {
		now := time.Now()
		if took := now.Sub(g.at); !g.at.IsZero() && took > 0 {
			s.Stalled = min(max(float64(stalled-g.stalled)/float64(took), 0), 1)
		}
		g.stalled, g.at = stalled, now
	}
	return s, nil
}

// field gives a line of /proc/meminfo in bytes, -1 if it is not there.
func field(info []byte, name string) int64 {
	for line := range bytes.Lines(info) {
		f := strings.Fields(string(line))
		if len(f) >= 2 && f[0] == name {
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil && n >= 0 && n < math.MaxInt64>>10 {
				return n << 10
			}
		}
	}
	return -1
}

// stall is how long somebody has waited for memory.
func (g *Gauge) stall() (time.Duration, bool) {
	text, err := os.ReadFile(filepath.Join(g.root, "proc/pressure/memory"))
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) == 0 || f[0] != "some" {
			continue
		}
		for _, kv := range f[1:] {
			if v, ok := strings.CutPrefix(kv, "total="); ok {
				n, err := strconv.ParseInt(v, 10, 64)
				return time.Duration(n) * time.Microsecond, err == nil && n >= 0
			}
		}
	}
	return 0, false
}

// group gives the tightest limit of the control groups that this process is in, and what is used of it.
func (g *Gauge) group() (limit, used int64, ok bool) {
	f, err := os.Open(filepath.Join(g.root, "proc/self/cgroup"))
	if err != nil {
		return 0, 0, false
	}
	defer f.Close()
	limit = math.MaxInt64
	for in := bufio.NewScanner(f); in.Scan(); {
		part := strings.SplitN(in.Text(), ":", 3)
		if len(part) != 3 {
			continue
		}
		var top, max, now string
		switch {
		case part[0] == "0" && part[1] == "":
			top, max, now = "sys/fs/cgroup", "memory.max", "memory.current"
		case part[1] == "memory":
			top, max, now = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
		default:
			continue
		}
		// A container may see its own group at the top, whatever its path is called outside.
		for dir := filepath.Clean("/" + part[2]); ; dir = filepath.Dir(dir) {
			l, errL := g.number(top, dir, max)
			u, errU := g.number(top, dir, now)
			if errL == nil && errU == nil && l < limit {
				// What is cached counts as used there, and can be had all the same.
				limit, used = l, u-g.cached(top, dir)
			}
			if dir == "/" {
				break
			}
		}
	}
	return limit, used, limit != math.MaxInt64
}

func (g *Gauge) number(top, dir, name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(g.root, top, dir, name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max" is an error, and so no limit
}

// cached is what a group's files have in memory that nobody has mapped lately.
func (g *Gauge) cached(top, dir string) int64 {
	text, err := os.ReadFile(filepath.Join(g.root, top, dir, "memory.stat"))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		var name string
		var n int64
		if _, err := fmt.Sscan(string(line), &name, &n); err == nil && (name == "inactive_file" || name == "total_inactive_file") {
			return n
		}
	}
	return 0
}
