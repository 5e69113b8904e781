// SPDX-License-Identifier: Apache-2.0

package control

import (
	"regexp"
	"strings"
)

// DefaultNamespace is there always; its functions are called by their name alone.
const DefaultNamespace = "default"

// MaxKey is the length of the longest key: a name, a dot, a namespace.
const MaxKey = 2*MaxName + 1

// A function is known everywhere inside by its key: NAME in namespace default, NAME.NAMESPACE elsewhere. Names may have dots,
// namespaces have none, and no function of default may be called like one of another namespace: so a key means one function,
// and the last dot of it separates if a namespace is called what follows.

// JoinName makes a key. An empty namespace is the default one.
func JoinName(name, namespace string) string {
	if namespace == "" || namespace == DefaultNamespace {
		return name
	}
	return name + "." + namespace
}

// SplitName takes a key apart; known says which namespaces there are beside default.
func SplitName(key string, known func(namespace string) bool) (name, namespace string) {
	if n := strings.LastIndexByte(key, '.'); n > 0 {
		if ns := key[n+1:]; ns == DefaultNamespace || known(ns) {
			return key[:n], ns
		}
	}
	return key, DefaultNamespace
}

// SplitName takes the key of a function apart.
func (c *Control) SplitName(key string) (name, namespace string) {
	return SplitName(key, c.HasNamespace)
}

// Resolve finds the function that somebody outside means by a name: NAME, NAME.NAMESPACE, or NAME.default.
func (c *Control) Resolve(name string) (*Function, error) {
	if f, err := c.Get(name); err == nil {
		return f, nil
	}
	key, ok := c.key(name)
	if !ok {
		return nil, ErrNotFound
	}
	return c.Get(key)
}

// key takes NAME.default for NAME; false if that is a function of another namespace.
func (c *Control) key(name string) (string, bool) {
	name, ns := c.SplitName(name)
	key := JoinName(name, ns)
	_, in := c.SplitName(key)
	return key, in == ns
}

// In lists the functions of one namespace, by name.
func (c *Control) In(namespace string) []*Function {
	all := c.List()
	in := all[:0]
	for _, f := range all {
		if _, ns := c.SplitName(f.Name); ns == namespace {
			in = append(in, f)
		}
	}
	return in
}

var namespaceForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

// CheckNamespace says in one line what is wrong with the name of a namespace.
func CheckNamespace(name string) error {
	if len(name) > MaxName || !namespaceForm.MatchString(name) {
		return invalid("namespace %q: use small letters, digits and '-' between them, at most %d", clip(name), MaxName)
	}
	return nil
}

// CheckName says in one line what is wrong with the name of a function, or with a key.
func CheckName(name string) error {
	short, _ := SplitName(name, func(string) bool { return len(name) > MaxName })
	if !nameForm.MatchString(name) || len(name) > MaxKey || len(short) > MaxName || strings.Trim(name, ".") == "" {
		return invalid("function name %q: use letters, digits, '-', '_' and '.', at most %d of them", clip(name), MaxName)
	}
	return nil
}
