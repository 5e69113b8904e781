// SPDX-License-Identifier: Apache-2.0

// Package calltrace writes the lines of `unifaas run --strace` out of the records that a guest sends (struct ufs_trace): one line a
// system call, as strace(1) has it. What a record says is hostile: any record makes some line of bounded length.
//
// It knows the names of calls, errors, signals and flags, so that the library OS does not have to.
package calltrace

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"unifaas.dev/abi"
)

// lineMax is what a line may have, its end included; record and line take abi.TraceCredit of the log's credit.
const lineMax = 480

// What arguments point to is cut at these by the guest.
const (
	stringMax = 63
	dataMax   = 32
)

// Lengths of chunks that stand for something else.
const (
	cutString  = 64   // stringMax bytes, the last is nothing: the string goes on
	badPointer = 0xfe // eight bytes: where a string should have been
	andMore    = 0xff // more strings
)

// record is one message of the guest, taken apart.
type record struct {
	tid    uint32
	nr     uint64
	arg    [7]uint64 // the last is 0: each has one behind it
	ret    int64
	chunks [6][]chunk
}

type chunk struct {
	length byte
	data   []byte
}

// parse takes what there is; a record that ends early has fewer chunks.
func parse(p []byte) record {
	var full [abi.TraceSize]byte
	n := copy(full[:], p)
	var r record
	le := binary.LittleEndian
	r.tid = le.Uint32(full[0:])
	r.nr = le.Uint64(full[8:])
	for i := range 6 {
		r.arg[i] = le.Uint64(full[16+8*i:])
	}
	r.ret = int64(le.Uint64(full[64:]))
	for p = p[n:]; len(p) >= 2; {
		arg, c := p[0], chunk{length: p[1]}
		size := int(c.length)
		switch c.length {
		case badPointer:
			size = 8
		case andMore:
			size = 0
		}
		p = p[2:]
		if arg >= 6 || size > len(p) {
			break
		}
		c.data, p = p[:size], p[size:]
		r.chunks[arg] = append(r.chunks[arg], c)
	}
	return r
}

// Line is what stands in the log for one message UFS_MSG_TRACE of the given kind.
func Line(kind uint32, payload []byte) []byte {
	r := parse(payload)
	var b strings.Builder
	if kind != abi.TraceAbsent {
		fmt.Fprintf(&b, "[%d] ", int32(r.tid))
	}
	switch kind {
	case abi.TraceCall:
		r.call(&b)
		r.result(&b)
	case abi.TraceUnfinished:
		r.call(&b)
		b.WriteString(" <unfinished ...>")
	case abi.TraceResumed:
		fmt.Fprintf(&b, "<... %s resumed>", r.name())
		r.result(&b)
	case abi.TraceSignal:
		name, ok := signalNames()[r.nr]
		if !ok {
			name = "RT"
		}
		fmt.Fprintf(&b, "--- SIG%s (%d) ---", name, r.nr)
	case abi.TraceAbsent:
		name, ok := names()[r.nr]
		if !ok {
			name = "unknown"
		}
		fmt.Fprintf(&b, "unifaas: system call %d (%s) is not implemented", r.nr, name)
	default:
		fmt.Fprintf(&b, "record of unknown kind %d", kind)
	}
	line := b.String()
	return append([]byte(line[:min(len(line), lineMax-2)]), '\n')
}

func (r *record) name() string {
	if name, ok := names()[r.nr]; ok {
		return name
	}
	return "syscall_" + strconv.FormatUint(r.nr, 10)
}

func (r *record) call(b *strings.Builder) {
	name := r.name()
	kinds, ok := kindsOf(name)
	if !ok {
		kinds = "xxxxxx"
	}
	b.WriteString(name + "(")
	for i := range len(kinds) {
		if i > 0 && kinds[i-1] == 'O' && kinds[i] == 'o' && r.arg[i-1]&0x400040 == 0 {
			break // a mode only where a file is made
		}
		if i > 0 {
			b.WriteString(", ")
		}
		r.argument(b, kinds[i], i)
	}
	b.WriteByte(')')
}

func (r *record) result(b *strings.Builder) {
	if name, ok := errnoName(r.ret); ok {
		b.WriteString(" = -1 E" + name)
	} else if r.ret > 0xffffffff { // an address
		fmt.Fprintf(b, " = 0x%x", r.ret)
	} else {
		fmt.Fprintf(b, " = %d", r.ret)
	}
}

// argument writes argument i, which is of the given kind.
func (r *record) argument(b *strings.Builder, kind byte, i int) {
	v := r.arg[i]
	var at []byte // what it points to
	has := len(r.chunks[i]) > 0
	if has {
		at = r.chunks[i][0].data
	}
	le := binary.LittleEndian
	switch kind {
	case 'd':
		fmt.Fprintf(b, "%d", int32(v))
	case 'u':
		fmt.Fprintf(b, "%d", v)
	case 'o':
		fmt.Fprintf(b, "0%o", uint32(v))
	case 'x':
		fmt.Fprintf(b, "0x%x", v)
	case 'D':
		if int32(v) == -100 {
			b.WriteString("AT_FDCWD")
		} else {
			fmt.Fprintf(b, "%d", int32(v))
		}
	case 'O':
		none := "RDONLY"
		if v&3 != 0 {
			none = ""
		}
		bits(b, "O_", openBits(), uint64(uint32(v)), none)
	case 'P':
		none := ""
		if v == 0 {
			none = "NONE"
		}
		bits(b, "PROT_", protBits(), v, none)
	case 'M':
		bits(b, "MAP_", mapBits(), v, "")
	case 'S':
		if name, ok := signalNames()[v]; ok {
			b.WriteString("SIG" + name)
		} else {
			fmt.Fprintf(b, "%d", int32(v))
		}
	case 'v':
		r.strings(b, i)
	case 's':
		if !has {
			pointer(b, v)
		} else {
			r.chunks[i][0].quoteString(b)
		}
	case 'B', 'b':
		n := r.arg[i+1]
		if kind == 'b' && r.ret >= 0 {
			n = min(n, uint64(r.ret))
		}
		if !has {
			pointer(b, v)
		} else {
			quote(b, at, n > dataMax)
		}
	case 'a':
		if !has || len(at) < 4 {
			pointer(b, v)
		} else {
			address(b, at)
		}
	case 't', 'i', 'l', 'z':
		switch {
		case kind == 't' && len(at) == 16:
			fmt.Fprintf(b, "{%d.%d}", int64(le.Uint64(at)), le.Uint64(at[8:]))
		case kind == 'i' && len(at) == 8:
			fmt.Fprintf(b, "[%d, %d]", int32(le.Uint32(at)), int32(le.Uint32(at[4:])))
		case kind == 'l' && len(at) == 8:
			fmt.Fprintf(b, "[%d]", le.Uint64(at))
		case kind == 'z' && len(at) == 4 && r.ret > 0:
			fmt.Fprintf(b, "[0x%x]", le.Uint32(at))
		default:
			pointer(b, v)
		}
	default:
		pointer(b, v)
	}
}

func (r *record) strings(b *strings.Builder, i int) {
	b.WriteByte('[')
	for k, c := range r.chunks[i] {
		if k > 0 {
			b.WriteString(", ")
		}
		switch c.length {
		case andMore:
			b.WriteString("...")
		case badPointer:
			pointer(b, binary.LittleEndian.Uint64(c.data))
		default:
			c.quoteString(b)
		}
	}
	b.WriteByte(']')
}

func (c chunk) quoteString(b *strings.Builder) {
	if c.length == cutString {
		quote(b, c.data[:stringMax], true)
	} else {
		quote(b, c.data, false)
	}
}

func pointer(b *strings.Builder, v uint64) {
	if v != 0 {
		fmt.Fprintf(b, "0x%x", v)
	} else {
		b.WriteString("NULL")
	}
}

func quote(b *strings.Builder, p []byte, more bool) {
	b.WriteByte('"')
	for _, c := range p {
		switch {
		case c == '\n':
			b.WriteString(`\n`)
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c >= 32 && c < 127:
			b.WriteByte(c)
		default:
			fmt.Fprintf(b, `\%o`, c)
		}
	}
	b.WriteByte('"')
	if more {
		b.WriteString("...")
	}
}

// address is a struct sockaddr of at least four bytes.
func address(b *strings.Builder, p []byte) {
	port := binary.BigEndian.Uint16(p[2:])
	switch {
	case p[0] == 1 && p[2] == 0:
		b.WriteString("{unix @" + text(p[3:]) + "}")
	case p[0] == 1:
		b.WriteString("{unix " + text(p[2:]) + "}")
	case p[0] == 2 && len(p) >= 8:
		fmt.Fprintf(b, "{%d.%d.%d.%d:%d}", p[4], p[5], p[6], p[7], port)
	default:
		fmt.Fprintf(b, "{family %d, port %d}", p[0], port)
	}
}

// text is p up to its NUL, with nothing in it that a terminal would obey.
func text(p []byte) string {
	s, _, _ := strings.Cut(string(p), "\x00")
	return strings.Map(func(c rune) rune {
		if c < 32 || c >= 127 {
			return '?'
		}
		return c
	}, s)
}

func bits(b *strings.Builder, prefix string, table []bit, v uint64, none string) {
	bar := ""
	if none != "" {
		b.WriteString(prefix + none)
		bar = "|"
	}
	for _, t := range table {
		if v&t.value == 0 {
			continue
		}
		b.WriteString(bar + prefix + t.name)
		bar = "|"
		v &^= t.value
	}
	if v != 0 || bar == "" {
		fmt.Fprintf(b, "%s0x%x", bar, v)
	}
}
