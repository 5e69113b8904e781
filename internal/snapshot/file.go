// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"hash/crc32"
	"os"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
)

// The trailer, little-endian: magic, format u32, length of Meta u32, CRC of Meta u32, CRC of memory u32, zeros, CRC of the trailer so far u32.
const (
	trailerSize = 64
	magic       = "UFSNAP\r\n"
	metaMax     = 64 << 20
)

// SharedUsed is what is kept of the shared area: all before the rings.
const SharedUsed = abi.RxOff

// Castagnoli is the polynomial of all checksums here: the CPU computes it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum is a checksum of memory: of each of Meta.Data's runs AddRun and its bytes by Add, then of the shared area.
type Sum uint32

// AddRun begins a run.
func (s *Sum) AddRun(r Run) {
	var b [8]byte
	le.PutUint32(b[0:], r.Page)
	le.PutUint32(b[4:], r.Pages)
	s.Add(b[:])
}

// Add is for bytes of memory.
func (s *Sum) Add(p []byte) { *s = Sum(crc32.Update(uint32(*s), castagnoli, p)) }

// Finish completes an image whose memory is in place: it writes Meta and the trailer.
func Finish(f *os.File, m *Meta, memory Sum) error {
	meta := EncodeMeta(m)
	if len(meta) > metaMax {
		return fmt.Errorf("write snapshot: description of %d bytes, at most %d", len(meta), metaMax)
	}
	b := append(meta, make([]byte, trailerSize)...)
	t := b[len(meta):]
	copy(t, magic)
	le.PutUint32(t[8:], Format)
	le.PutUint32(t[12:], uint32(len(meta)))
	le.PutUint32(t[16:], crc32.Checksum(meta, castagnoli))
	le.PutUint32(t[20:], uint32(memory))
	closeTrailer(t)
	if _, err := f.WriteAt(b, m.Key.Memory+abi.SharedSize); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// closeTrailer puts the trailer's own checksum in.
func closeTrailer(t []byte) {
	le.PutUint32(t[trailerSize-4:], crc32.Checksum(t[:trailerSize-4], castagnoli))
}

// ReadMeta gives what stands in an image beside memory, checked; not its memory, see Check. Errors wrap ErrDamaged or ErrForeign.
func ReadMeta(f *os.File) (*Meta, error) {
	m, _, err := read(f)
	return m, err
}

// Describe is ReadMeta, and gives a number that tells this image from others with the same key.
func Describe(f *os.File) (*Meta, uint64, error) {
	m, t, err := read(f)
	return m, uint64(t.meta)<<32 | uint64(t.memory), err
}

// trailer is what the end of a file says of the rest.
type trailer struct{ meta, memory Sum }

func read(f *os.File) (*Meta, trailer, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, trailer{}, fmt.Errorf("read snapshot: %w", err)
	}
	size := fi.Size()
	if size < trailerSize {
		return nil, trailer{}, fmt.Errorf("%w: %d bytes", ErrDamaged, size)
	}
	var t [trailerSize]byte
	if _, err := f.ReadAt(t[:], size-trailerSize); err != nil {
		return nil, trailer{}, fmt.Errorf("%w: read its end: %w", ErrDamaged, err)
	}
	if string(t[:8]) != magic {
		return nil, trailer{}, fmt.Errorf("%w: its end is not one of a snapshot", ErrDamaged)
	}
	if crc32.Checksum(t[:trailerSize-4], castagnoli) != le.Uint32(t[trailerSize-4:]) {
		return nil, trailer{}, fmt.Errorf("%w: checksum of its end", ErrDamaged)
	}
	if v := le.Uint32(t[8:]); v != Format {
		return nil, trailer{}, fmt.Errorf("%w: format %d, not %d", ErrForeign, v, Format)
	}
	n := int64(le.Uint32(t[12:]))
	if n > metaMax || n > size-trailerSize {
		return nil, trailer{}, fmt.Errorf("%w: description of %d bytes", ErrDamaged, n)
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, size-trailerSize-n); err != nil {
		return nil, trailer{}, fmt.Errorf("%w: read its description: %w", ErrDamaged, err)
	}
	if crc32.Checksum(b, castagnoli) != le.Uint32(t[16:]) {
		return nil, trailer{}, fmt.Errorf("%w: checksum of its description", ErrDamaged)
	}
	m, err := DecodeMeta(b)
	if err != nil {
		return nil, trailer{}, err
	}
	if want := m.Key.Memory + abi.SharedSize + n + trailerSize; size != want {
		return nil, trailer{}, fmt.Errorf("%w: %d bytes instead of %d", ErrDamaged, size, want)
	}
	return m, trailer{Sum(le.Uint32(t[16:])), Sum(le.Uint32(t[20:]))}, nil
}

// Check reads a whole image and compares its checksums. Errors wrap ErrDamaged or ErrForeign.
func Check(f *os.File) (Key, Info, error) {
	m, t, err := read(f)
	if err != nil {
		return Key{}, Info{}, err
	}
	var sum Sum
	buf := make([]byte, 256<<10)
	add := func(off, n int64) error {
		for n > 0 {
			p := buf[:min(n, int64(len(buf)))]
			if _, err := f.ReadAt(p, off); err != nil {
				return fmt.Errorf("%w: read memory at 0x%x: %w", ErrDamaged, off, err)
			}
			sum.Add(p)
			off, n = off+int64(len(p)), n-int64(len(p))
		}
		return nil
	}
	for _, r := range m.Data {
		sum.AddRun(r)
		if err := add(int64(r.Page)*pageSize, int64(r.Pages)*pageSize); err != nil {
			return Key{}, Info{}, err
		}
	}
	if err := add(m.Key.Memory, SharedUsed); err != nil {
		return Key{}, Info{}, err
	}
	if sum != t.memory {
		return Key{}, Info{}, fmt.Errorf("%w: checksum of its memory", ErrDamaged)
	}
	info, err := m.Info(f)
	return m.Key, info, err
}

// Info says what an image with this Meta consists of.
func (m *Meta) Info(f *os.File) (Info, error) {
	var i Info
	for _, r := range m.Data {
		i.Pages += int(r.Pages)
	}
	for _, e := range m.Shared {
		i.Shared += int(e.Pages)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return i, fmt.Errorf("look at snapshot: %w", err)
	}
	i.Bytes = st.Blocks * 512
	return i, nil
}

// seals forbid every change, by anybody who still has the file open or mapped.
const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// Seal makes a memory file unchangeable. It fails while somebody has it mapped for writing. Idempotent.
func Seal(f *os.File) error {
	if IsSealed(f) {
		return nil
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal %s: %w", f.Name(), err)
	}
	return nil
}

// IsSealed reports whether nobody can change a file any more.
func IsSealed(f *os.File) bool {
	got, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	return err == nil && got&seals == seals
}

// IsWhole reports whether nobody can cut a file short any more: it can be mapped.
func IsWhole(f *os.File) bool {
	got, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	return err == nil && got&unix.F_SEAL_SHRINK != 0
}
