// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// usage is the host memory that a node takes with all its tenders, in bytes.
type usage struct {
	Anonymous int64 // of the processes, guest RAM among it
	Files     int64 // their share of mapped files
	Memfds    int64 // memory files, mapped or not, each once
	Tables    int64 // page tables and kernel stacks
	Processes int
}

func (u usage) total() int64 { return u.Anonymous + u.Files + u.Memfds + u.Tables }

// used measures a node's memory: the proportional share of what its processes map, and memory files however many share them. What the kernel
// keeps for a virtual machine beside its page tables is in no process's account, and so not in this one.
func used(pid int) (u usage, err error) {
	pids, err := family(pid)
	if err != nil {
		return u, err
	}
	files := map[[2]uint64]int64{}
	for _, p := range pids {
		if err := u.add(p, files); err != nil && p == pid {
			return u, err
		} else if err == nil {
			u.Processes++
		}
	}
	for _, n := range files {
		u.Memfds += n
	}
	return u, nil
}

// add counts one process. files has what each memory file takes.
func (u *usage) add(pid int, files map[[2]uint64]int64) error {
	proc := fmt.Sprintf("/proc/%d/", pid)
	rollup, err := fields(proc + "smaps_rollup")
	if err != nil {
		return err
	}
	status, err := fields(proc + "status")
	if err != nil {
		return err
	}
	u.Anonymous += rollup["Pss_Anon"]
	u.Files += rollup["Pss_File"]
	u.Tables += status["VmPTE"] + 16*status["Threads"]
	fds, _ := filepath.Glob(proc + "fd/*")
	for _, fd := range fds {
		var st unix.Stat_t
		if unix.Stat(fd, &st) == nil && isMemfd(fd, &st) {
			files[[2]uint64{st.Dev, st.Ino}] = st.Blocks * 512
		}
	}
	// Those that are mapped and not open any more.
	maps, err := os.ReadFile(proc + "maps")
	if err != nil {
		return err
	}
	var lost []string
	for line := range strings.Lines(string(maps)) {
		if f := strings.Fields(line); len(f) > 5 && strings.HasPrefix(f[5], "/memfd:") {
			var st unix.Stat_t
			if unix.Stat(proc+"map_files/"+trimZeros(f[0]), &st) == nil {
				files[[2]uint64{st.Dev, st.Ino}] = st.Blocks * 512
			} else {
				lost = append(lost, f[0])
			}
		}
	}
	if len(lost) > 0 {
		return u.addMapped(proc, lost)
	}
	return nil
}

// addMapped counts the shares of mappings whose files cannot be reached.
func (u *usage) addMapped(proc string, ranges []string) error {
	f, err := os.Open(proc + "smaps")
	if err != nil {
		return err
	}
	defer f.Close()
	want := map[string]bool{}
	for _, r := range ranges {
		want[r] = true
	}
	in := false
	for sc := bufio.NewScanner(f); sc.Scan(); {
		word, rest, _ := strings.Cut(sc.Text(), " ")
		switch {
		case strings.Contains(word, "-"):
			in = want[word]
		case in && word == "Pss:":
			u.Memfds += parseKB(rest)
		}
	}
	return nil
}

func isMemfd(fd string, st *unix.Stat_t) bool {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	to, err := os.Readlink(fd)
	return err == nil && strings.HasPrefix(to, "/memfd:")
}

// trimZeros makes a name in map_files of a range in maps.
func trimZeros(r string) string {
	lo, hi, _ := strings.Cut(r, "-")
	trim := func(s string) string {
		if s = strings.TrimLeft(s, "0"); s == "" {
			return "0"
		}
		return s
	}
	return trim(lo) + "-" + trim(hi)
}

// fields reads a file of lines "Name: number kB"; what has no unit is counted in KiB, too.
func fields(name string) (map[string]int64, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	m := map[string]int64{}
	for line := range bytes.Lines(text) {
		if k, v, ok := strings.Cut(string(line), ":"); ok {
			m[k] = parseKB(v)
		}
	}
	return m, nil
}

func parseKB(s string) int64 {
	f := strings.Fields(s)
	if len(f) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return 0
	}
	return n * kib
}

// available is how much memory the machine can still give.
func available() int64 {
	m, err := fields("/proc/meminfo")
	if err != nil {
		return 0
	}
	return m["MemAvailable"]
}
