// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testELF makes a small static program, after edit has changed its headers. extra bytes follow the code.
func testELF(t testing.TB, extra int, edit func(h *elf.Header64, p []elf.Prog64)) []byte {
	t.Helper()
	const base, hdr = 0x400000, 64 + 2*56
	size := uint64(hdr + 16 + extra)
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: base + hdr,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2, Shentsize: 64,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	p := []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Filesz: size, Memsz: size, Align: 4096},
		{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W)},
	}
	if edit != nil {
		edit(&h, p)
	}
	var b bytes.Buffer
	for _, v := range []any{h, p} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; b.Len() < int(size); i++ {
		b.WriteByte(byte(i * 7))
	}
	return b.Bytes()
}

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBadSources(t *testing.T) {
	good := testELF(t, 10000, nil)
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "not an ELF file"},
		{"text", []byte("hello, this is no program at all, only a text of more than sixty-four bytes\n"), "not an ELF file"},
		{"script", []byte("#!/bin/sh\necho hi\n"), "a script"},
		{"short", good[:40], "damaged ELF file"},
		{"cut", good[:5000], "truncated at 5000 bytes"},
		{"32bit", testELF(t, 0, func(h *elf.Header64, _ []elf.Prog64) { h.Ident[4] = 1 }), "ELF file"},
		{"arm64", testELF(t, 0, func(h *elf.Header64, _ []elf.Prog64) { h.Machine = uint16(elf.EM_AARCH64) }), "built for AARCH64"},
		{"bigendian", testELF(t, 0, func(h *elf.Header64, _ []elf.Prog64) { h.Ident[5] = 2 }), "ELF file"},
		{"freebsd", testELF(t, 0, func(h *elf.Header64, _ []elf.Prog64) { h.Ident[7] = byte(elf.ELFOSABI_FREEBSD) }), "not for Linux"},
		{"object", testELF(t, 0, func(h *elf.Header64, _ []elf.Prog64) { h.Type = uint16(elf.ET_REL) }), "an object file"},
		{"core", testELF(t, 0, func(h *elf.Header64, _ []elf.Prog64) { h.Type = uint16(elf.ET_CORE) }), "core dump"},
		{"dynamic", testELF(t, 0, func(h *elf.Header64, p []elf.Prog64) {
			p[1] = elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 176, Filesz: 16}
		}), "dynamically linked"},
		{"library", testELF(t, 0, func(h *elf.Header64, p []elf.Prog64) {
			h.Type, h.Entry = uint16(elf.ET_DYN), 0
			p[1] = elf.Prog64{Type: uint32(elf.PT_DYNAMIC), Off: 176, Filesz: 16}
		}), "shared library"},
		{"noload", testELF(t, 0, func(h *elf.Header64, p []elf.Prog64) { p[0].Type = uint32(elf.PT_NOTE) }), "nothing to load"},
		{"entry", testELF(t, 0, func(h *elf.Header64, _ []elf.Prog64) { h.Entry = 5 }), "entry point 0x5"},
		{"filesz", testELF(t, 0, func(h *elf.Header64, p []elf.Prog64) { p[0].Memsz = 8 }), "damaged ELF file"},
		{"wrap", testELF(t, 0, func(h *elf.Header64, p []elf.Prog64) { p[0].Off = ^uint64(0) - 1 }), "ELF file"},
		{"vwrap", testELF(t, 0, func(h *elf.Header64, p []elf.Prog64) { p[0].Vaddr = ^uint64(0) - 1 }), "keeps for itself"},
		{"phoff", testELF(t, 0, func(h *elf.Header64, _ []elf.Prog64) { h.Phoff = 1 << 60 }), "ELF file"},
		{"phnum", testELF(t, 0, func(h *elf.Header64, _ []elf.Prog64) { h.Phnum = 65535 }), "damaged ELF file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := writeFile(t, c.name, c.data)
			f, _, _, err := FromELF(p)
			if err == nil {
				f.Close()
				t.Fatal("was taken")
			}
			if msg := err.Error(); !strings.Contains(msg, c.want) || !strings.HasPrefix(msg, p+": ") || strings.Contains(msg, "\n") {
				t.Errorf("error %q, want one line that starts with the path and has %q", msg, c.want)
			}
		})
	}
	for _, c := range []struct{ path, want string }{
		{t.TempDir(), "a folder"},
		{"/dev/null", "not a regular file"},
		{"/does/not/exist", "no such file"},
	} {
		if _, _, _, err := FromELF(c.path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.path, err, c.want)
		}
	}
}
