// SPDX-License-Identifier: Apache-2.0

package build

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/tree"
)

// setUser resolves USER[:GROUP], by name or number, with the image's own lists, and gives the program a HOME.
func setUser(t *tree.Tree, m *image.Manifest, user string) error {
	name, group, hasGroup := strings.Cut(user, ":")
	if name == "" {
		name = "root"
	}
	home := "/"
	if uid, ok := number(name); ok {
		m.UID = uid
		if f := account(t, "/etc/passwd", func(f []string) bool { return len(f) > 6 && f[2] == name }); f != nil {
			if gid, ok := number(f[3]); ok {
				m.GID = gid
			}
			home = f[5]
		}
	} else {
		f := account(t, "/etc/passwd", func(f []string) bool { return len(f) > 6 && f[0] == name })
		switch {
		case f != nil:
			uid, ok1 := number(f[2])
			gid, ok2 := number(f[3])
			if !ok1 || !ok2 {
				return fmt.Errorf("user %q: its line in the image's /etc/passwd has no numbers", name)
			}
			m.UID, m.GID, home = uid, gid, f[5]
		case name == "root":
			home = "/root"
		default:
			return fmt.Errorf("user %q: the image's /etc/passwd does not have it: use a number", name)
		}
	}
	if hasGroup {
		gid, ok := number(group)
		if !ok {
			f := account(t, "/etc/group", func(f []string) bool { return len(f) > 2 && f[0] == group })
			if f == nil {
				return fmt.Errorf("group %q: the image's /etc/group does not have it: use a number", group)
			}
			if gid, ok = number(f[2]); !ok {
				return fmt.Errorf("group %q: its line in the image's /etc/group has no number", group)
			}
		}
		m.GID = gid
	}
	if home == "" {
		home = "/"
	}
	if !slices.ContainsFunc(m.Env, func(kv string) bool { return strings.HasPrefix(kv, "HOME=") }) {
		m.Env = append(m.Env, "HOME="+home)
	}
	return nil
}

func number(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return uint32(n), err == nil
}

// account is the first line of a list of the image that is wanted.
func account(t *tree.Tree, file string, wanted func([]string) bool) []string {
	n, _, err := t.Lookup(file)
	if err != nil || !n.Mode.IsRegular() {
		return nil
	}
	b, err := n.Read(1 << 20)
	if err != nil {
		return nil
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if f := strings.Split(line, ":"); wanted(f) {
			return f
		}
	}
	return nil
}
