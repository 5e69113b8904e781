// SPDX-License-Identifier: Apache-2.0

package calltrace

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"unifaas.dev/abi"
	"unifaas.dev/internal/testkit"
)

func payload(t *testing.T, r abi.Trace, pieces ...any) []byte {
	t.Helper()
	p, err := binary.Append(nil, binary.LittleEndian, &r)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pieces); i += 3 {
		p = append(p, byte(pieces[i].(int)), byte(pieces[i+1].(int)))
		p = append(p, pieces[i+2].(string)...)
	}
	return p
}

func args(v ...uint64) (a [6]uint64) {
	copy(a[:], v)
	return a
}

func neg(v int64) uint64 { return uint64(-v) }

func TestLines(t *testing.T) {
	long := "/a/very/long/path/of/which/sixty-three-bytes-and-no-more-are-sent----"
	for _, c := range []struct {
		kind   uint32
		r      abi.Trace
		pieces []any
		want   string
	}{
		{abi.TraceCall, abi.Trace{TID: 1, NR: 0, Arg: args(3, 0x1000, 100), Ret: 5}, []any{1, 5, "a\"\n\x01z"}, `[1] read(3, "a\"\n\1z", 100) = 5`},
		{abi.TraceCall, abi.Trace{TID: 1, NR: 0, Arg: args(3, 0x1000, 100), Ret: 70}, []any{1, 32, "01234567890123456789012345678901"}, `[1] read(3, "01234567890123456789012345678901"..., 100) = 70`},
		{abi.TraceCall, abi.Trace{TID: 1, NR: 0, Arg: args(3, 0x1000, 100), Ret: neg(9)}, nil, `[1] read(3, 0x1000, 100) = -1 EBADF`},
		{abi.TraceUnfinished, abi.Trace{TID: 4, NR: 0, Arg: args(3, 0, 1)}, nil, `[4] read(3, NULL, 1) <unfinished ...>`},
		{abi.TraceResumed, abi.Trace{TID: 4, NR: 0, Ret: 1}, nil, `[4] <... read resumed> = 1`},
		{abi.TraceCall, abi.Trace{TID: 1, NR: 257, Arg: args(neg(100), 8, 0x80041, 0o644), Ret: 3}, []any{1, 2, "/x"}, `[1] openat(AT_FDCWD, "/x", O_WRONLY|O_CREAT|O_CLOEXEC, 0644) = 3`},
		{abi.TraceCall, abi.Trace{TID: 1, NR: 257, Arg: args(5, 8, 0, 0), Ret: neg(2)}, []any{1, 64, (long + "xxxx")[:64]}, `[1] openat(5, "` + long[:63] + `"..., O_RDONLY) = -1 ENOENT`},
		{abi.TraceCall, abi.Trace{TID: 1, NR: 59, Arg: args(8, 16, 24), Ret: neg(2)},
			[]any{0, 2, "/x", 1, 1, "x", 1, 254, "\x10\x00\x00\x00\x00\x00\x00\x00", 1, 255, ""}, `[1] execve("/x", ["x", 0x10, ...], 0x18) = -1 ENOENT`},
		{abi.TraceCall, abi.Trace{TID: 1, NR: 22, Arg: args(8)}, []any{0, 8, "\x03\x00\x00\x00\x04\x00\x00\x00"}, `[1] pipe([3, 4]) = 0`},
		{abi.TraceCall, abi.Trace{TID: 1, NR: 42, Arg: args(3, 8, 16), Ret: neg(111)}, []any{1, 16, "\x02\x00\x00\x50\x7f\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"}, `[1] connect(3, {127.0.0.1:80}, 16) = -1 ECONNREFUSED`},
		{abi.TraceCall, abi.Trace{TID: 1, NR: 9, Arg: args(0, 4096, 3, 0x22, neg(1), 0), Ret: 0x7ffff7ff0000}, nil,
			`[1] mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0x0) = 0x7ffff7ff0000`},
		{abi.TraceCall, abi.Trace{TID: 1, NR: 61, Arg: args(neg(1), 8, 0, 0), Ret: 2}, []any{1, 4, "\x00\x03\x00\x00"}, `[1] wait4(-1, [0x300], 0x0, NULL) = 2`},
		{abi.TraceCall, abi.Trace{TID: 1, NR: 460, Arg: args(1, 2), Ret: neg(38)}, nil, `[1] syscall_460(0x1, 0x2, 0x0, 0x0, 0x0, 0x0) = -1 ENOSYS`},
		{abi.TraceSignal, abi.Trace{TID: 1, NR: 10}, nil, `[1] --- SIGUSR1 (10) ---`},
		{abi.TraceAbsent, abi.Trace{NR: 101}, nil, `unifaas: system call 101 (ptrace) is not implemented`},
		{abi.TraceAbsent, abi.Trace{NR: 460}, nil, `unifaas: system call 460 (unknown) is not implemented`},
	} {
		if got := string(Line(c.kind, payload(t, c.r, c.pieces...))); got != c.want+"\n" {
			t.Errorf("got  %swant %s", got, c.want)
		}
	}
}

// TestHostile: whatever a guest sends becomes one line that its credit covers.
func TestHostile(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		p := make([]byte, rnd.IntN(abi.TraceMax+1))
		for i := range p {
			p[i] = byte(rnd.Uint32() >> (rnd.Uint32() % 32))
		}
		if len(p) > 16 { // a call that is known
			clear(p[8:16])
			binary.LittleEndian.PutUint16(p[8:], uint16(rnd.IntN(470)))
		}
		line := Line(rnd.Uint32N(7), p)
		if len(line) > lineMax || len(line) > abi.TraceCredit || bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
			t.Fatalf("%d bytes: %q", len(line), line)
		}
	}
}

// TestNames: the names are those of the library OS's table.
func TestNames(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testkit.Root(t), "guest/sys/*.def"))
	if err != nil || len(files) == 0 {
		t.Fatal("no tables", err)
	}
	n := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^SYS\((\d+), *(\w+),`).FindAllStringSubmatch(string(text), -1) {
			n++
			if nr, _ := strconv.ParseUint(m[1], 10, 64); names()[nr] != m[2] {
				t.Errorf("call %d is %q here, %q in %s: run make docs", nr, names()[nr], m[2], filepath.Base(f))
			}
		}
	}
	if n != len(names()) {
		t.Errorf("%d names, %d calls: run make docs", len(names()), n)
	}
}

func TestTable(t *testing.T) {
	table := Table()
	if got := table[1]; got != abi.TraceData<<4 {
		t.Errorf("write: 0x%x", got)
	}
	if got := table[59]; got != abi.TraceString|abi.TraceStrings<<4 {
		t.Errorf("execve: 0x%x", got)
	}
	for name := range tables().kinds {
		found := false
		for _, n := range names() {
			found = found || n == name
		}
		if !found {
			t.Errorf("%s is no system call", name)
		}
	}
}
