// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Object is what a file says to the dynamic loader.
type Object struct {
	Path string // where the program's system has it
	Host string // where this machine has it, if elsewhere; for $ORIGIN

	Interp  string
	Needed  []string
	Soname  string
	RPath   []string // DT_RPATH, as written
	RunPath []string // DT_RUNPATH, as written
	NoDeflt bool     // DF_1_NODEFLIB: not from the default folders
	Unwinds bool     // ends threads in a way for which glibc loads libgcc_s.so.1
}

// Limits of what is read of a dynamic section: far beyond those of real files.
const (
	maxDynamic = 1 << 20
	maxStrings = 64 << 20
	maxNeeded  = 4096
)

// ErrForeign is wrapped by ReadObject's error about ELF files of another machine or system, which a loader passes by.
var ErrForeign = errors.New("not for 64-bit x86 Linux")

// ReadObject reads the dynamic section of a program or library. The errors are one line and start with name.
func ReadObject(name string, r io.ReaderAt, size int64) (*Object, error) {
	var start [4]byte
	if n, _ := r.ReadAt(start[:], 0); !bytes.HasPrefix(start[:n], []byte(elf.ELFMAG)) {
		return nil, fmt.Errorf("%s: not an ELF file", name)
	}
	f, err := elf.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("%s: damaged ELF file: %s", name, oneLine(err))
	}
	if f.Machine != elf.EM_X86_64 || f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB ||
		f.OSABI != elf.ELFOSABI_NONE && f.OSABI != elf.ELFOSABI_LINUX || f.Type != elf.ET_DYN && f.Type != elf.ET_EXEC {
		return nil, fmt.Errorf("%s: %w", name, ErrForeign)
	}
	o := &Object{}
	d := dynamic{name: name, f: f}
	for _, p := range f.Progs {
		switch {
		case p.Off > uint64(size) || p.Filesz > uint64(size)-p.Off:
			if p.Type == elf.PT_LOAD || p.Type == elf.PT_DYNAMIC || p.Type == elf.PT_INTERP {
				return nil, fmt.Errorf("%s: damaged ELF file: truncated at %d bytes", name, size)
			}
		case p.Type == elf.PT_INTERP:
			if p.Filesz < 2 || p.Filesz > 4096 {
				return nil, fmt.Errorf("%s: damaged ELF file: loader path of %d bytes", name, p.Filesz)
			}
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err != nil {
				return nil, fmt.Errorf("%s: damaged ELF file: loader path is missing", name)
			}
			path, _, _ := bytes.Cut(b, []byte{0})
			o.Interp = string(path)
		case p.Type == elf.PT_DYNAMIC && d.section == nil:
			if p.Filesz > maxDynamic {
				return nil, fmt.Errorf("%s: damaged ELF file: dynamic section of %d bytes", name, p.Filesz)
			}
			d.section = make([]byte, p.Filesz)
			if _, err := p.ReadAt(d.section, 0); err != nil {
				return nil, fmt.Errorf("%s: damaged ELF file: dynamic section is missing", name)
			}
		}
	}
	return o, d.read(o)
}

type dynamic struct {
	name    string
	f       *elf.File
	section []byte
}

func (d *dynamic) each(do func(tag elf.DynTag, value uint64)) {
	for b := d.section; len(b) >= 16; b = b[16:] {
		tag := elf.DynTag(binary.LittleEndian.Uint64(b))
		if tag == elf.DT_NULL {
			return
		}
		do(tag, binary.LittleEndian.Uint64(b[8:]))
	}
}

func (d *dynamic) read(o *Object) error {
	var at, size uint64
	d.each(func(tag elf.DynTag, v uint64) {
		switch tag {
		case elf.DT_STRTAB:
			at = v
		case elf.DT_STRSZ:
			size = v
		case elf.DT_FLAGS_1:
			o.NoDeflt = v&uint64(elf.DF_1_NODEFLIB) != 0
		}
	})
	if at == 0 {
		return nil // static, or needs nothing
	}
	if size > maxStrings {
		return fmt.Errorf("%s: damaged ELF file: strings of %d bytes", d.name, size)
	}
	table, err := d.memory(at, size)
	if err != nil {
		return err
	}
	str := func(off uint64) (string, bool) {
		if off >= uint64(len(table)) {
			return "", false
		}
		s, _, ended := bytes.Cut(table[off:min(off+4097, uint64(len(table)))], []byte{0})
		return string(s), ended
	}
	bad := false
	d.each(func(tag elf.DynTag, v uint64) {
		switch tag {
		case elf.DT_NEEDED, elf.DT_SONAME, elf.DT_RPATH, elf.DT_RUNPATH:
		default:
			return
		}
		s, ok := str(v)
		switch {
		case !ok || len(o.Needed) >= maxNeeded:
			bad = true
		case tag == elf.DT_NEEDED:
			o.Needed = append(o.Needed, s)
		case tag == elf.DT_SONAME:
			o.Soname = s
		case tag == elf.DT_RPATH:
			o.RPath = paths(s)
		case tag == elf.DT_RUNPATH:
			o.RunPath = paths(s)
		}
	})
	if bad {
		return fmt.Errorf("%s: damaged ELF file: a name in its dynamic section lies outside of its strings", d.name)
	}
	for _, name := range []string{"pthread_exit", "pthread_cancel"} {
		o.Unwinds = o.Unwinds || bytes.Contains(table, []byte("\x00"+name+"\x00"))
	}
	return nil
}

// memory reads what the program headers put at an address.
func (d *dynamic) memory(at, size uint64) ([]byte, error) {
	for _, p := range d.f.Progs {
		if p.Type == elf.PT_LOAD && at >= p.Vaddr && at-p.Vaddr < p.Filesz && size <= p.Filesz-(at-p.Vaddr) {
			b := make([]byte, size)
			if _, err := p.ReadAt(b, int64(at-p.Vaddr)); err != nil {
				break
			}
			return b, nil
		}
	}
	return nil, fmt.Errorf("%s: damaged ELF file: its strings lie in no segment", d.name)
}

// paths takes a list apart; an empty part means the working directory, which no image should depend on.
func paths(list string) []string {
	var l []string
	for s := range strings.SplitSeq(list, ":") {
		if s != "" {
			l = append(l, s)
		}
	}
	return l
}
