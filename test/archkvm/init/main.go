// SPDX-License-Identifier: Apache-2.0

// Command init is the first process of the emulated machine: it loads KVM, runs one command and powers off.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	status, err := run()
	if err != nil {
		fmt.Println("archkvm:", err)
		status = 125
	}
	fmt.Printf("\narchkvm: exit %d\n", status)
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() (int, error) {
	for _, m := range []struct{ fs, dir string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"}, {"tmpfs", "/dev/shm"}} {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return 0, err
		}
		if err := unix.Mount(m.fs, m.dir, m.fs, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return 0, fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	for _, l := range []struct{ to, name string }{{"/proc/self/fd", "fd"}, {"fd/0", "stdin"}, {"fd/1", "stdout"}, {"fd/2", "stderr"}} {
		if err := os.Symlink(l.to, "/dev/"+l.name); err != nil {
			return 0, err
		}
	}
	for _, f := range list("/etc/modules") {
		if err := load(f); err != nil {
			return 0, fmt.Errorf("load %s: %w", f, err)
		}
	}
	if err := loopback(); err != nil {
		return 0, fmt.Errorf("set lo up: %w", err)
	}
	argv := list("/etc/command")
	if len(argv) == 0 {
		return 0, errors.New("no command")
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append([]string{"PATH=/bin", "HOME=/", "TMPDIR=/tmp"}, list("/etc/env")...)
	if dir := list("/etc/dir"); len(dir) == 1 {
		cmd.Dir = dir[0]
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// loopback gives programs the one network interface that every Linux has.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}

// list reads a file of NUL-separated strings.
func list(file string) []string {
	b, err := os.ReadFile(file)
	if err != nil || len(b) == 0 {
		return nil
	}
	return strings.Split(string(b), "\x00")
}

func load(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}
