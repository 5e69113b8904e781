// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	maxDepth    = 20
	maxExpanded = 8 << 20
)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*`)

// expand puts in variables: ${V}, ${V:-default} and ${V-default}, ${V:=default} and ${V=default} which mean the same here, ${V:+other} and ${V+other},
// ${V:?why} and ${V?why}. Defaults may have variables too. $${ stands for ${, and a $ without a brace for itself.
func expand(text string, env func(string) (string, bool), depth int) (string, error) {
	if depth > maxDepth {
		return "", fmt.Errorf("variables in defaults of variables, more than %d deep", maxDepth)
	}
	var out strings.Builder
	for {
		at := strings.Index(text, "${")
		if at < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		if at > 0 && text[at-1] == '$' {
			out.WriteString(text[:at-1])
			out.WriteString("${")
			text = text[at+2:]
			continue
		}
		out.WriteString(text[:at])
		body, rest, ok := braces(text[at+2:])
		if !ok {
			return "", fmt.Errorf("%.40q has no '}'", text[at:])
		}
		value, err := one(body, env, depth)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		if out.Len() > maxExpanded {
			return "", fmt.Errorf("more than %d bytes with its variables put in", maxExpanded)
		}
		text = rest
	}
}

// braces splits what follows "${" at the brace that belongs to it.
func braces(text string) (body, rest string, ok bool) {
	open := 1
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '}':
			if open--; open == 0 {
				return text[:i], text[i+1:], true
			}
		case strings.HasPrefix(text[i:], "${"):
			open++
			i++
		case text[i] == '\n':
			return "", "", false
		}
	}
	return "", "", false
}

// one is the value of what stands between the braces.
func one(body string, env func(string) (string, bool), depth int) (string, error) {
	name := variable.FindString(body)
	op := body[len(name):]
	if name == "" {
		return "", fmt.Errorf("${%.40s} names no variable", body)
	}
	value, set := env(name)
	if colon, found := strings.CutPrefix(op, ":"); found {
		set, op = set && value != "", colon
		if op == "" {
			op = ":"
		}
	}
	if op == "" {
		return value, nil
	}
	other := op[1:]
	switch op[0] {
	case '-', '=':
		if set {
			return value, nil
		}
	case '+':
		if !set {
			return "", nil
		}
	case '?':
		if set {
			return value, nil
		}
		if other == "" {
			other = "it is not set"
		}
		return "", fmt.Errorf("variable %s: %.100s", name, other)
	default:
		return "", fmt.Errorf("${%.40s}: use ${%s} or ${%s:-default}", body, name, name)
	}
	return expand(other, env, depth+1)
}
