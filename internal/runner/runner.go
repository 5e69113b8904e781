// SPDX-License-Identifier: Apache-2.0

// Package runner runs one program in one fresh unikernel, as if it were a plain process: it is "unifaas run".
package runner

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/layermem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/tender"
	"unifaas.dev/internal/units"
)

// Options says what to run, and with what.
type Options struct {
	Monitor string
	Memory  int64
	Env     []string // K=V
	Root    string   // image file; empty: Program is a file of the host
	Program string
	Args    []string // argv, Args[0] included
	Egress  []string // rules: where the program may connect to
	Timing  bool
	Strace  bool
	Libos   []byte
	Exe     string // of the tender, for tests

	Stdin, Stdout, Stderr *os.File
}

const (
	maxFiles = 20000
	hostname = "unifaas"
)

// CheckEnv says what is wrong with a list of K=V.
func CheckEnv(env []string) error {
	for _, kv := range env {
		if k, _, ok := strings.Cut(kv, "="); !ok || k == "" {
			return fmt.Errorf("%q is not of the form K=V", kv)
		}
		if strings.ContainsRune(kv, 0) {
			return fmt.Errorf("%q has a NUL byte", kv)
		}
	}
	return nil
}

// Run returns the exit status that the shell should see. An error means that the program did not run.
func Run(ctx context.Context, o Options) (int, error) {
	begin := time.Now()
	if err := checkMemory(o.Memory); err != nil {
		return 0, err
	}
	rules, err := egress.Parse(o.Egress)
	if err != nil {
		return 0, err
	}
	o.Memory = o.Memory &^ (2*units.MiB - 1)
	var made time.Duration
	var opened []io.Closer
	defer func() {
		for _, c := range opened {
			c.Close()
		}
	}()
	t, err := tender.Start(ctx, tender.StartOptions{Name: "run", Monitor: o.Monitor, Exe: o.Exe, Libos: o.Libos, Memory: o.Memory,
		Egress: egress.NewPool().Broker(rules),
		Prepare: func(s *tender.StartOptions) error {
			begin := time.Now()
			f, size, b, err := open(&o)
			if err != nil {
				return err
			}
			img := new(layermem.Cache).Get(image.Layer{File: f, Size: size})
			opened = append(opened, f, img)
			s.Layers, s.Boot = []monitor.Layer{{File: img.Layer.File, Size: size}}, b
			made = time.Since(begin)
			return nil
		}})
	if err != nil {
		return 0, err
	}
	defer t.Close()
	signals := relay(t)
	defer signals.stop()
	i, err := t.BootWith(ctx, tender.BootOptions{ID: "run", Hostname: hostname, Stdin: valid(o.Stdin), Stdout: valid(o.Stdout), Stderr: valid(o.Stderr)})
	if err != nil {
		return 0, err
	}
	signals.to(i)
	e := wait(ctx, i)
	report(o.Stderr, e)
	if o.Timing {
		timing(o.Stderr, made, t.SpawnTime(), e, time.Since(begin))
	}
	return e.Code(), nil
}

func checkMemory(n int64) error {
	if n < abi.RAMMin || n > abi.RAMMax {
		return fmt.Errorf("memory %s: give between %s and %s", units.FormatBytes(n), units.FormatBytes(abi.RAMMin), units.FormatBytes(abi.RAMMax))
	}
	return nil
}

// open makes or opens the image, and says how its program is started.
func open(o *Options) (*os.File, int64, monitor.Boot, error) {
	b := monitor.Boot{MaxFiles: maxFiles, OverlayMax: uint64(o.Memory / 2), Flags: flags(o)}
	var f *os.File
	var size int64
	var err error
	if o.Root != "" {
		if f, size, err = openImage(o.Root); err != nil {
			return nil, 0, b, err
		}
		b.Program, b.Args, b.Cwd = o.Program, o.Args, "/"
	} else {
		var m image.Manifest
		if f, size, m, err = image.FromELF(o.Program); err != nil {
			return nil, 0, b, err
		}
		b.Program, b.Args, b.Cwd, b.Env = m.Program, o.Args, m.Cwd, m.Env
	}
	b.Env = environment(b.Env, o.Env)
	if b.Cwd == "" {
		b.Cwd = "/"
	}
	return f, size, b, nil
}

// openImage opens an EROFS file system.
func openImage(name string) (*os.File, int64, error) {
	const (
		magicAt = 1024
		magic   = 0xe0f5e1e2
	)
	// O_NONBLOCK: a FIFO named by mistake must not hang here.
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	fi, err := f.Stat()
	switch {
	case err != nil:
	case fi.IsDir():
		err = fmt.Errorf("%s: a folder cannot be the root yet: give an EROFS image, made by mkfs.erofs", name)
	case !fi.Mode().IsRegular():
		err = fmt.Errorf("%s: not a file: give an EROFS image, made by mkfs.erofs", name)
	}
	var head [4]byte
	if err == nil {
		if _, rerr := f.ReadAt(head[:], magicAt); rerr != nil || binary.LittleEndian.Uint32(head[:]) != magic {
			err = fmt.Errorf("%s: not an EROFS image", name)
		}
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, fi.Size(), nil
}

// environment puts variables together: few of them are certain, then those of the image, then those of the caller.
func environment(lists ...[]string) []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	for _, l := range lists {
		for _, kv := range l {
			key, _, _ := strings.Cut(kv, "=")
			found := false
			for i, old := range env {
				if strings.HasPrefix(old, key+"=") {
					env[i], found = kv, true
				}
			}
			if !found {
				env = append(env, kv)
			}
		}
	}
	return env
}

func flags(o *Options) (f uint32) {
	for i, file := range []*os.File{o.Stdin, o.Stdout, o.Stderr} {
		if file == nil {
			continue
		}
		if _, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS); err == nil {
			f |= abi.BootStdinTTY << i
		}
	}
	if o.Strace {
		f |= abi.BootStrace
	}
	return f
}

// valid is nil for a stream that the caller has closed.
func valid(f *os.File) *os.File {
	if f == nil {
		return nil
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil {
		return nil
	}
	return f
}

func wait(ctx context.Context, i *tender.Instance) tender.Exit {
	select {
	case <-i.Done():
	case <-ctx.Done():
		i.Kill("given up")
	}
	return i.Exit()
}

// report tells of an end that the exit status alone does not explain.
func report(w io.Writer, e tender.Exit) {
	switch e.Kind {
	case tender.Exited:
		return
	case tender.Signaled:
		if !crashed(e.Status & 0x7f) {
			return
		}
		fmt.Fprintf(w, "unifaas: the program crashed: %s\n", e.Reason)
	default:
		fmt.Fprintf(w, "unifaas: the program was ended: %s\n", e.Reason)
	}
	text := strings.Trim(printable(e.Report), "\n")
	text = strings.TrimPrefix(text, e.Reason) // said already
	if text = strings.TrimLeft(text, "\n"); text != "" {
		fmt.Fprintln(w, text)
	}
}

// crashed tells signals that mean a bug from those that someone sent.
func crashed(signo int) bool {
	switch unix.Signal(signo) {
	case unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGABRT, unix.SIGTRAP, unix.SIGSYS:
		return true
	}
	return false
}

// printable keeps a guest's report from playing with the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if (r < ' ' && r != '\n' && r != '\t') || r == 0x7f {
			return '.'
		}
		return r
	}, s)
}

func timing(w io.Writer, img, spawn time.Duration, e tender.Exit, total time.Duration) {
	t := e.Timing
	for _, row := range []struct {
		what string
		d    time.Duration
	}{
		{"image made", img}, {"tender started", spawn}, {"sandbox made", t.VM}, {"guest entered", t.Enter}, {"library OS booted", t.Boot},
		{"program loaded", t.Program}, {"program listened", t.Listen}, {"program ran", t.Run}, {"in all", total},
	} {
		if row.d > 0 {
			fmt.Fprintf(w, "unifaas: %-18s %9.3f ms\n", row.what, float64(row.d)/float64(time.Millisecond))
		}
	}
}
