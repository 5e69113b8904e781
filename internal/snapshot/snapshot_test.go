// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
)

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

func sample() *Meta {
	return &Meta{
		Key: Key{Libos: [32]byte{1}, ABI: 3, Features: "kvm", Memory: abi.RAMMin, Layers: [][32]byte{{2}, {3}}, Program: [32]byte{4}},
		CPU: []byte("registers"), Link: Link{RxHead: 0x120, TxTail: 0x10, Next: 17, Ports: []uint16{8080, 9000}, Ahead: 16, AheadPort: 9000, Stdin: 1, Window: [2]uint32{2, 3}, Closed: 4}, Mono: 5, Host: 6,
		Shared: []Extent{{RAM: 8, Image: 100, Pages: 2}, {RAM: 20, Image: 5, Pages: 1}},
		Data:   []Run{{Page: 0, Pages: 8}, {Page: 10, Pages: 3}, {Page: 4000, Pages: 96}},
	}
}

// write makes an image of random memory.
func write(t testing.TB, m *Meta) *os.File {
	t.Helper()
	f := memfd(t)
	if err := f.Truncate(m.Key.Memory + abi.SharedSize); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	var sum Sum
	for _, d := range m.Data {
		b := make([]byte, d.Pages*pageSize)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if _, err := f.WriteAt(b, int64(d.Page)*pageSize); err != nil {
			t.Fatal(err)
		}
		sum.AddRun(d)
		sum.Add(b)
	}
	b := bytes.Repeat([]byte{9}, SharedUsed)
	if _, err := f.WriteAt(b, m.Key.Memory); err != nil {
		t.Fatal(err)
	}
	sum.Add(b)
	if err := Finish(f, m, sum); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMeta(t *testing.T) {
	for _, m := range []*Meta{sample(), {Key: Key{Memory: abi.RAMMax}}} {
		got, err := DecodeMeta(EncodeMeta(m))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%v\n%+v\n%+v", err, got, m)
		}
	}
}

func TestBadMeta(t *testing.T) {
	for name, change := range map[string]func(m *Meta){
		"too little memory":      func(m *Meta) { m.Key.Memory = abi.RAMMin - 2<<20 },
		"too much memory":        func(m *Meta) { m.Key.Memory = abi.RAMMax + 2<<20 },
		"odd memory":             func(m *Meta) { m.Key.Memory++ },
		"negative memory":        func(m *Meta) { m.Key.Memory = -m.Key.Memory },
		"layers":                 func(m *Meta) { m.Key.Layers = make([][32]byte, abi.LayersMax+1) },
		"features":               func(m *Meta) { m.Key.Features = strings.Repeat("x", featuresMax+1) },
		"CPU":                    func(m *Meta) { m.CPU = make([]byte, cpuMax+1) },
		"index":                  func(m *Meta) { m.Link.RxHead++ },
		"other index":            func(m *Meta) { m.Link.TxTail = 8 },
		"stream":                 func(m *Meta) { m.Link.Next = abi.ConnGuest },
		"stream of the console":  func(m *Meta) { m.Link.Ahead = abi.ConnFirst - 1 },
		"stream that never was":  func(m *Meta) { m.Link.Ahead = m.Link.Next },
		"stream of another port": func(m *Meta) { m.Link.AheadPort = 1 },
		"port without a stream":  func(m *Meta) { m.Link.Ahead = 0 },
		"port":                   func(m *Meta) { m.Link.Ports[1] = 0 },
		"ports":                  func(m *Meta) { m.Link.Ports = make([]uint16, portsMax+1) },
		"console":                func(m *Meta) { m.Link.Closed = 8 },
		"empty extent":           func(m *Meta) { m.Shared[0].Pages = 0 },
		"extents overlap":        func(m *Meta) { m.Shared[0].Pages = 13 },
		"extents turn around":    func(m *Meta) { m.Shared[0], m.Shared[1] = m.Shared[1], m.Shared[0] },
		"extent outside":         func(m *Meta) { m.Shared[1] = Extent{RAM: 4095, Pages: 2} },
		"extent wraps":           func(m *Meta) { m.Shared[1] = Extent{RAM: ^uint32(0), Pages: 2} },
		"no image there":         func(m *Meta) { m.Shared[1].Image = abi.ImageMax / pageSize },
		"image wraps":            func(m *Meta) { m.Shared[1].Image = ^uint32(0) },
		"empty run":              func(m *Meta) { m.Data[0].Pages = 0 },
		"runs overlap":           func(m *Meta) { m.Data[1].Page = 7 },
		"run outside":            func(m *Meta) { m.Data[2].Pages = 97 },
		"run wraps":              func(m *Meta) { m.Data[2] = Run{Page: ^uint32(0), Pages: ^uint32(0)} },
		"twice there":            func(m *Meta) { m.Data[0].Pages = 9 },
		"twice there, inside":    func(m *Meta) { m.Data[1] = Run{Page: 15, Pages: 10} },
	} {
		m := sample()
		change(m)
		if _, err := DecodeMeta(EncodeMeta(m)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := EncodeMeta(sample())
	for n := range b {
		if _, err := DecodeMeta(b[:n]); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes of %d: %v", n, len(b), err)
		}
	}
	if _, err := DecodeMeta(append(b, 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte too many: %v", err)
	}
}

func TestKey(t *testing.T) {
	k := sample().Key
	if k.Differs(sample().Key) != "" || k.ID() != sample().Key.ID() || len(k.ID()) != 64 {
		t.Error("equal keys differ")
	}
	for what, change := range map[string]func(k *Key){
		"library OS":             func(k *Key) { k.Libos[31]++ },
		"ABI version":            func(k *Key) { k.ABI++ },
		"CPU features":           func(k *Key) { k.Features += "x" },
		"memory":                 func(k *Key) { k.Memory++ },
		"number of image layers": func(k *Key) { k.Layers = k.Layers[:1] },
		"image layer 2":          func(k *Key) { k.Layers[1][0]++ },
		"program":                func(k *Key) { k.Program[0]++ },
	} {
		k := sample().Key
		change(&k)
		if got := k.Differs(sample().Key); got != what || k.ID() == sample().Key.ID() {
			t.Errorf("%s: %q", what, got)
		}
	}
}

func TestCheck(t *testing.T) {
	f := write(t, sample())
	k, info, err := Check(f)
	if err != nil || k.Differs(sample().Key) != "" || info.Pages != 107 || info.Shared != 3 || info.Bytes < 107*pageSize {
		t.Fatalf("%v, %+v", err, info)
	}
	if m, err := ReadMeta(f); err != nil || !reflect.DeepEqual(m, sample()) {
		t.Errorf("%v, %+v", err, m)
	}
	size, _ := f.Seek(0, 2)
	damage := func(what string, at int64) {
		var b [1]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 4
		f.WriteAt(b[:], at)
		if _, _, err := Check(f); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s at 0x%x is damaged: %v", what, at, err)
		}
		b[0] ^= 4
		f.WriteAt(b[:], at)
	}
	for _, d := range sample().Data {
		damage("memory", int64(d.Page)*pageSize+17)
		damage("memory", int64(d.Page+d.Pages)*pageSize-1)
	}
	damage("shared area", abi.RAMMin)
	damage("shared area", abi.RAMMin+SharedUsed-1)
	for at := int64(abi.RAMMin + abi.SharedSize); at < size; at++ {
		damage("description", at)
	}
	if _, _, err := Check(f); err != nil {
		t.Error(err)
	}
	for _, n := range []int64{size - 1, size - trailerSize, size / 2, trailerSize, trailerSize - 1, 0} {
		f.Truncate(n)
		if _, _, err := Check(f); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes of %d: %v", n, size, err)
		}
	}
}

func TestFormat(t *testing.T) {
	f := write(t, sample())
	size, _ := f.Seek(0, 2)
	end := make([]byte, trailerSize)
	f.ReadAt(end, size-trailerSize)
	end[8]++
	closeTrailer(end)
	f.WriteAt(end, size-trailerSize)
	if _, _, err := Check(f); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "format 3") {
		t.Error(err)
	}
}

func TestSeal(t *testing.T) {
	f := write(t, sample())
	if IsSealed(f) || IsWhole(f) {
		t.Error("sealed from the start")
	}
	for range 2 {
		if err := Seal(f); err != nil {
			t.Fatal(err)
		}
	}
	if !IsSealed(f) || !IsWhole(f) {
		t.Error("not sealed")
	}
	if _, err := f.WriteAt([]byte{1}, 0); err == nil {
		t.Error("written")
	}
	if f.Truncate(0) == nil || f.Truncate(1<<30) == nil {
		t.Error("resized")
	}
	if _, _, err := Check(f); err != nil {
		t.Error(err)
	}
	if Seal(os.Stdin) == nil {
		t.Error("sealed what is no memory file")
	}
}

func TestWriteBlock(t *testing.T) {
	f := memfd(t)
	if err := f.Truncate(3 * BlockSize); err != nil {
		t.Fatal(err)
	}
	if err := WriteBlock(f, BlockSize, func(b []byte) { copy(b[5000:], "block") }); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 3*BlockSize)
	copy(want[BlockSize+5000:], "block")
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v", err)
	}
	for _, off := range []int64{1, 3 * BlockSize, -BlockSize, 1 << 62} {
		if err := WriteBlock(f, off, func([]byte) { t.Error("filled") }); err == nil {
			t.Errorf("block at 0x%x", off)
		}
	}
	if err := Seal(f); err != nil { // nothing is mapped for writing any more
		t.Error(err)
	}
}

// FuzzMeta: whatever it is, it is refused or is what EncodeMeta makes.
func FuzzMeta(f *testing.F) {
	f.Add(EncodeMeta(sample()))
	f.Add(EncodeMeta(&Meta{Key: Key{Memory: abi.RAMMin}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMeta(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(EncodeMeta(m), b) {
			t.Fatalf("%+v is encoded otherwise", m)
		}
	})
}

// FuzzCheck: the end of a file, with its checksums made right.
func FuzzCheck(f *testing.F) {
	f.Add(EncodeMeta(sample()), []byte{1, 0, 0, 0, 100, 0, 0, 0})
	file := memfd(f)
	f.Fuzz(func(t *testing.T, meta, end []byte) {
		tr := make([]byte, trailerSize)
		copy(tr, magic)
		copy(tr[8:trailerSize-4], end)
		closeTrailer(tr)
		file.Truncate(0)
		if m, err := DecodeMeta(meta); err == nil && m.Key.Memory < 64<<20 {
			file.Truncate(m.Key.Memory + abi.SharedSize)
		}
		at, _ := file.Seek(0, 2)
		if _, err := file.WriteAt(append(bytes.Clone(meta), tr...), at); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Check(file); err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) {
			t.Fatal(err)
		}
	})
}
