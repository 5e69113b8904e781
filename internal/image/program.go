// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// openProgram opens a source and says in one line why it cannot be run, if it cannot.
func openProgram(src string) (*os.File, int64, error) {
	// O_NONBLOCK: a FIFO named by mistake must not hang here.
	f, err := os.OpenFile(src, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", src, cause(err))
	}
	fi, err := f.Stat()
	if err == nil {
		err = checkSource(f, fi)
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("%s: %w", src, err)
	}
	return f, fi.Size(), nil
}

// cause is the error without "open PATH:" before it, since the message names the path already.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func checkSource(r io.ReaderAt, fi os.FileInfo) error {
	switch {
	case fi.IsDir():
		return errors.New("is a folder, give the ELF file of a program")
	case !fi.Mode().IsRegular():
		return errors.New("is no regular file, give the ELF file of a program")
	}
	return checkELF(r, fi.Size())
}

// checkELF refuses what the library OS could not load.
func checkELF(r io.ReaderAt, size int64) error {
	var head [64]byte
	n, err := r.ReadAt(head[:], 0)
	if err != nil && err != io.EOF {
		return cause(err)
	}
	switch {
	case n >= 2 && string(head[:2]) == "#!":
		return errors.New("is a script, not an ELF file: give a static x86-64 Linux program")
	case n < 4 || string(head[:4]) != elf.ELFMAG:
		return errors.New("not an ELF file: give a static x86-64 Linux program")
	case n < len(head):
		return fmt.Errorf("truncated ELF file: %d bytes", n)
	case elf.Class(head[elf.EI_CLASS]) == elf.ELFCLASS32:
		return errors.New("a 32-bit program, only x86-64 runs here: build it for linux/amd64")
	}
	f, err := elf.NewFile(onlyHeaders{r, size})
	if err != nil {
		return fmt.Errorf("damaged ELF file: %w", err)
	}
	switch {
	case f.Machine != elf.EM_X86_64 || f.Data != elf.ELFDATA2LSB:
		return fmt.Errorf("built for %s, only x86-64 runs here: build it for linux/amd64", machine(f.Machine))
	case f.OSABI != elf.ELFOSABI_NONE && f.OSABI != elf.ELFOSABI_LINUX:
		return fmt.Errorf("built for %s, not for Linux", f.OSABI)
	case f.Type == elf.ET_REL:
		return errors.New("an object file, not a program: link it")
	case f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN:
		return fmt.Errorf("not a program (%s)", f.Type)
	}
	return checkSegments(f, size)
}

func checkSegments(f *elf.File, size int64) error {
	loads, entry, dynamic := 0, false, false
	for _, p := range f.Progs {
		switch p.Type {
		case elf.PT_INTERP:
			ld := make([]byte, min(p.Filesz, 256))
			k, _ := p.ReadAt(ld, 0)
			name, _, _ := bytes.Cut(ld[:k], []byte{0})
			return fmt.Errorf("dynamically linked (needs %q), only static programs run for now: link with -static, or CGO_ENABLED=0 for Go", name)
		case elf.PT_DYNAMIC:
			dynamic = true
		case elf.PT_LOAD:
			loads++
			if p.Off+p.Filesz < p.Off || p.Off+p.Filesz > uint64(size) {
				return fmt.Errorf("truncated ELF file: a segment ends at byte %d of %d", p.Off+p.Filesz, size)
			}
			if p.Filesz > p.Memsz || p.Vaddr+p.Memsz < p.Vaddr {
				return fmt.Errorf("damaged ELF file: segment at 0x%x has %d bytes in the file and %d in memory", p.Vaddr, p.Filesz, p.Memsz)
			}
			if p.Flags&elf.PF_X != 0 && f.Entry >= p.Vaddr && f.Entry-p.Vaddr < p.Memsz {
				entry = true
			}
		}
	}
	switch {
	case loads == 0:
		return errors.New("damaged ELF file: nothing to load")
	case !entry && f.Type == elf.ET_DYN && dynamic:
		return errors.New("a shared library, not a program")
	case !entry:
		return fmt.Errorf("damaged ELF file: entry point 0x%x is in no executable segment", f.Entry)
	}
	return nil
}

// machine names the machines that people really build for by mistake.
func machine(m elf.Machine) string {
	switch m {
	case elf.EM_AARCH64:
		return "arm64"
	case elf.EM_ARM:
		return "arm"
	case elf.EM_RISCV:
		return "RISC-V"
	case elf.EM_386:
		return "i386"
	}
	return m.String()
}

// onlyHeaders hides the section headers from debug/elf: they are not needed to run a program, stripped and packed programs
// have odd ones, and a hostile table of them must not cost memory.
type onlyHeaders struct {
	io.ReaderAt
	size int64
}

func (o onlyHeaders) ReadAt(p []byte, off int64) (int, error) {
	if off >= o.size {
		return 0, io.EOF
	}
	n, err := o.ReaderAt.ReadAt(p, off)
	// e_shoff (8 bytes at 40), e_shnum and e_shstrndx (4 bytes at 60) read as 0.
	for _, z := range [][2]int64{{40, 48}, {60, 64}} {
		for i := max(z[0], off); i < min(z[1], off+int64(n)); i++ {
			p[i-off] = 0
		}
	}
	return n, err
}
