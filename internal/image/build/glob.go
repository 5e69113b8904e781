// SPDX-License-Identifier: Apache-2.0

package build

import (
	"path"
	"strings"
)

// hasGlob tells patterns from paths.
func hasGlob(p string) bool { return strings.ContainsAny(p, "*?[") }

// match reports whether a path fits a pattern: * ? and [] stand for characters of one name, ** for any number of names.
func match(pattern, name string) (bool, error) {
	return matchParts(strings.Split(pattern, "/"), strings.Split(name, "/"))
}

func matchParts(pattern, name []string) (bool, error) {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for len(pattern) > 1 && pattern[1] == "**" {
				pattern = pattern[1:]
			}
			for i := 0; i <= len(name); i++ {
				if ok, err := matchParts(pattern[1:], name[i:]); ok || err != nil {
					return ok, err
				}
			}
			return false, nil
		}
		if len(name) == 0 {
			return false, nil
		}
		if ok, err := path.Match(pattern[0], name[0]); !ok || err != nil {
			return false, err
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0, nil
}

// fixedPart is the folder above the first part of a pattern that is one.
func fixedPart(pattern string) string {
	parts := strings.Split(pattern, "/")
	for i, p := range parts {
		if hasGlob(p) {
			return strings.Join(parts[:i], "/")
		}
	}
	return path.Dir(pattern)
}
