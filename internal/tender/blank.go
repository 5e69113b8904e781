// SPDX-License-Identifier: Apache-2.0

package tender

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/tender/wire"
)

// Blank is a tender process of which no function is known yet: its monitor is open, and a sandbox is there.
type Blank struct {
	t      *Tender
	memory int64
	ready  chan struct{} // closed when it is prepared, or gone
}

// BlankOptions says what a Blank consists of.
type BlankOptions struct {
	Monitor string
	Exe     string
	Libos   []byte
	Memory  int64 // of the sandbox
}

// Prepare starts a process and returns when it has been told what to make ready; Ready is closed when that is done.
func Prepare(o BlankOptions) (*Blank, error) {
	proc, conn, err := spawn(o.Exe, "")
	if err != nil {
		return nil, fmt.Errorf("start a tender: %w", err)
	}
	b := &Blank{t: newTender(StartOptions{Monitor: o.Monitor, Exe: o.Exe}, conn, proc), memory: o.Memory, ready: make(chan struct{})}
	libos, err := wire.MemFD("libos", o.Libos)
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("start a tender: %w", err)
	}
	defer unix.Close(libos)
	m := &wire.Prepare{Monitor: o.Monitor, Memory: o.Memory, LibosSize: int64(len(o.Libos))}
	fds := []int{libos}
	if kvm, err := unix.Open("/dev/kvm", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		m.HasKVM = true
		fds = append(fds, kvm)
		defer unix.Close(kvm)
	}
	if err := b.t.send(m, fds...); err != nil {
		b.Close()
		return nil, err
	}
	go b.wait()
	return b, nil
}

func (b *Blank) wait() {
	defer close(b.ready)
	watch := b.t.expect("make itself ready", b.t.done)
	defer watch.Stop()
	select {
	case m := <-b.t.prepared:
		if m.Error != "" {
			b.t.fail(errors.New(m.Error))
		}
	case <-b.t.done:
	}
}

// Ready is closed when the tender is as ready as it gets.
func (b *Blank) Ready() <-chan struct{} { return b.ready }

// Memory is the size of the sandbox that it has ready.
func (b *Blank) Memory() int64 { return b.memory }

// PID is the process's.
func (b *Blank) PID() int { return b.t.PID() }

// Done is closed when the process is gone.
func (b *Blank) Done() <-chan struct{} { return b.t.done }

// Close ends the process. Preconditions: Start was not given it.
func (b *Blank) Close() error { return b.t.Close() }

// adopt makes the tender that o describes of it; nil: it is gone, or not what o wants.
func (b *Blank) adopt(o StartOptions) *Tender {
	if b == nil {
		return nil
	}
	t := b.t
	t.mu.Lock()
	fits := t.o.Monitor == o.Monitor && t.o.Exe == o.Exe
	if fits {
		t.o = o
	}
	t.mu.Unlock()
	if !fits || t.gone() {
		b.Close()
		return nil
	}
	t.blank = true
	return t
}

// gone reports whether the process has ended.
func (t *Tender) gone() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// begin gives the process that Start works with: the blank one, or a new one.
func begin(o StartOptions) (*Tender, error) {
	if t := o.Blank.adopt(o.complete()); t != nil {
		return t, nil
	}
	proc, conn, err := spawn(o.Exe, o.Name)
	if err != nil {
		return nil, fmt.Errorf("start a tender: %w", err)
	}
	return newTender(o, conn, proc), nil
}

// complete fills in defaults.
func (o StartOptions) complete() StartOptions {
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	return o
}
