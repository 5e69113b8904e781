// SPDX-License-Identifier: Apache-2.0

// Package runner runs one program in one fresh unikernel, as if it were a plain process: it is "unifaas run".
package runner

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
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
	Root    string   // folder or image file
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
	s := setup{o: &o}
	defer s.close()
	t, err := tender.Start(ctx, tender.StartOptions{Name: "run", Monitor: o.Monitor, Exe: o.Exe, Libos: o.Libos, Memory: o.Memory,
		Egress: egress.NewPool().Broker(rules), Prepare: s.prepare})
	if err != nil {
		return 0, err
	}
	defer t.Close()
	tty := openTerminal(&o)
	defer tty.restore()
	signals := relay(t, tty)
	defer signals.stop()
	i, err := t.BootWith(ctx, tender.BootOptions{ID: "run", Hostname: hostname, Stdin: valid(o.Stdin), Stdout: valid(o.Stdout), Stderr: valid(o.Stderr)})
	if err != nil {
		return 0, err
	}
	signals.to(i)
	e := wait(ctx, i)
	report(o.Stderr, e)
	if o.Timing {
		timing(o.Stderr, s.took, t.SpawnTime(), e, time.Since(begin))
	}
	return lost(o.Stderr, e), nil
}

// lost is the exit status of a program, but for one that has ended well while its output did not arrive: it was told too late, or never.
func lost(w io.Writer, e tender.Exit) int {
	code := e.Code()
	for i, stream := range []string{"output", "error"} {
		if errno := e.Lost[i]; errno != 0 {
			fmt.Fprintf(w, "unifaas: standard %s: %v: what the program wrote is not complete\n", stream, errno)
			code = max(code, 1)
		}
	}
	return code
}

func checkMemory(n int64) error {
	if n < abi.RAMMin || n > abi.RAMMax {
		return fmt.Errorf("memory %s: give between %s and %s", units.FormatBytes(n), units.FormatBytes(abi.RAMMin), units.FormatBytes(abi.RAMMax))
	}
	return nil
}

// smallLayer is up to which size a layer is not worth a huge page.
const smallLayer = 128 << 10

// setup makes what a tender starts from.
type setup struct {
	o      *Options
	took   time.Duration
	opened []io.Closer // until the end; last first
}

func (s *setup) close() {
	for _, c := range slices.Backward(s.opened) {
		c.Close()
	}
}

// prepare fills in root folder, program and the rest while the tender process starts.
func (s *setup) prepare(to *tender.StartOptions) error {
	begin := time.Now()
	o := s.o
	b := monitor.Boot{Program: o.Program, Args: o.Args, Cwd: "/", MaxFiles: maxFiles, OverlayMax: uint64(o.Memory / 2), Flags: flags(o)}
	var terminal []string
	if term := os.Getenv("TERM"); term != "" && b.Flags&abi.BootStdoutTTY != 0 {
		terminal = []string{"TERM=" + term}
	}
	b.Env = environment(image.DefaultEnv(), terminal, o.Env)
	to.Boot = b
	fi, err := os.Stat(o.Root)
	if err == nil && fi.IsDir() {
		err = s.folder(to)
	} else {
		err = s.image(to)
	}
	s.took = time.Since(begin)
	return err
}

// image has the root folder in an image.
func (s *setup) image(to *tender.StartOptions) error {
	f, size, err := openImage(s.o.Root)
	if err != nil {
		return err
	}
	s.layer(to, f, size)
	return nil
}

// folder has the root folder on the host.
func (s *setup) folder(to *tender.StartOptions) error {
	root, err := openFolder(s.o.Root)
	if err != nil {
		return err
	}
	s.opened = append(s.opened, root)
	g, err := root.find(s.o.Program, to.Boot.Env)
	if err != nil {
		return err
	}
	s.opened = append(s.opened, g.file)
	to.Boot.Program, to.Boot.Cwd = g.path, root.cwd
	f, size, err := root.layer(g)
	if err != nil {
		return err
	}
	if f != nil {
		if g.elf != nil {
			to.Boot.Program = g.real // a script hears its name as it was given
		}
		s.layer(to, f, size)
	}
	served, err := root.serve()
	if err != nil {
		return err
	}
	s.opened = append(s.opened, served)
	to.Files = served
	return nil
}

// layer adds a layer above those there are. It takes over f.
func (s *setup) layer(to *tender.StartOptions, f *os.File, size int64) {
	held := f
	if size > smallLayer {
		ref := new(layermem.Cache).Get(image.Layer{File: f, Size: size})
		s.opened = append(s.opened, ref)
		held = ref.Layer.File
	}
	if held == f {
		s.opened = append(s.opened, f)
	} else {
		f.Close() // one copy is enough
	}
	to.Layers = append(to.Layers, monitor.Layer{File: held, Size: size})
}

// environment puts variables together; later ones win.
func environment(lists ...[]string) []string {
	var env []string
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
