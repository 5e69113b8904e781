// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"runtime"
	"testing"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/monitortest"
)

// benchConfig is a sandbox whose guest rings, idles, rings and ends.
func benchConfig(b *testing.B) monitor.Config {
	b.Helper()
	libos := monitortest.Guest(b)
	return monitor.Config{Memory: 256 << 20, Libos: libos, Boot: monitor.Boot{Program: "/x", UID: 1}}
}

func newBench(b *testing.B) *Monitor {
	b.Helper()
	m := &Monitor{}
	if err := m.Probe(); err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() { m.Close() })
	runtime.LockOSThread()
	b.Cleanup(runtime.UnlockOSThread)
	return m
}

// BenchmarkCreate is a virtual machine made and freed, without entering it.
func BenchmarkCreate(b *testing.B) {
	m, c := newBench(b), benchConfig(b)
	for b.Loop() {
		s, err := m.Create(c)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

// BenchmarkFirstExit adds the first instructions of the guest, up to its first doorbell.
func BenchmarkFirstExit(b *testing.B) {
	m, c := newBench(b), benchConfig(b)
	for b.Loop() {
		s, err := m.Create(c)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Run(); err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

// BenchmarkDoorbell is one exit to the monitor and back.
func BenchmarkDoorbell(b *testing.B) {
	m, c := newBench(b), benchConfig(b)
	c.Boot.UID = 12 // rings for ever
	s, err := m.Create(c)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if _, err := s.Run(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRefreshClock(b *testing.B) {
	m, c := newBench(b), benchConfig(b)
	s, err := m.Create(c)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		s.RefreshClock()
	}
}
