// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
)

// fake is a sandbox without a vCPU; who writes its RAM in place of a guest says so with touch.
type fake struct {
	monitor.Sandbox
	ram, shared *guestmem.Area
	cpu         []byte
	tracking    bool
	written     []uint64
	forgot      int
}

func newFake(t testing.TB, memory uint64) *fake {
	t.Helper()
	ram, err := guestmem.New(abi.RAMGPA, memory)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := guestmem.New(abi.SharedGPA, abi.SharedSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ram.Close(); shared.Close() })
	return &fake{ram: ram, shared: shared, cpu: []byte("fresh"), written: make([]uint64, memory/pageSize/64)}
}

func (f *fake) Shared() *guestmem.Area   { return f.shared }
func (f *fake) RAM() *guestmem.Area      { return f.ram }
func (f *fake) SaveCPU() ([]byte, error) { return bytes.Clone(f.cpu), nil }
func (f *fake) Features() string         { return "fake" }
func (f *fake) LoadCPU(p []byte) error   { f.cpu = bytes.Clone(p); return nil }
func (f *fake) RunAt(uint64)             {}
func (f *fake) MonoOffset() uint64       { return 1 << 40 }
func (f *fake) Track() error             { f.tracking = true; return nil }
func (f *fake) ForgetTables() error      { f.forgot++; return nil }

func (f *fake) Written(bits []uint64) error {
	if !f.tracking || len(bits) != len(f.written) {
		return errors.New("not tracking")
	}
	copy(bits, f.written)
	return nil
}

func (f *fake) Untouch(bits []uint64) error {
	for i, w := range bits {
		f.written[i] &^= w
	}
	return nil
}

// write is a write of the guest.
func (f *fake) write(t testing.TB, off uint64, p []byte) {
	t.Helper()
	if err := f.ram.WriteAt(p, off); err != nil {
		t.Fatal(err)
	}
	if f.tracking && len(p) > 0 {
		for n := off / pageSize; n <= (off+uint64(len(p))-1)/pageSize; n++ {
			f.written[n/64] |= 1 << (n % 64)
		}
	}
}

// store writes the entries that a rewind gave, as the guest does.
func (f *fake) store(t testing.TB, entries []abi.Entry) {
	t.Helper()
	for _, e := range entries {
		if e.PA < abi.TablesPA || e.PA >= abi.TablesEnd {
			t.Errorf("entry at 0x%x", e.PA)
		}
		f.write(t, e.PA, le.AppendUint64(nil, e.Value))
	}
}

// all is the whole of an area.
func all(t testing.TB, a *guestmem.Area) []byte {
	t.Helper()
	b := make([]byte, a.Size())
	if err := a.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// state is what has to be equal: RAM, CPU, and the shared area but for the clock, the seed and its number, and the rings' bytes.
func (f *fake) state(t testing.TB) []byte {
	t.Helper()
	s := all(t, f.shared)[:abi.RxOff]
	clear(s[:seedEnd])
	clear(s[abi.ClockOff:clockEnd])
	return append(append(all(t, f.ram), s...), f.cpu...)
}

func memfd(t testing.TB) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "test")
	t.Cleanup(func() { f.Close() })
	return f
}

const testMemory = 16 << 20

func testKey() snapshot.Key {
	return snapshot.Key{Libos: [32]byte{1}, ABI: abi.Version, Features: "fake", Memory: testMemory, Program: [32]byte{2}}
}

// scribble is what a guest may do: pages zeroed, filled, changed here and there; somewhere in RAM and in the shared area.
func (f *fake) scribble(t testing.TB, r *rand.Rand, times int) {
	t.Helper()
	for range times {
		page := uint64(r.IntN(testMemory / pageSize))
		b := make([]byte, pageSize)
		switch r.IntN(4) {
		case 0:
		case 1:
			for i := 0; i < pageSize; i += 8 {
				le.PutUint64(b[i:], r.Uint64())
			}
		default:
			if err := f.ram.ReadAt(b, page*pageSize); err != nil {
				t.Fatal(err)
			}
			for range 1 + r.IntN(20) {
				b[r.IntN(pageSize)] = byte(r.Uint32())
			}
		}
		f.write(t, page*pageSize, b[:1+r.IntN(pageSize)])
	}
	for range r.IntN(20) {
		off := seedEnd + uint64(r.IntN(int(abi.RxOff-seedEnd)))
		if off >= abi.CtlTablesOut && off < abi.CtlRxHead+256 {
			continue
		}
		if err := f.shared.WriteAt([]byte{byte(r.Uint32())}, off); err != nil {
			t.Fatal(err)
		}
	}
	f.cpu = []byte{byte(r.Uint32()), 1, 2, 3}
}
