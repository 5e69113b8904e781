// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/units"
)

// Contracts and kinds of isolation.
const (
	ContractHTTP   = "http"
	ContractLambda = "lambda"
	ContractStdio  = "stdio"

	IsolationReuse  = "reuse"
	IsolationRewind = "rewind"
	IsolationFresh  = "fresh"
)

// Limits.
const (
	MaxName        = 63
	MinMemory      = 16 * units.MiB
	MaxMemory      = 16 * units.GiB
	MinTimeout     = 10 * time.Millisecond
	MaxTimeout     = time.Hour
	MaxConcurrency = 1000
	MaxInstances   = 100000    // most of them parked
	maxSecrets     = 100       // of one function
	maxEnv         = 128 << 10 // bytes of all of it: it has to fit the boot block
)

// InvalidError is a request that says something that cannot be.
type InvalidError struct{ msg string }

func (e *InvalidError) Error() string { return e.msg }

func invalid(format string, args ...any) error { return &InvalidError{fmt.Sprintf(format, args...)} }

var nameForm = regexp.MustCompile(`^[-a-zA-Z_0-9.]+$`)

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

func concurrency(c Config) string {
	if c.Concurrency == Unlimited {
		return "0 (no limit)"
	}
	return strconv.Itoa(c.Concurrency)
}

// check says in one line what is wrong with a configuration.
func check(name string, c Config, s node.Scale) error {
	if err := CheckName(name); err != nil {
		return err
	}
	switch c.Contract {
	case ContractHTTP, ContractStdio:
	case ContractLambda:
		if c.Concurrency == 0 {
			return invalid("concurrency 0 (no limit): a Lambda runtime has to know how many events it may take at once")
		}
	default:
		return invalid("contract %q: use http, stdio or lambda", clip(c.Contract))
	}
	switch c.Isolation {
	case IsolationReuse:
	case IsolationFresh:
		if c.Concurrency != 1 {
			return invalid("concurrency %s: with isolation fresh an instance gets one invocation", concurrency(c))
		}
	case IsolationRewind:
		if c.Concurrency != 1 {
			return invalid("concurrency %s: with isolation rewind an instance has one invocation at a time", concurrency(c))
		}
		if c.Env[node.EnvSnapshot] == node.SnapshotOff {
			return invalid("isolation rewind needs a snapshot, and environment variable %s is %s", node.EnvSnapshot, node.SnapshotOff)
		}
	default:
		return invalid("isolation %q: use reuse, rewind or fresh", clip(c.Isolation))
	}
	switch {
	case c.Memory < MinMemory || c.Memory > MaxMemory:
		return invalid("memory %s: choose from %s to %s", units.FormatBytes(c.Memory), units.FormatBytes(MinMemory), units.FormatBytes(MaxMemory))
	case c.Timeout < MinTimeout || c.Timeout > MaxTimeout:
		return invalid("timeout %s: choose from %s to %s", units.FormatDuration(c.Timeout), units.FormatDuration(MinTimeout), units.FormatDuration(MaxTimeout))
	case c.Concurrency < 1 || c.Concurrency > MaxConcurrency && c.Concurrency != Unlimited:
		return invalid("concurrency %d: choose from 1 to %d, or 0 for no limit", c.Concurrency, MaxConcurrency)
	}
	if err := checkServing(c); err != nil {
		return err
	}
	if err := checkEnv(c.Env); err != nil {
		return err
	}
	if len(c.Secrets) > maxSecrets {
		return invalid("%d secrets, a function can have at most %d", len(c.Secrets), maxSecrets)
	}
	for _, s := range c.Secrets {
		if err := CheckSecretName(s); err != nil {
			return err
		}
	}
	if _, err := egress.Parse(c.Egress); err != nil {
		return invalid("%v", err)
	}
	return checkScale(s)
}

func checkEnv(env map[string]string) error {
	total := 0
	for k, v := range env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.ContainsRune(v, 0) {
			return invalid("environment variable %q: a name has no '=', and neither name nor value a NUL byte", clip(k))
		}
		total += len(k) + len(v) + 2
	}
	if total > maxEnv {
		return invalid("environment of %d bytes, at most %d", total, maxEnv)
	}
	switch v := env[node.EnvSnapshot]; v {
	case "", node.SnapshotAuto, node.SnapshotManual, node.SnapshotOff:
	default:
		return invalid("environment variable %s is %q: use %s, %s or %s", node.EnvSnapshot, clip(v), node.SnapshotAuto, node.SnapshotManual, node.SnapshotOff)
	}
	if p, ok := env["PORT"]; ok {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return invalid("environment variable PORT is %q, not a port from 1 to 65535", clip(p))
		}
	}
	return nil
}
