// SPDX-License-Identifier: Apache-2.0

// Package doctor looks at the machine and says what UniFaaS can do on it, what not, and what to do about that. It changes
// nothing.
package doctor

import (
	"fmt"
	"io"
	"os"

	"unifaas.dev/internal/monitor"
)

// Status is the outcome of one check.
type Status string

// Outcomes.
const (
	OK   Status = "ok"
	Warn Status = "warn" // works, but slower or with less
	Fail Status = "fail" // nothing can run
)

// Check is what one look found.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // what to do, where something is not as it should be
}

// Report is all of them.
type Report struct {
	OK     bool    `json:"ok"` // functions can run here
	Checks []Check `json:"checks"`
}

// Options say what to look at.
type Options struct {
	Monitor monitor.Monitor // tried by making a virtual machine
	Libos   []byte
	DataDir string
	Root    string // of the file system that is looked at; tests give another one. "" is /.
}

// Run makes all checks. One that fails keeps none of the others from being made.
func Run(o Options) Report {
	if o.Root == "" {
		o.Root = "/"
	}
	r := Report{OK: true}
	add := func(cs ...Check) {
		for _, c := range cs {
			r.OK = r.OK && c.Status != Fail
			r.Checks = append(r.Checks, c)
		}
	}
	add(kernel(), cpu(o.Root))
	add(device(o), machine(o))
	add(memory(o.Root), hugePages(o.Root), overcommit(o.Root), maps(o.Root))
	add(files(), cgroups(o.Root), dataDir(o.DataDir), tool("runc", "unifaas bench compares with it"))
	return r
}

func ok(name, format string, args ...any) Check {
	return Check{Name: name, Status: OK, Detail: fmt.Sprintf(format, args...)}
}

func bad(name string, s Status, fix, format string, args ...any) Check {
	return Check{Name: name, Status: s, Fix: fix, Detail: fmt.Sprintf(format, args...)}
}

// Print writes the report as lines, with colours on a terminal.
func Print(w io.Writer, r Report) {
	colour := map[Status]string{OK: "", Warn: "", Fail: ""}
	end := ""
	if f, isFile := w.(*os.File); isFile && isTerminal(f) && os.Getenv("NO_COLOR") == "" {
		colour = map[Status]string{OK: "\x1b[32m", Warn: "\x1b[33m", Fail: "\x1b[31m"}
		end = "\x1b[0m"
	}
	for _, c := range r.Checks {
		fmt.Fprintf(w, "%s%-4s%s  %-14s %s\n", colour[c.Status], c.Status, end, c.Name, c.Detail)
		if c.Fix != "" {
			fmt.Fprintf(w, "      %-14s -> %s\n", "", c.Fix)
		}
	}
	if r.OK {
		fmt.Fprintln(w, "Functions can run here.")
	} else {
		fmt.Fprintln(w, "Functions cannot run here: see the lines that say fail.")
	}
}
