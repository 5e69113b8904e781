// SPDX-License-Identifier: Apache-2.0

// Package elfx reads ELF files: the library OS, for monitors to load, and programs, to say early what cannot run.
//
// It is not a loader of programs: the library OS loads those.
package elfx

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"

	"unifaas.dev/abi"
)

// Segment is one part of the library OS to be put at a guest physical address.
type Segment struct {
	PA      uint64
	Data    []byte // bytes of the file
	MemSize uint64 // with zeroed memory behind Data
}

// Libos is a library OS that was checked.
type Libos struct {
	Header   abi.LibosHeader
	Segments []Segment
}

const (
	libosSpan = abi.LibosDataVA - abi.LibosVA // size of the text and of the data page
	pageSize  = 4096
)

// ParseLibos checks a library OS: its ABI version, and that all its header names lies where a monitor maps it.
func ParseLibos(file []byte) (*Libos, error) {
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("library OS: not an ELF file: %w", err)
	}
	if f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64 {
		return nil, fmt.Errorf("library OS: built for %s, need x86-64", f.Machine)
	}
	l := &Libos{}
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Memsz == 0 {
			continue
		}
		if p.Filesz > p.Memsz || p.Paddr >= 2*libosSpan || p.Memsz > 2*libosSpan-p.Paddr ||
			p.Off > uint64(len(file)) || p.Filesz > uint64(len(file))-p.Off {
			return nil, fmt.Errorf("library OS: segment at 0x%x with 0x%x bytes does not fit the first 4 MiB", p.Paddr, p.Memsz)
		}
		l.Segments = append(l.Segments, Segment{PA: p.Paddr, Data: file[p.Off : p.Off+p.Filesz], MemSize: p.Memsz})
		if p.Paddr == 0 && p.Filesz >= abi.LibosHeaderSize {
			if _, err := binary.Decode(file[p.Off:p.Off+p.Filesz], binary.LittleEndian, &l.Header); err != nil {
				return nil, fmt.Errorf("library OS: header: %w", err)
			}
		}
	}
	return l, l.check()
}

// check refuses a header that would make a monitor write or jump where it should not.
func (l *Libos) check() error {
	h := &l.Header
	if h.Magic != abi.Magic {
		return fmt.Errorf("library OS: no header at its start (magic 0x%x)", h.Magic)
	}
	if h.Version != abi.Version {
		return fmt.Errorf("library OS: ABI version %d, this monitor speaks %d: build both from one tree", h.Version, abi.Version)
	}
	if h.TextStart < abi.LibosVA || h.TextEnd > abi.LibosVA+libosSpan || h.TextStart >= h.TextEnd {
		return fmt.Errorf("library OS: text 0x%x-0x%x is outside of its 2 MiB page", h.TextStart, h.TextEnd)
	}
	for _, c := range []struct {
		what string
		va   uint64
	}{{"entry", h.Entry}, {"exc_entry", h.ExcEntry}, {"lstar", h.LSTAR}} {
		if c.va < h.TextStart || c.va >= h.TextEnd {
			return fmt.Errorf("library OS: %s 0x%x is outside of its text", c.what, c.va)
		}
	}
	for _, c := range []struct {
		what     string
		va, size uint64
	}{{"gdt", h.GDT, 0x48}, {"idt", h.IDT, 0x1000}, {"tss", h.TSS, 0x68}, {"exc_frame", h.ExcFrame, abi.ExcFrameSize}} {
		if c.va%8 != 0 || c.va < abi.LibosVA || c.va > abi.LibosVA+2*libosSpan-c.size {
			return fmt.Errorf("library OS: %s 0x%x is outside of the library OS or not aligned", c.what, c.va)
		}
	}
	if h.BootTables%pageSize != 0 || h.BootTables > abi.TablesEnd-abi.BootTables*pageSize || h.End > 2*libosSpan {
		return fmt.Errorf("library OS: boot_tables 0x%x or end 0x%x is outside of its 6 MiB", h.BootTables, h.End)
	}
	return nil
}

// PA is the guest physical address of a virtual address inside the library OS. Preconditions: the header was checked.
func PA(va uint64) uint64 { return va - abi.LibosVA }
