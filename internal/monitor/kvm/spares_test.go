// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
	"time"

	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/monitortest"
)

// TestSpares: memory of a closed sandbox is in the next one, with nothing in it that was there, and who holds the old one has lost it.
func TestSpares(t *testing.T) {
	m, c := &Monitor{}, monitor.Config{Memory: 32 << 20, Boot: monitor.Boot{Program: "/x", UID: 12}} // rings for ever
	if err := m.Probe(); err != nil {
		t.Skip(err)
	}
	defer m.Close()
	c.Libos = monitortest.Guest(t)
	if err := m.KeepMemory(1); err != nil {
		t.Fatal(err)
	}
	m.host.spares.age = time.Hour
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	create := func() *sandbox {
		t.Helper()
		s, err := m.Create(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s.(*sandbox)
	}
	content := func(s *sandbox) []byte {
		t.Helper()
		b := make([]byte, s.RAM().Size())
		if err := s.RAM().ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := create()
	fresh, ram, at := content(first), first.RAM(), first.RAM().HostAddr()
	if err := first.Populate(8 << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Run(); err != nil {
		t.Fatal(err)
	}
	for off := uint64(0); off < ram.Size(); off += guestmem.PageSize {
		ram.Store64(off, ^off)
	}
	if err := first.Shared().WriteAt(bytes.Repeat([]byte{0xaa}, 1<<20), 0x100000); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ram.ReadAt(make([]byte, 1), 0); !errors.Is(err, guestmem.ErrRange) {
		t.Errorf("memory of a closed sandbox: %v", err)
	}
	second := create()
	if second.RAM().HostAddr() != at {
		t.Error("the memory was not used again")
	}
	if n := second.MemoryUsed(); n != 8<<20 {
		t.Errorf("%d bytes in memory, what was populated are %d", n, 8<<20)
	}
	if !bytes.Equal(content(second), fresh) {
		t.Error("the memory is not as that of a fresh sandbox")
	}
	tail := make([]byte, 1<<20)
	if err := second.Shared().ReadAt(tail, 0x100000); err != nil || !bytes.Equal(tail, make([]byte, 1<<20)) {
		t.Errorf("the shared area is not empty, %v", err)
	}
	if _, err := second.Run(); err != nil {
		t.Fatal(err)
	}
	// With no room, and of another size, it is not.
	third := create()
	second.Close()
	third.Close()
	if n := len(m.host.spares.list); n != 1 {
		t.Errorf("%d kept", n)
	}
	c.Memory = 64 << 20
	fourth := create()
	if n := len(m.host.spares.list); n != 1 || fourth.RAM().Size() != 64<<20 {
		t.Errorf("%d kept, RAM of %d bytes", n, fourth.RAM().Size())
	}
	// Memory that nobody takes is given back.
	m.host.spares.age = time.Millisecond
	if err := m.KeepMemory(2); err != nil {
		t.Fatal(err)
	}
	last := fourth.RAM()
	fourth.Close()
	for spared := 2; spared > 1; time.Sleep(time.Millisecond) {
		m.host.spares.mu.Lock()
		spared = len(m.host.spares.list)
		m.host.spares.mu.Unlock()
	}
	if last.Size() != 0 {
		t.Error("memory of a closed sandbox")
	}
	if err := m.KeepMemory(0); err != nil || len(m.host.spares.list) != 0 {
		t.Errorf("%d kept, %v", len(m.host.spares.list), err)
	}
}
