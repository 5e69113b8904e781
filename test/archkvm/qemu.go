// SPDX-License-Identifier: Apache-2.0

package archkvm

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Machine is one run of the emulated machine.
type Machine struct {
	Files   map[string]File // besides init and the modules
	Command []string        // what to run; its path is one of Files
	Env     []string
	Dir     string    // working directory, absolute; empty: the root
	Memory  int       // MiB, 0: 1024
	Watch   io.Writer // if not nil, gets what the machine prints as it comes
}

// exitLine is what init prints last.
const exitLine = "archkvm: exit "

// Run boots, runs the command as root with /dev/kvm, /proc and /tmp, and returns its output and exit status.
func Run(ctx context.Context, k *Kernel, initBinary string, m Machine) (string, int, error) {
	dir, err := os.MkdirTemp("", "archkvm")
	if err != nil {
		return "", 0, err
	}
	defer os.RemoveAll(dir)
	initramfs := filepath.Join(dir, "initramfs")
	if err := m.build(k, initBinary, initramfs); err != nil {
		return "", 0, err
	}
	memory := m.Memory
	if memory == 0 {
		memory = 1024
	}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "EPYC-Rome,+svm,+pku,+fsgsbase",
		"-m", strconv.Itoa(memory), "-kernel", k.Image, "-initrd", initramfs, "-append", "console=ttyS0 panic=-1 quiet",
		"-display", "none", "-no-reboot", "-nodefaults", "-serial", "stdio")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if m.Watch != nil {
		both := io.MultiWriter(&out, m.Watch) // one value: both come through one pipe, in order
		cmd.Stdout, cmd.Stderr = both, both
	}
	runErr := cmd.Run()
	text, status, ended := parseOutput(out.Bytes())
	switch {
	case ctx.Err() != nil:
		return text, 0, fmt.Errorf("the emulated machine did not end in time: %w", ctx.Err())
	case runErr != nil:
		return text, 0, fmt.Errorf("qemu-system-x86_64: %w", runErr)
	case !ended:
		return text, 0, fmt.Errorf("the emulated machine stopped before the command had ended")
	}
	return text, status, nil
}

// build writes the initial RAM file system.
func (m *Machine) build(k *Kernel, initBinary, file string) error {
	files := map[string]File{
		"init":        {Host: initBinary},
		"etc/command": {Content: []byte(strings.Join(m.Command, "\x00"))},
		"etc/env":     {Content: []byte(strings.Join(m.Env, "\x00"))},
		"etc/dir":     {Content: []byte(m.Dir)},
	}
	var list []string
	for _, mod := range k.Modules {
		name := "modules/" + filepath.Base(mod)
		files[name] = File{Host: mod}
		list = append(list, "/"+name)
	}
	files["etc/modules"] = File{Content: []byte(strings.Join(list, "\x00"))}
	for name, f := range m.Files {
		files[name] = f
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	z, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := writeInitramfs(z, files); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return out.Close()
}

// parseOutput takes init's last line off what came over the serial line.
func parseOutput(b []byte) (text string, status int, ended bool) {
	var lines []string
	sc := bufio.NewScanner(bytes.NewReader(bytes.ReplaceAll(b, []byte("\r"), nil)))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if rest, ok := strings.CutPrefix(sc.Text(), exitLine); ok {
			n, err := strconv.Atoi(rest)
			status, ended = n, err == nil
			continue
		}
		if strings.HasPrefix(sc.Text(), "qemu-system-x86_64: warning: TCG doesn't support") {
			continue // a dozen features of the CPU model that do not matter
		}
		lines = append(lines, sc.Text())
	}
	return strings.Join(lines, "\n"), status, ended
}
