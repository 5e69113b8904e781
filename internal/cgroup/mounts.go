// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// leaf ends the name of the group into which a node moves itself: in version 2 only the last groups of a branch have processes.
const leaf = ".node"

// mount is a hierarchy as this process sees it.
type mount struct {
	point       string // below the root of Open
	own         string // folder of this process's own group
	version     int
	controllers []string
}

// hierarchies are those that are mounted and have controllers, version 2 first.
func hierarchies(root string) ([]mount, error) {
	info, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil, err
	}
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return nil, err
	}
	var list []mount
	for line := range strings.Lines(string(info)) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 || r[0] != "cgroup" && r[0] != "cgroup2" {
			continue
		}
		m := mount{point: filepath.Join(root, unescape(l[4])), version: 1}
		if r[0] == "cgroup2" {
			m.version = 2
			if text, err := os.ReadFile(filepath.Join(m.point, "cgroup.controllers")); err == nil {
				m.controllers = strings.Fields(string(text))
			}
		} else {
			m.controllers = strings.Split(r[2], ",")
		}
		if !slices.Contains(m.controllers, cpu) && !slices.Contains(m.controllers, memory) {
			continue
		}
		m.own = m.point
		if path, ok := pathIn(string(groups), &m); ok {
			// What a container sees as the top of the hierarchy is some group outside.
			path = strings.TrimPrefix(path, strings.TrimSuffix(unescape(l[3]), "/"))
			if dir := filepath.Join(m.point, filepath.Clean("/"+path)); exists(dir) {
				m.own = dir
			}
		}
		if slices.ContainsFunc(list, func(o mount) bool { return o.version == m.version && slices.Equal(o.controllers, m.controllers) }) {
			continue // mounted once more
		}
		list = append(list, m)
	}
	slices.SortStableFunc(list, func(a, b mount) int { return b.version - a.version })
	if len(list) == 0 {
		return nil, errors.New("no hierarchy of control groups with cpu or memory is mounted")
	}
	return list, nil
}

// pathIn finds the group of this process in a hierarchy.
func pathIn(groups string, m *mount) (string, bool) {
	for line := range strings.Lines(groups) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		if m.version == 2 && f[0] == "0" && f[1] == "" || m.version == 1 && f[1] == strings.Join(only(m.controllers, f[1]), ",") && f[1] != "" {
			return f[2], true
		}
	}
	return "", false
}

// only are those of the controllers that a line of /proc/self/cgroup names, in its order.
func only(controllers []string, names string) (both []string) {
	for n := range strings.SplitSeq(names, ",") {
		if slices.Contains(controllers, n) {
			both = append(both, n)
		}
	}
	return both
}

// base is the group below which a node makes its own.
func (m *mount) base(controller string, self int) (string, error) {
	if m.version == 1 {
		return m.own, nil
	}
	why := m.open(m.own, controller, self)
	if why == nil {
		return m.own, nil
	}
	// As root the top of the hierarchy will do. Its own processes are no hindrance there.
	if m.own != m.point && enable(m.point, controller) == nil {
		return m.point, nil
	}
	return "", why
}

// open has a group of version 2 pass controllers on. It may have no processes then: the node, if it is the only one there, moves.
func (m *mount) open(dir, controller string, self int) error {
	if enable(dir, controller) == nil {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return cause(dir, err)
	}
	me := strconv.Itoa(self)
	if pids := strings.Fields(string(text)); len(pids) != 1 || pids[0] != me {
		return fmt.Errorf("%s is not for this node alone: run it as a service with Delegate=yes, or in a group of its own", dir)
	}
	own := filepath.Join(dir, prefix+me+leaf)
	if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return cause(own, err)
	}
	if err := write(own, "cgroup.procs", me); err != nil {
		os.Remove(own)
		return err
	}
	return enable(dir, controller)
}

func exists(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.IsDir()
}

// unescape reads a path of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
