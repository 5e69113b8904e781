// SPDX-License-Identifier: Apache-2.0

// Package sdk is what a function written in Go can know and say about snapshots of itself: when it is initialised, that it was restored,
// and random numbers that no other instance of the same snapshot has. It uses nothing but the standard library, and outside of UniFaaS all of
// it does nothing, or what the standard library does.
//
// crypto/rand asks the kernel and needs no help. The functions of math/rand and math/rand/v2 without a generator of one's own take numbers
// from the Go runtime, which is seeded when the process starts and cannot be seeded again: every instance of one snapshot gets the same ones.
// Rand stands for them.
package sdk

import (
	"os"
	"sync"
	"sync/atomic"
)

// state is what the process knows of its restores.
type state struct {
	once sync.Once
	dev  *device // nil outside of UniFaaS

	mu    sync.Mutex // held while hooks run
	alive *uint32    // a word of a page that the kernel wipes in each copy; 0: hooks are due
	hooks []func(generation uint64)
	heard bool // the goroutine that waits for restores runs
}

var own state

func (s *state) device() *device {
	s.once.Do(func() {
		if s.dev = openDevice(); s.dev != nil {
			if s.alive = wipedWord(); s.alive != nil {
				atomic.StoreUint32(s.alive, 1)
			}
		}
	})
	return s.dev
}

// Ready says that the program is initialised. With UNIFAAS_SNAPSHOT=manual the snapshot is taken when it next waits for a request.
func Ready() error {
	d := own.device()
	if d == nil {
		return nil
	}
	_, err := d.file.Write([]byte("ready\n"))
	return err
}

// Generation is a number that tells this restore from all others, of all instances; 0 in one that booted. Hooks that are due have run when it
// returns.
func Generation() uint64 {
	Check()
	d := own.device()
	if d == nil {
		return 0
	}
	n, _ := d.generation()
	return n
}

// AfterRestore has a function called after each restore, in a goroutine of its own or in that of whoever calls Check or Generation first. What has
// to come before a request is handled is certain only by Check, which Handler calls.
func AfterRestore(f func(generation uint64)) {
	d := own.device()
	if d == nil {
		return
	}
	own.mu.Lock()
	defer own.mu.Unlock()
	own.hooks = append(own.hooks, f)
	if !own.heard {
		own.heard = true
		go own.wait()
	}
}

// wait is told by the device.
func (s *state) wait() {
	f, err := os.OpenFile(devicePath, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	for b := make([]byte, 64); ; {
		if _, err := f.Read(b); err != nil {
			return
		}
		s.check()
	}
}

// Check runs the hooks if the instance was restored and they did not run yet; it returns when they have. Otherwise it is one load of memory. A
// hook must not call it.
func Check() {
	if own.device() != nil {
		own.check()
	}
}

func (s *state) check() {
	if s.alive == nil || atomic.LoadUint32(s.alive) != 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if atomic.LoadUint32(s.alive) != 0 {
		return
	}
	n, _ := s.dev.generation()
	for _, f := range s.hooks {
		f(n)
	}
	atomic.StoreUint32(s.alive, 1)
}
