// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"unifaas.dev/abi"
)

// file makes a minimal ELF file.
type file struct {
	elf.Header64
	progs []elf.Prog64
	body  []byte
}

func program() *file {
	f := &file{
		Header64: elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: 0x400100,
			Phoff: 64, Ehsize: 64, Phentsize: 56, Shentsize: 64},
		progs: []elf.Prog64{{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Off: 0, Vaddr: 0x400000, Paddr: 0x400000,
			Filesz: 0x200, Memsz: 0x1000, Align: 0x1000}},
		body: make([]byte, 0x400),
	}
	copy(f.Ident[:], elf.ELFMAG)
	f.Ident[elf.EI_CLASS], f.Ident[elf.EI_DATA], f.Ident[elf.EI_VERSION] = 2, 1, 1
	return f
}

func (f *file) bytes(t testing.TB) []byte {
	f.Phnum = uint16(len(f.progs))
	b, err := binary.Append(nil, binary.LittleEndian, &f.Header64)
	if err == nil {
		b, err = binary.Append(b, binary.LittleEndian, f.progs)
	}
	if err != nil {
		t.Fatal(err)
	}
	copy(f.body, b)
	return f.body
}

func TestReadProgram(t *testing.T) {
	interp := elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 0x300, Filesz: 8}
	for _, c := range []struct {
		name string
		edit func(f *file)
		kind Kind
		err  string
	}{
		{"static", func(f *file) {}, Static, ""},
		{"linux", func(f *file) { f.Ident[elf.EI_OSABI] = 3 }, Static, ""},
		{"static PIE", func(f *file) { f.Type = uint16(elf.ET_DYN) }, StaticPIE, ""},
		{"dynamic", func(f *file) { f.progs = append(f.progs, interp); copy(f.body[0x300:], "/lib/ld\x00") }, Dynamic, ""},
		{"arm", func(f *file) { f.Machine = uint16(elf.EM_AARCH64) }, 0, "built for AARCH64"},
		{"freebsd", func(f *file) { f.Ident[elf.EI_OSABI] = 9 }, 0, "built for FREEBSD"},
		{"object", func(f *file) { f.Type = uint16(elf.ET_REL) }, 0, "object file"},
		{"core", func(f *file) { f.Type = uint16(elf.ET_CORE) }, 0, "core dump"},
		{"odd type", func(f *file) { f.Type = 77 }, 0, "not a program"},
		{"empty", func(f *file) { f.progs = nil }, 0, "nothing to load"},
		{"truncated", func(f *file) { f.progs[0].Filesz = 0x10000; f.progs[0].Memsz = 0x10000 }, 0, "truncated"},
		{"offset overflow", func(f *file) { f.progs[0].Off = ^uint64(0) }, 0, "damaged"},
		{"window", func(f *file) { f.progs[0].Vaddr = abi.WindowVA; f.Entry = abi.WindowVA }, 0, "library OS keeps"},
		{"kernel half", func(f *file) { f.progs[0].Vaddr = 0xffffffff80000000 }, 0, "library OS keeps"},
		{"wraps", func(f *file) { f.progs[0].Vaddr = ^uint64(0) - 4095 }, 0, "library OS keeps"},
		{"entry", func(f *file) { f.Entry = 0 }, 0, "entry point"},
		{"library", func(f *file) {
			f.Entry, f.Type = 0, uint16(elf.ET_DYN)
			f.progs = append(f.progs, elf.Prog64{Type: uint32(elf.PT_DYNAMIC)})
		}, 0, "shared library"},
		{"interp too long", func(f *file) { i := interp; i.Filesz = 1 << 40; f.progs = append(f.progs, i) }, 0, "loader path"},
		{"interp missing", func(f *file) { i := interp; i.Off = 1 << 40; f.progs = append(f.progs, i) }, 0, "loader path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := program()
			c.edit(f)
			b := f.bytes(t)
			p, err := ReadProgram("prog", bytes.NewReader(b), int64(len(b)))
			checkError(t, err, c.err)
			if err == nil && p.Kind != c.kind {
				t.Errorf("kind %v, want %v", p.Kind, c.kind)
			}
			if err == nil && (p.NeedStatic("prog") != nil) != (c.kind == Dynamic) {
				t.Errorf("NeedStatic: %v", p.NeedStatic("prog"))
			}
		})
	}
}

func TestNotELF(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "empty",
		"#!/bin/sh\n":        "script",
		"MZ\x90":             "Windows",
		"\xcf\xfa\xed\xfe..": "macOS",
		"hello":              "not an ELF file",
		"\x7fELF":            "damaged",
		"\x7fELF\x02\x01":    "damaged",
	} {
		_, err := ReadProgram("prog", strings.NewReader(in), int64(len(in)))
		checkError(t, err, want)
	}
}

// TestCompilers looks at what real compilers make.
func TestCompilers(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler")
	}
	dir := t.TempDir()
	src := filepath.Join(dir, "a.c")
	if err := os.WriteFile(src, []byte("int main(void) { return 0; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind Kind
		args []string
	}{
		{Static, []string{"-static", "-no-pie"}},
		{StaticPIE, []string{"-static-pie"}},
		{Dynamic, []string{"-pie"}},
		{Dynamic, []string{"-no-pie"}},
	} {
		out := filepath.Join(dir, "a.out")
		if msg, err := exec.Command("cc", append(c.args, "-o", out, src)...).CombinedOutput(); err != nil {
			t.Errorf("cc %v: %v\n%s", c.args, err, msg)
			continue
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ReadProgram("a.out", bytes.NewReader(b), int64(len(b)))
		if err != nil || p.Kind != c.kind {
			t.Errorf("cc %v: %+v, %v", c.args, p, err)
		}
	}
}

// libos is a minimal library OS whose header edit may change.
func libos(t testing.TB, edit func(h *abi.LibosHeader, f *file)) []byte {
	h := abi.LibosHeader{
		Magic: abi.Magic, Version: abi.Version,
		Entry: abi.LibosVA + 0x100, ExcEntry: abi.LibosVA + 0x110, LSTAR: abi.LibosVA + 0x120,
		TextStart: abi.LibosVA, TextEnd: abi.LibosVA + 0x1000,
		GDT: abi.LibosDataVA, IDT: abi.LibosDataVA + 0x1000, TSS: abi.LibosDataVA + 0x2000, ExcFrame: abi.LibosDataVA + 0x3000,
		BootTables: 0x210000, End: 0x300000,
	}
	f := program()
	f.progs = []elf.Prog64{{Type: uint32(elf.PT_LOAD), Off: 0x200, Vaddr: abi.LibosVA, Paddr: 0, Filesz: 0x100, Memsz: 0x1000}}
	edit(&h, f)
	b := f.bytes(t)
	hb, err := binary.Append(nil, binary.LittleEndian, &h)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[0x200:], hb)
	return b
}

func TestParseLibos(t *testing.T) {
	for _, c := range []struct {
		err  string
		edit func(h *abi.LibosHeader, f *file)
	}{
		{"", func(h *abi.LibosHeader, f *file) {}},
		{"no header", func(h *abi.LibosHeader, f *file) { h.Magic = 1 }},
		{"no header", func(h *abi.LibosHeader, f *file) { f.progs[0].Paddr = 0x1000 }},
		{"ABI version", func(h *abi.LibosHeader, f *file) { h.Version++ }},
		{"built for", func(h *abi.LibosHeader, f *file) { f.Machine = 3 }},
		{"does not fit", func(h *abi.LibosHeader, f *file) { f.progs[0].Memsz = 0x400001 }},
		{"does not fit", func(h *abi.LibosHeader, f *file) { f.progs[0].Paddr = ^uint64(0) }},
		{"does not fit", func(h *abi.LibosHeader, f *file) { f.progs[0].Off = 1 << 30 }},
		{"text", func(h *abi.LibosHeader, f *file) { h.TextEnd = abi.LibosVA + 0x200001 }},
		{"text", func(h *abi.LibosHeader, f *file) { h.TextStart, h.TextEnd = h.TextEnd, h.TextStart }},
		{"entry", func(h *abi.LibosHeader, f *file) { h.Entry = 0 }},
		{"lstar", func(h *abi.LibosHeader, f *file) { h.LSTAR = h.TextEnd }},
		{"exc_entry", func(h *abi.LibosHeader, f *file) { h.ExcEntry = abi.LibosDataVA }},
		{"exc_frame", func(h *abi.LibosHeader, f *file) { h.ExcFrame = abi.LibosVA + 0x400000 - 8 }},
		{"exc_frame", func(h *abi.LibosHeader, f *file) { h.ExcFrame = ^uint64(0) - 7 }},
		{"gdt", func(h *abi.LibosHeader, f *file) { h.GDT = 8 }},
		{"tss", func(h *abi.LibosHeader, f *file) { h.TSS++ }},
		{"boot_tables", func(h *abi.LibosHeader, f *file) { h.BootTables = 0x600000 - 4096 }},
		{"boot_tables", func(h *abi.LibosHeader, f *file) { h.BootTables = 0x210008 }},
		{"end", func(h *abi.LibosHeader, f *file) { h.End = 0x400001 }},
	} {
		_, err := ParseLibos(libos(t, c.edit))
		checkError(t, err, c.err)
	}
	_, err := ParseLibos([]byte("nonsense"))
	checkError(t, err, "not an ELF file")
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case err == nil && want != "":
		t.Errorf("no error, want %q", want)
	case err != nil && (want == "" || !strings.Contains(err.Error(), want)):
		t.Errorf("error %q, want %q", err, want)
	case err != nil && strings.ContainsAny(err.Error(), "\n\r"):
		t.Errorf("error has several lines: %q", err)
	}
}

func FuzzReadProgram(f *testing.F) {
	f.Add(program().bytes(f))
	f.Add(libos(f, func(*abi.LibosHeader, *file) {}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ReadProgram("prog", bytes.NewReader(b), int64(len(b))); err != nil {
			checkError(t, err, "prog: ")
		}
		_, _ = ParseLibos(b)
	})
}
