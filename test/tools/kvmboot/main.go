// SPDX-License-Identifier: Apache-2.0

// Command kvmboot runs one program in a KVM sandbox without a tender: for work on the library OS and the monitor.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"unifaas.dev/abi"
	"unifaas.dev/internal/calltrace"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/layermem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/kvm"
)

type options struct {
	memory  int64
	timeout time.Duration
	strace  bool
	noPatch bool
	stdin   bool
	timing  bool
	preempt time.Duration
	get     string
	root    string
	cwd     string
	env     []string
	uid     uint
	gid     uint
}

func main() {
	o := options{memory: 256}
	flag.Int64Var(&o.memory, "memory", 256, "guest RAM in MiB")
	flag.DurationVar(&o.timeout, "timeout", 10*time.Second, "end the guest with a report after this time; 0: never")
	flag.BoolVar(&o.strace, "strace", false, "log system calls on stderr")
	flag.BoolVar(&o.noPatch, "nopatch", false, "do not patch system call sites")
	flag.BoolVar(&o.stdin, "stdin", false, "pass standard input on; else it is at its end")
	flag.BoolVar(&o.timing, "timing", true, "print timing and counters at the end")
	flag.DurationVar(&o.preempt, "preempt", 10*time.Millisecond, "time slice while more threads can run; 0: none")
	flag.StringVar(&o.get, "get", "", "once the program listens, send GET of this path, print the answer and end")
	flag.StringVar(&o.root, "root", "", "serve this folder as the lowest layer")
	flag.StringVar(&o.cwd, "cwd", "/", "working directory")
	flag.UintVar(&o.uid, "uid", 0, "user id of the program")
	flag.UintVar(&o.gid, "gid", 0, "group id of the program")
	flag.Func("env", "K=V for the program (repeat)", func(s string) error { o.env = append(o.env, s); return nil })
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: kvmboot [flags] LIBOS.elf IMAGE.erofs[,HIGHER.erofs...]|- PROGRAM [ARG...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() < 3 {
		flag.Usage()
		os.Exit(2)
	}
	code, err := run(o, flag.Arg(0), flag.Arg(1), flag.Args()[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "kvmboot:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func config(o options, libos, images string, args []string) (monitor.Config, error) {
	c := monitor.Config{Memory: o.memory << 20}
	var err error
	if c.Libos, err = os.ReadFile(libos); err != nil {
		return c, err
	}
	if images != "-" {
		for name := range strings.SplitSeq(images, ",") {
			f, err := os.Open(name)
			if err != nil {
				return c, err
			}
			st, err := f.Stat()
			if err != nil {
				return c, err
			}
			l, err := layermem.Load(image.Layer{File: f, Size: st.Size()})
			if err != nil {
				return c, err
			}
			f.Close()
			c.Layers = append(c.Layers, monitor.Layer{File: l.File, Size: l.Size})
		}
	}
	c.Boot = monitor.Boot{Program: args[0], Args: args, Env: o.env, Cwd: o.cwd, Hostname: "unikernel", UID: uint32(o.uid), GID: uint32(o.gid), MaxFiles: 1024, OverlayMax: 64 << 20}
	if o.strace {
		c.Boot.Flags |= abi.BootStrace
		c.Boot.Trace = calltrace.Table()
	}
	if o.root != "" {
		c.Boot.Flags |= abi.BootFiles
	}
	if o.noPatch {
		c.Boot.Flags |= abi.BootNoPatch
	}
	return c, nil
}

func run(o options, libos, image string, args []string) (int, error) {
	c, err := config(o, libos, image, args)
	if err != nil {
		return 0, err
	}
	m := &kvm.Monitor{}
	if err := m.Probe(); err != nil {
		return 0, err
	}
	defer m.Close()
	t0 := time.Now()
	s, err := m.Create(c)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	g := newGuest(o, s)
	g.created = time.Since(t0)
	if o.root != "" {
		if g.files, err = openFolder(o.root, s); err != nil {
			return 0, err
		}
		defer g.files.folder.Close()
	}
	e, err := g.loop()
	if err != nil {
		return 0, err
	}
	if o.timing {
		g.printTiming()
		if g.files != nil {
			g.files.print()
		}
	}
	return outcome(e)
}

// outcome is the exit status for the end of a guest.
func outcome(e monitor.Exit) (int, error) {
	if e.Report != "" {
		fmt.Fprintln(os.Stderr, e.Report)
	}
	switch e.Kind {
	case monitor.ExitDone:
		if sig := e.Value & 0x7f; sig != 0 {
			fmt.Fprintf(os.Stderr, "kvmboot: killed by signal %d\n", sig)
			return 128 + int(sig), nil
		}
		return int(e.Value >> 8 & 0xff), nil
	case monitor.ExitPanic:
		return 0, errors.New("the library OS gave up")
	case monitor.ExitOOM:
		return 0, errors.New("out of memory")
	case monitor.ExitKick:
		return 0, errors.New("timeout")
	}
	return 0, errors.New("the guest ended by a fault")
}
