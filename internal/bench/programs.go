// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"unifaas.dev/internal/image/build"
)

// find looks for a program that make builds, or for a folder that an image is made of.
func (o *Options) find(name string) (string, error) {
	for _, d := range o.Programs {
		p := filepath.Join(d, name)
		fi, err := os.Stat(p)
		if err == nil && fi.IsDir() {
			fi, err = os.Stat(filepath.Join(p, build.ConfigFile))
		}
		if err == nil && fi.Mode().IsRegular() {
			return filepath.Abs(p)
		}
	}
	return "", fmt.Errorf("program %s is in none of %s: run make build examples, or say where it is with --programs", name, strings.Join(o.Programs, ", "))
}

// Folders are where the programs are, seen from the command's own place.
func Folders(exe string) []string {
	dir := filepath.Dir(exe)
	return []string{filepath.Join(dir, "../build/bench"), filepath.Join(dir, "../build/examples"), filepath.Join(dir, "bench"), filepath.Join(dir, "../examples")}
}

// line is what a benchmark program prints for each case.
type line struct {
	Case    string  `json:"case"`
	Unit    string  `json:"unit"`
	Samples samples `json:"samples"`
}

// runPrograms measures a program that measures itself, in the guest and as a plain process, turn by turn.
func runPrograms(name string) func(context.Context, *Options) ([]Row, error) {
	return func(ctx context.Context, o *Options) ([]Row, error) {
		prog, err := o.find(name)
		if err != nil {
			return nil, err
		}
		rounds := o.rounds(8, 1)
		var args []string
		if o.Small {
			args = []string{"small"}
		}
		commands := []struct {
			system string
			argv   []string
		}{
			{Process, append([]string{prog}, args...)},
			{KVM, append([]string{o.Exe, "run", "--", prog}, args...)},
		}
		type figure struct {
			unit string
			all  map[string]samples
		}
		figures := map[string]*figure{}
		var order []string
		for i := range rounds {
			o.Progress("round %d of %d", i+1, rounds)
			for _, c := range commands {
				lines, err := runOnce(ctx, c.argv)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", c.system, err)
				}
				for _, l := range lines {
					f := figures[l.Case]
					if f == nil {
						f = &figure{l.Unit, map[string]samples{}}
						figures[l.Case] = f
						order = append(order, l.Case)
					}
					f.all[c.system] = append(f.all[c.system], l.Samples...)
				}
			}
		}
		var rows []Row
		for _, name := range order {
			f := figures[name]
			for _, c := range commands {
				rows = append(rows, f.all[c.system].row(name, c.system, "latency", f.unit))
			}
			rows = append(rows, skipped(name, Runc, "latency", "the same kernel and program as process"))
		}
		return rows, nil
	}
}

func runOnce(ctx context.Context, argv []string) ([]line, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(argv[len(argv)-1]), err, lastLine(stderr.String()))
	}
	var lines []line
	for text := range strings.Lines(string(out)) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.Case == "" || len(l.Samples) == 0 {
			return nil, fmt.Errorf("program printed %q, not a measurement", strings.TrimSpace(text))
		}
		lines = append(lines, l)
	}
	if len(lines) == 0 {
		return nil, errors.New("program printed no measurement")
	}
	return lines, nil
}

func lastLine(s string) string {
	l := strings.Split(strings.TrimSpace(s), "\n")
	return l[len(l)-1]
}
