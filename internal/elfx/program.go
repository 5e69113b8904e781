// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"strings"

	"unifaas.dev/abi"
)

// Kind is how a program is linked.
type Kind int

// Kinds of programs.
const (
	Static    Kind = iota // at fixed addresses
	StaticPIE             // anywhere, relocates itself
	Dynamic               // by the loader that Interp names
)

func (k Kind) String() string {
	return [...]string{"static", "static PIE", "dynamic"}[k]
}

// Program is what a program's ELF file says about it.
type Program struct {
	Kind   Kind
	Interp string // path of the loader; Dynamic only
	Entry  uint64
	Low    uint64 // lowest address of its segments
	High   uint64 // first address behind them
}

// ErrDynamic is wrapped by NeedStatic's error.
var ErrDynamic = errors.New("dynamically linked")

// ReadProgram checks that a file can run as a program of the guest. The errors are one line and start with name.
func ReadProgram(name string, r io.ReaderAt, size int64) (*Program, error) {
	var start [64]byte
	n, err := r.ReadAt(start[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if !bytes.HasPrefix(start[:n], []byte(elf.ELFMAG)) {
		return nil, notELF(name, start[:n])
	}
	f, err := elf.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("%s: damaged ELF file: %s", name, oneLine(err))
	}
	if f.Machine != elf.EM_X86_64 || f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB {
		return nil, fmt.Errorf("%s: built for %s, not for 64-bit x86: build it with GOARCH=amd64 or an x86_64 compiler", name, machine(f))
	}
	if f.OSABI != elf.ELFOSABI_NONE && f.OSABI != elf.ELFOSABI_LINUX {
		return nil, fmt.Errorf("%s: built for %s, not for Linux", name, strings.TrimPrefix(f.OSABI.String(), "ELFOSABI_"))
	}
	switch f.Type {
	case elf.ET_EXEC, elf.ET_DYN:
	case elf.ET_REL:
		return nil, fmt.Errorf("%s: an object file, not a program: link it", name)
	case elf.ET_CORE:
		return nil, fmt.Errorf("%s: a core dump, not a program", name)
	default:
		return nil, fmt.Errorf("%s: ELF file of type %s, not a program", name, f.Type)
	}
	p := &Program{Entry: f.Entry, Low: ^uint64(0)}
	if err := p.segments(name, f, size); err != nil {
		return nil, err
	}
	return p, nil
}

// segments looks at the program headers, the only part that a loader believes.
func (p *Program) segments(name string, f *elf.File, size int64) error {
	fixed := f.Type == elf.ET_EXEC
	dynamic, entry := false, false
	for _, s := range f.Progs {
		switch s.Type {
		case elf.PT_INTERP:
			if s.Filesz < 2 || s.Filesz > 4096 {
				return fmt.Errorf("%s: damaged ELF file: loader path of %d bytes", name, s.Filesz)
			}
			b := make([]byte, s.Filesz)
			if _, err := s.ReadAt(b, 0); err != nil {
				return fmt.Errorf("%s: damaged ELF file: loader path is missing", name)
			}
			p.Interp = string(bytes.TrimRight(b, "\x00"))
		case elf.PT_DYNAMIC:
			dynamic = true
		case elf.PT_LOAD:
			if s.Off > uint64(size) || s.Filesz > uint64(size)-s.Off || s.Filesz > s.Memsz {
				return fmt.Errorf("%s: damaged ELF file: truncated at %d bytes", name, size)
			}
			end := s.Vaddr + s.Memsz
			if end < s.Vaddr || end > abi.UserEnd || fixed && end > abi.WindowVA && s.Vaddr < abi.WindowEnd {
				return fmt.Errorf("%s: linked to address 0x%x, which the library OS keeps for itself", name, s.Vaddr)
			}
			p.Low, p.High = min(p.Low, s.Vaddr), max(p.High, end)
			if s.Flags&elf.PF_X != 0 && f.Entry >= s.Vaddr && f.Entry < end {
				entry = true
			}
		}
	}
	switch {
	case p.High == 0:
		return fmt.Errorf("%s: damaged ELF file: nothing to load", name)
	case p.Interp != "":
		p.Kind = Dynamic
	case fixed:
		p.Kind = Static
	default:
		p.Kind = StaticPIE
	}
	if !entry {
		if !fixed && dynamic && p.Interp == "" {
			return fmt.Errorf("%s: a shared library, not a program", name)
		}
		return fmt.Errorf("%s: damaged ELF file: entry point 0x%x is in no executable segment", name, f.Entry)
	}
	return nil
}

// NeedStatic is the error for a program that needs a loader, nil for others.
func (p *Program) NeedStatic(name string) error {
	if p.Kind != Dynamic {
		return nil
	}
	return fmt.Errorf("%s: %w (needs %s): link it with -static, or build Go with CGO_ENABLED=0", name, ErrDynamic, p.Interp)
}

// notELF says what the file is instead, where that helps.
func notELF(name string, start []byte) error {
	switch {
	case len(start) == 0:
		return fmt.Errorf("%s: not an ELF file: it is empty", name)
	case bytes.HasPrefix(start, []byte("#!")):
		return fmt.Errorf("%s: not an ELF file: a script", name)
	case bytes.HasPrefix(start, []byte("MZ")):
		return fmt.Errorf("%s: not an ELF file: a Windows program", name)
	case bytes.HasPrefix(start, []byte("\xcf\xfa\xed\xfe")), bytes.HasPrefix(start, []byte("\xca\xfe\xba\xbe")):
		return fmt.Errorf("%s: not an ELF file: a macOS program (or Java class): build it with GOOS=linux", name)
	}
	return fmt.Errorf("%s: not an ELF file", name)
}

func machine(f *elf.File) string {
	m := strings.TrimPrefix(f.Machine.String(), "EM_")
	if f.Class == elf.ELFCLASS32 {
		m = "32-bit " + m
	}
	return m
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", " ") }
