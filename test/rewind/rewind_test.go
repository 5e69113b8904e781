// SPDX-License-Identifier: Apache-2.0

package rewind

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/build"
	"unifaas.dev/internal/layermem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/kvm"
	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/snapshot/state"
	"unifaas.dev/internal/testkit"
)

// function is one from examples/, and its snapshot.
type function struct {
	t  *testing.T
	m  *kvm.Monitor
	c  monitor.Config
	im *state.Image
}

func memfd(t *testing.T) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("state", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "state")
	t.Cleanup(func() { f.Close() })
	return f
}

// newFunction builds, boots and takes the snapshot.
func newFunction(t *testing.T, source string, memory int64) *function {
	t.Helper()
	testkit.NeedKVM(t)
	libos, err := os.ReadFile(testkit.Built(t, "guest/libos.elf", "libos"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := image.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := build.Image(t.Context(), s, source, "function", build.Options{}); err != nil {
		t.Fatal(err)
	}
	layers, man, err := s.Open("function")
	if err != nil {
		t.Fatal(err)
	}
	f := &function{t: t, m: &kvm.Monitor{}, c: monitor.Config{Memory: memory, Libos: libos}}
	t.Cleanup(func() { f.m.Close() })
	for _, l := range layers {
		in, err := layermem.Load(l)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.File.Close() })
		f.c.Layers = append(f.c.Layers, monitor.Layer{File: in.File, Size: in.Size})
	}
	image.CloseLayers(layers)
	f.c.Boot = monitor.Boot{Program: man.Program, Args: man.Args, Env: append(man.Env, "PORT=8080"), Cwd: man.Cwd, Hostname: "first", UID: man.UID, GID: man.GID, MaxFiles: 1024, OverlayMax: 64 << 20}

	g := f.shell()
	g.put(abi.MsgEOF, abi.ConnStdin, 0, nil)
	g.run("initialisation", func() bool { return g.ready })
	sink := memfd(t)
	begun := time.Now()
	info, err := state.Capture(sink, g.sb, f.c.Layers, snapshot.Meta{Key: f.key(g), Link: g.link(), Mono: monotonic()})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("snapshot: %+v in %v", info, time.Since(begun))
	if _, _, err := snapshot.Check(sink); err != nil {
		t.Fatal(err)
	}
	if f.im, err = state.Open(sink, f.key(g), f.c.Layers); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.im.Close() })
	if out := g.call("/first", "goes on"); !isCall(out, 1) {
		t.Fatalf("after its snapshot it answers %q", out)
	}
	return f
}

func (f *function) key(g *guest) snapshot.Key {
	return snapshot.Key{ABI: abi.Version, Features: g.sb.Features(), Memory: f.c.Memory, Layers: make([][32]byte, len(f.c.Layers))}
}

// shell is a sandbox that never ran.
func (f *function) shell() *guest {
	f.t.Helper()
	sb, err := f.m.Create(f.c)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := sb.Populate(32 << 20); err != nil {
		f.t.Fatal(err)
	}
	return newGuest(f.t, sb)
}

// fill makes a shell an instance, which has not run yet.
func (f *function) fill() *guest {
	f.t.Helper()
	g := f.shell()
	begun := time.Now()
	if err := f.im.Fill(g.sb); err != nil {
		f.t.Fatal(err)
	}
	f.t.Logf("filled in %v", time.Since(begun))
	g.port, g.next = 8080, f.im.Meta().Link.Next
	return g
}

func (f *function) clone() *guest {
	g := f.fill()
	g.restore(abi.RestoreClone, f.im.Meta().Link, nil, 1)
	return g
}

// isCall says whether an answer is that to call n of its instance; Go's example does not count them.
func isCall(out string, n int) bool {
	if !strings.HasPrefix(out, "HTTP/1.1 200 OK\r\n") {
		return false
	}
	return !strings.Contains(out, "\r\nX-Calls: ") || strings.Contains(out, fmt.Sprintf("\r\nX-Calls: %d\r\n", n))
}

// example is a function of examples/.
type example struct {
	memory int64
	path   string // in the repository
	made   bool   // by make
}

func (e example) source(t *testing.T) string {
	t.Helper()
	if e.made {
		return testkit.Built(t, e.path, "examples")
	}
	return filepath.Join(testkit.Root(t), e.path)
}

func examples() map[string]example {
	return map[string]example{
		"c":      {64 << 20, "build/examples/c-hello", true},
		"go":     {64 << 20, "build/examples/go-hello", true},
		"python": {128 << 20, "examples/python-hello", false},
		"node":   {256 << 20, "examples/node-hello", false},
	}
}

// TestRewind: after any requests, memory and vCPU are those of the snapshot, byte for byte, page tables once the guest has stored what
// it is given; nothing of a request is left anywhere; and the instance answers as if it were its first request.
func TestRewind(t *testing.T) {
	for name, e := range examples() {
		t.Run(name, func(t *testing.T) {
			f := newFunction(t, e.source(t), e.memory)
			want := memory(t, f.fill().sb)
			g := f.fill()
			rw, err := state.NewRewinder(f.im, g.sb)
			if err != nil {
				t.Fatal(err)
			}
			link := f.im.Meta().Link
			g.restore(abi.RestoreClone, link, nil, 1)
			r := rand.New(rand.NewPCG(1, 2))
			for round := range 12 {
				secret := fmt.Sprintf("secret%d-%d", round, r.Uint64())
				for n := range 1 + r.IntN(3) {
					if out := g.call("/x", secret); !isCall(out, n+1) {
						t.Fatalf("request %d of round %d: %q", n+1, round, out)
					}
				}
				if round%3 == 2 { // in the middle of a request, too
					g.send("/y", secret)
					_, err := g.sb.Run()
					if err != nil {
						t.Fatal(err)
					}
				}
				begun := time.Now()
				res, err := rw.Rewind()
				took := time.Since(begun)
				if err != nil {
					t.Fatal(err)
				}
				if round > 8 {
					t.Logf("rewound: %d pages, %d entries, forgot %v in %v", res.Pages, len(res.Entries), res.Forgot, took)
				}
				got := stored(memory(t, g.sb), res.Entries)
				if at := different(got, want); at >= 0 {
					t.Fatalf("round %d: memory differs at 0x%x", round, at)
				}
				shared := make([]byte, g.sb.Shared().Size())
				if err := g.sb.Shared().ReadAt(shared, 0); err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(got, []byte(secret)) || bytes.Contains(shared, []byte(secret)) {
					t.Fatalf("round %d: the secret is still there", round)
				}
				if cpu, err := g.sb.SaveCPU(); err != nil || !bytes.Equal(cpu, f.im.Meta().CPU) {
					t.Fatalf("round %d: another vCPU, %v", round, err)
				}
				g.next = link.Next
				g.restore(abi.RestoreRewind, link, res.Entries, uint64(round+2))
			}
		})
	}
}

func different(a, b []byte) int {
	for at := 0; at < len(a); at += 4096 {
		if !bytes.Equal(a[at:at+4096], b[at:at+4096]) {
			for i := range 4096 {
				if a[at+i] != b[at+i] {
					return at + i
				}
			}
		}
	}
	return -1
}

// TestPark: what is parked after some requests goes on with its state in another sandbox, a fresh one or one where instances ran before.
func TestPark(t *testing.T) {
	for name, e := range examples() {
		t.Run(name, func(t *testing.T) {
			f := newFunction(t, e.source(t), e.memory)
			g := f.clone()
			var used *guest
			for n := range 7 {
				begun := time.Now()
				if out := g.call("/x", "body"); !isCall(out, n+1) {
					t.Fatalf("request %d: %q", n+1, out)
				}
				took := time.Since(begun)
				sink := memfd(t)
				begun = time.Now()
				size, err := f.im.Delta(g.sb, g.link(), sink)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("answered in %v, parked: %d bytes in %v", took, size, time.Since(begun))
				want := memory(t, g.sb)
				var h *guest
				var m snapshot.Meta
				var entries []abi.Entry
				if n%2 == 0 {
					h = f.fill()
					m, err = f.im.Apply(h.sb, sink, 0, size)
				} else {
					h = used
					if _, err := f.im.Recycle(h.sb); err != nil {
						t.Fatal(err)
					}
					m, entries, err = f.im.ApplyAgain(h.sb, sink, 0, size)
					t.Logf("again: %d entries", len(entries))
				}
				if err != nil {
					t.Fatal(err)
				}
				if at := different(stored(memory(t, h.sb), entries), want); at >= 0 {
					t.Fatalf("memory differs at 0x%x", at)
				}
				h.next = m.Link.Next
				h.restore(abi.RestoreWake, m.Link, entries, uint64(n+2))
				g, used = h, g
			}
		})
	}
}

// stored is memory once the guest has stored these entries.
func stored(m []byte, entries []abi.Entry) []byte {
	for _, e := range entries {
		binary.LittleEndian.PutUint64(m[e.PA:], e.Value)
	}
	return m
}

// TestThin: an instance whose memory was given back as far as the snapshot has it goes on, again and again, and can be put back.
func TestThin(t *testing.T) {
	for name, e := range examples() {
		t.Run(name, func(t *testing.T) {
			f := newFunction(t, e.source(t), e.memory)
			want := memory(t, f.fill().sb)
			g := f.fill()
			rw, err := state.NewRewinder(f.im, g.sb)
			if err != nil {
				t.Fatal(err)
			}
			link := f.im.Meta().Link
			g.restore(abi.RestoreClone, link, nil, 1)
			for round := range 4 {
				for n := range 3 {
					before := time.Now()
					if out := g.call("/x", "body"); !isCall(out, n+1) {
						t.Fatalf("request %d of round %d: %q", n+1, round, out)
					}
					took := time.Since(before)
					var m []byte
					if round > 0 { // to read all of it makes zeros present
						m = memory(t, g.sb)
					}
					before = time.Now()
					pages, err := f.im.Thin(g.sb)
					if err != nil {
						t.Fatal(err)
					}
					t.Logf("request %v; given back %d pages in %v, %d KiB stay", took, pages, time.Since(before), private(t, g.sb)>>10)
					if m == nil {
						if own := private(t, g.sb); own > 4<<20 {
							t.Errorf("%d bytes are the instance's own after request %d", own, n+1)
						}
					} else if at := different(memory(t, g.sb), m); at >= 0 {
						t.Fatalf("memory differs at 0x%x", at)
					}
				}
				res, err := rw.Rewind()
				if err != nil {
					t.Fatal(err)
				}
				got := stored(memory(t, g.sb), res.Entries)
				if at := different(got, want); at >= 0 {
					t.Fatalf("round %d: memory differs at 0x%x", round, at)
				}
				g.next = link.Next
				g.restore(abi.RestoreRewind, link, res.Entries, uint64(round+2))
			}
		})
	}
}

// private is the memory behind a sandbox that is not its image's.
func private(t *testing.T, sb monitor.Stateful) (n int64) {
	t.Helper()
	p, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, a := range []*guestmem.Area{sb.RAM(), sb.Shared()} {
		b := make([]byte, a.Size()/4096*8)
		if _, err := p.ReadAt(b, int64(a.HostAddr()/4096*8)); err != nil {
			t.Fatal(err)
		}
		for ; len(b) > 0; b = b[8:] {
			const present, file = 1 << 63, 1 << 61
			if v := binary.LittleEndian.Uint64(b); v&present != 0 && v&file == 0 {
				n += 4096
			}
		}
	}
	return n
}
