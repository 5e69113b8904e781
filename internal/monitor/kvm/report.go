// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// report is the reason, the registers and what the guest itself had to say.
func (s *sandbox) report(reason string) string {
	var b strings.Builder
	b.WriteString(reason)
	b.WriteByte('\n')
	s.writeRegisters(&b)
	if g := s.guestReport(); g != "" {
		b.WriteString(g)
		b.WriteByte('\n')
	}
	return b.String()
}

// writeRegisters shows the vCPU. Preconditions: it is outside of the guest.
func (s *sandbox) writeRegisters(b *strings.Builder) {
	r := &s.vcpu.run.Sync.Regs
	fmt.Fprintf(b, "rip %016x  rsp %016x  rflags %08x%s\n", r.RIP, r.RSP, r.RFLAGS, s.place(r.RIP))
	fmt.Fprintf(b, "rax %016x  rbx %016x  rcx %016x  rdx %016x\n", r.RAX, r.RBX, r.RCX, r.RDX)
	fmt.Fprintf(b, "rsi %016x  rdi %016x  rbp %016x  r8  %016x\n", r.RSI, r.RDI, r.RBP, r.R8)
	fmt.Fprintf(b, "r9  %016x  r10 %016x  r11 %016x  r12 %016x\n", r.R9, r.R10, r.R11, r.R12)
	fmt.Fprintf(b, "r13 %016x  r14 %016x  r15 %016x\n", r.R13, r.R14, r.R15)
	var sr kvmabi.Sregs
	if _, err := ioctlPtr(s.vcpu.raw, kvmabi.GetSregs, &sr); err == nil {
		fmt.Fprintf(b, "cs %04x  ss %04x  fs %016x  gs %016x  cr2 %016x  cr3 %x\n",
			sr.CS.Selector, sr.SS.Selector, sr.FS.Base, sr.GS.Base, sr.CR2, sr.CR3)
	}
}

// place says whose code an address is.
func (s *sandbox) place(rip uint64) string {
	if rip >= s.header.TextStart && rip < s.header.TextEnd {
		return fmt.Sprintf("  (library OS + 0x%x)", rip-s.header.TextStart)
	}
	return ""
}

// guestReport is the text in the report area, without what could confuse a terminal or a log.
func (s *sandbox) guestReport() string {
	text := make([]byte, abi.ReportSize)
	if err := s.mem.shared.ReadAt(text, abi.ReportOff); err != nil {
		return ""
	}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	clean := strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r != utf8.RuneError && unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, string(text))
	return strings.TrimRight(clean, "\n")
}
