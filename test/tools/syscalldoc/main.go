// SPDX-License-Identifier: Apache-2.0

// Command syscalldoc makes docs/syscalls.md and internal/calltrace/names.go out of the library OS's table of system calls, guest/sys/*.def.
package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	out := flag.String("o", "", "file to write (default standard output)")
	names := flag.Bool("names", false, "write the Go file of names instead of the page")
	flag.Parse()
	if err := run(flag.Arg(0), *out, *names); err != nil {
		fmt.Fprintln(os.Stderr, "syscalldoc:", err)
		os.Exit(1)
	}
}

func run(dir, out string, names bool) error {
	calls, err := read(dir)
	if err != nil {
		return err
	}
	text := page(calls)
	if names {
		text = goNames(calls)
	}
	if out == "" {
		_, err = os.Stdout.Write(text)
		return err
	}
	return os.WriteFile(out, text, 0o644)
}

// call is one line of the table.
type call struct {
	nr              int
	name, state, no string
	file            string
}

var line = regexp.MustCompile(`^SYS\((\d+),\s*(\w+),\s*(FULL|PARTIAL|ABSENT|PROBED),\s*"((?:[^"\\]|\\.)*)"\)`)

// read takes the calls of all fragments, sorted by number, and refuses what the dispatcher would not notice.
func read(dir string) ([]call, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.def"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no .def files in %q", dir)
	}
	var calls []call
	seen := map[int]call{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		for n, text := range strings.Split(string(b), "\n") {
			text = strings.TrimSpace(text)
			if !strings.HasPrefix(text, "SYS(") {
				continue
			}
			m := line.FindStringSubmatch(text)
			if m == nil {
				return nil, fmt.Errorf("%s:%d: not SYS(number, name, state, \"text\")", f, n+1)
			}
			c := call{name: m[2], state: m[3], no: m[4], file: filepath.Base(f)}
			if c.nr, err = strconv.Atoi(m[1]); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", f, n+1, err)
			}
			if old, ok := seen[c.nr]; ok {
				return nil, fmt.Errorf("%s:%d: call %d (%s) is in %s already", f, n+1, c.nr, c.name, old.file)
			}
			if c.state == "FULL" && c.no != "" || c.state == "PARTIAL" && c.no == "" {
				return nil, fmt.Errorf("%s:%d: %s: a partial call says what it lacks, a full one nothing", f, n+1, c.name)
			}
			seen[c.nr] = c
			calls = append(calls, c)
		}
	}
	slices.SortFunc(calls, func(a, b call) int { return cmp.Compare(a.nr, b.nr) })
	return calls, nil
}

// goNames is a Go constant of words NUMBER=NAME.
func goNames(calls []call) []byte {
	var b bytes.Buffer
	fmt.Fprint(&b, "// SPDX-License-Identifier: Apache-2.0\n\npackage calltrace\n\n// nameText is made from guest/sys/*.def by `make docs`; do not edit.\nconst nameText = `")
	for i, c := range calls {
		if i%8 == 0 {
			b.WriteByte('\n')
		} else {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d=%s", c.nr, c.name)
	}
	b.WriteString("`\n")
	return b.Bytes()
}

func page(calls []call) []byte {
	count := map[string]int{}
	for _, c := range calls {
		count[c.state]++
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `# System calls

Made from guest/sys/*.def by `+"`make docs`"+`; do not edit.

%d calls are there in full and %d in part. What a partial call cannot honour fails with the error that Linux gives. Any other
call returns ENOSYS and is logged once, by name where the table has one; the ones marked probed are not logged, since programs
try them and do without.

| number | call | state | what is missing |
|---|---|---|---|
`, count["FULL"], count["PARTIAL"])
	for _, c := range calls {
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", c.nr, c.name, strings.ToLower(c.state), strings.ReplaceAll(strings.ReplaceAll(c.no, `\"`, `"`), "|", `\|`))
	}
	return b.Bytes()
}
