// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/units"
)

// fields is a deployment as it is typed. Empty ones have their default.
type fields struct {
	Name, Image, Contract, Isolation, Memory, Timeout, Concurrency, Min, Max, Env, Egress, CPU, Queue, Weight string
	Secrets                                                                                                   []string
}

func fieldsOf(v url.Values) fields {
	get := func(k string) string { return strings.TrimSpace(v.Get(k)) }
	return fields{Name: get("name"), Image: get("image"), Contract: get("contract"), Isolation: get("isolation"), Memory: get("memory"), Timeout: get("timeout"),
		Concurrency: get("concurrency"), Min: get("min"), Max: get("max"), Env: v.Get("env"), Egress: v.Get("egress"),
		CPU: get("cpu"), Queue: get("queue"), Weight: get("weight"), Secrets: strings.Fields(strings.ReplaceAll(v.Get("secrets"), ",", " "))}
}

// fieldsFrom shows what a function has.
func fieldsFrom(f *control.Function) fields {
	r := f.Wanted() // it is what is changed
	s := fields{Name: f.Name, Image: r.ImageName, Contract: r.Contract, Isolation: r.Isolation, Memory: units.FormatBytes(r.Memory), Timeout: units.FormatDuration(r.Timeout),
		Concurrency: strconv.Itoa(r.Concurrency), Min: strconv.Itoa(f.Scale.Min), Max: strconv.Itoa(f.Scale.Max), Egress: strings.Join(r.Egress, "\n")}
	if s.Egress == "" {
		s.Egress = "public"
	}
	if r.Concurrency >= control.Unlimited {
		s.Concurrency = "0"
	}
	if f.Scale.CPU != 0 {
		s.CPU = strconv.FormatInt(f.Scale.CPU, 10) + "m"
	}
	if f.Scale.Queue != 0 {
		s.Queue = strconv.Itoa(f.Scale.Queue)
	}
	if f.Scale.Weight != 0 {
		s.Weight = strconv.Itoa(f.Scale.Weight)
	}
	s.Secrets = r.Secrets
	for _, k := range slices.Sorted(maps.Keys(r.Env)) {
		s.Env += k + "=" + r.Env[k] + "\n"
	}
	return s
}

// deployment is what was typed, checked as far as it has to be to be understood.
func (f *fields) deployment() (control.Deployment, error) {
	d := control.Deployment{Name: f.Name, Contract: f.Contract, Isolation: f.Isolation}
	if f.Memory != "" {
		n, err := units.ParseBytes(f.Memory)
		if err != nil {
			return d, fmt.Errorf("memory: %w", err)
		}
		d.Memory = &n
	}
	if f.Timeout != "" {
		t, err := units.ParseDuration(f.Timeout)
		if err != nil {
			return d, fmt.Errorf("time limit: %w", err)
		}
		t = (t + time.Millisecond - 1).Truncate(time.Millisecond)
		d.Timeout = &t
	}
	for _, n := range []struct {
		what, text string
		to         **int
	}{{"Concurrency", f.Concurrency, &d.Concurrency}, {"Fewest instances", f.Min, &d.Min}, {"Most instances", f.Max, &d.Max}, {"Queue", f.Queue, &d.Queue}, {"Weight", f.Weight, &d.Weight}} {
		if n.text == "" {
			continue
		}
		v, err := strconv.Atoi(n.text)
		if err != nil {
			return d, fmt.Errorf("%s: %q is not a number", n.what, clip(n.text))
		}
		*n.to = &v
	}
	if f.CPU != "" {
		n, err := control.ParseCPU(f.CPU)
		if err != nil {
			return d, fmt.Errorf("cPU: %w", err)
		}
		d.CPU = &n
	}
	d.Secrets = append([]string{}, f.Secrets...)
	d.Env = map[string]string{}
	for line := range strings.Lines(f.Env) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if k = strings.TrimSpace(k); !ok || k == "" {
			return d, fmt.Errorf("environment: line %q is not of the form NAME=value", clip(line))
		}
		if _, twice := d.Env[k]; twice {
			return d, fmt.Errorf("environment: %s is there twice", clip(k))
		}
		d.Env[k] = v
	}
	if f.Egress = strings.TrimSpace(f.Egress); f.Egress != "" {
		d.Egress = strings.Fields(f.Egress)
	}
	return d, nil
}

// Or is a field's value, or else a default; templates use it.
func (f fields) Or(value, otherwise string) string { return cmp.Or(value, otherwise) }

// SecretText is the secrets as they are typed.
func (f fields) SecretText() string { return strings.Join(f.Secrets, " ") }

// sentence begins as one: errors are parts of sentences elsewhere.
func sentence(text string) string {
	r, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(r)) + text[n:]
}
