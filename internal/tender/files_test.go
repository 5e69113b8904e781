// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/hostfolder"
	"unifaas.dev/internal/tender"
	"unifaas.dev/internal/tender/tendertest"
)

// fileReq sends a request for a file.
func fileReq(g *tendertest.Guest, tag, op uint32, path string, r abi.FileReq) {
	b, _ := binary.Append(nil, binary.LittleEndian, &r)
	g.Send(abi.MsgFile, tag, op, append(b, path...))
}

// answer waits for an answer.
func answer(g *tendertest.Guest) tendertest.Msg {
	for {
		if m := g.Next(); m.Type == abi.MsgFileReply {
			return m
		}
	}
}

func ask(g *tendertest.Guest, op uint32, path string, r abi.FileReq) tendertest.Msg {
	fileReq(g, 7, op, path, r)
	return answer(g)
}

func say(g *tendertest.Guest, format string, args ...any) {
	g.Send(abi.MsgData, abi.ConnStdout, 0, fmt.Appendf(nil, format+"\n", args...))
}

func inodeOf(g *tendertest.Guest, path string) uint64 {
	var st abi.FileStatReply
	binary.Decode(ask(g, abi.FileStat, path, abi.FileReq{}).Data, binary.LittleEndian, &st)
	return st.Inode
}

// filesGuest looks at the folder that TestFiles serves.
func filesGuest(g *tendertest.Guest) uint32 {
	say(g, "flag %t", g.Config.Boot.Flags&abi.BootFiles != 0)
	say(g, "none %d", ask(g, abi.FileStat, "none", abi.FileReq{}).Arg)
	say(g, "out %d", ask(g, abi.FileStat, "../x", abi.FileReq{}).Arg)
	say(g, "link %s", ask(g, abi.FileLink, "link", abi.FileReq{}).Data)
	say(g, "list %t", len(ask(g, abi.FileList, "", abi.FileReq{}).Data) > 8)
	ino := inodeOf(g, "large")
	m := ask(g, abi.FileRead, "large", abi.FileReq{Inode: ino, From: 5, Len: abi.FileReadMax})
	say(g, "read %d %s", len(m.Data), m.Data[:5])
	m = ask(g, abi.FileMap, "large", abi.FileReq{Inode: ino})
	var where abi.FileMapReply
	binary.Decode(m.Data, binary.LittleEndian, &where)
	p := make([]byte, 5)
	n, err := g.Mapped(where.Offset, p, 3<<20-5)
	say(g, "map %d %d %d %s %d %v", m.Arg, where.Offset, where.Size, p, n, err)
	fileReq(g, 0, abi.FileUnmap, "", abi.FileReq{From: where.Offset})
	_, err = g.Mapped(where.Offset, p, 0)
	for err == nil { // the tender takes it away when it sees the message
		g.Bell()
		_, err = g.Mapped(where.Offset, p, 0)
	}
	return 0
}

// many has all requests under way at once, again and again.
func many(g *tendertest.Guest) uint32 {
	ino := inodeOf(g, "large")
	for range 20 {
		for tag := range uint32(abi.FileTags) {
			fileReq(g, tag, abi.FileRead, "large", abi.FileReq{Inode: ino, Len: abi.FileReadMax})
		}
		seen := map[uint32]bool{}
		for range abi.FileTags {
			if m := answer(g); m.Arg != 0 || seen[m.Conn] || len(m.Data) != abi.FileReadMax {
				return 1 << 8
			} else {
				seen[m.Conn] = true
			}
		}
	}
	return 0
}

func serve(t *testing.T) (tender.Files, func(*tender.StartOptions), *outputs) {
	t.Helper()
	dir := t.TempDir()
	large := bytes.Repeat([]byte("0123456789"), 3<<20/10+1)[:3<<20]
	if err := os.WriteFile(filepath.Join(dir, "large"), large, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("to", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	f, err := hostfolder.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	out := &outputs{}
	return f, func(o *tender.StartOptions) { o.Files, o.OnOutput = f, out.add }, out
}

func TestFiles(t *testing.T) {
	_, with, out := serve(t)
	e := exit(t, boot(t, start(t, "files", with)))
	if e.Kind != tender.Exited || e.Status != 0 {
		t.Fatalf("%+v", e)
	}
	var lines []string
	for _, l := range out.lines {
		lines = append(lines, l.Line)
	}
	// 3 MiB is 3145728: the last five bytes are digits 3 to 7.
	want := fmt.Sprintf("flag true|none %d|out %d|link to|list true|read %d 56789|map 0 0 %d 34567 5 <nil>", unix.ENOENT, unix.EINVAL, abi.FileReadMax, 3<<20)
	if got := strings.Join(lines, "|"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestManyFiles(t *testing.T) {
	_, with, _ := serve(t)
	tn := start(t, "many-files", with)
	var all sync.WaitGroup
	for range 4 {
		i := boot(t, tn)
		all.Go(func() {
			<-i.Done()
			if e := i.Exit(); e.Kind != tender.Exited || e.Status != 0 {
				t.Errorf("%+v", e)
			}
		})
	}
	all.Wait()
}

// TestKilledWhileAsking: answers for an instance that is gone are nobody's trouble.
func TestKilledWhileAsking(t *testing.T) {
	f, with, _ := serve(t)
	slow := &slowFiles{Files: f, hold: make(chan struct{}), asked: make(chan struct{}, abi.FileTags)}
	tn := start(t, "many-files", with, func(o *tender.StartOptions) { o.Files = slow })
	i := boot(t, tn)
	<-slow.asked
	i.Kill("enough")
	exit(t, i)
	close(slow.hold)
	if e := exit(t, boot(t, tn)); e.Kind != tender.Exited || e.Status != 0 {
		t.Errorf("the next instance: %+v", e)
	}
}

type slowFiles struct {
	tender.Files
	hold  chan struct{}
	asked chan struct{}
}

func (s *slowFiles) Do(r hostfolder.Request) hostfolder.Reply {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	<-s.hold
	return s.Files.Do(r)
}

// hostileFiles are guests that break the rules of the queue.
var hostileFiles = map[string]struct {
	program tendertest.Program
	report  string
}{
	"files-twice": {func(g *tendertest.Guest) uint32 {
		for range 2 {
			fileReq(g, 1, abi.FileStat, "", abi.FileReq{})
		}
		return forever(g)
	}, "request 1 for a file beside 1 others"},
	"files-many": {func(g *tendertest.Guest) uint32 {
		for tag := range uint32(abi.FileTags + 1) {
			fileReq(g, tag, abi.FileStat, "", abi.FileReq{})
		}
		return forever(g)
	}, "request 64 for a file beside 64 others"},
	"files-kind": {func(g *tendertest.Guest) uint32 {
		fileReq(g, 1, 99, "", abi.FileReq{})
		return forever(g)
	}, "request of kind 99"},
	"files-unmap": {func(g *tendertest.Guest) uint32 {
		fileReq(g, 1, abi.FileUnmap, "", abi.FileReq{From: 4096})
		return forever(g)
	}, "gives back a file at 0x1000"},
	"files-short": {func(g *tendertest.Guest) uint32 {
		g.Send(abi.MsgFile, 1, abi.FileStat, make([]byte, 23))
		return forever(g)
	}, "23 bytes of payload"},
	"files-long": {func(g *tendertest.Guest) uint32 {
		fileReq(g, 1, abi.FileStat, strings.Repeat("x", abi.FilePath+1), abi.FileReq{})
		return forever(g)
	}, "bytes of payload"},
}

func TestHostileFiles(t *testing.T) {
	f, with, _ := serve(t)
	for name, c := range hostileFiles {
		t.Run(name, func(t *testing.T) {
			slow := &slowFiles{Files: f, hold: make(chan struct{})}
			tn := start(t, name, with, func(o *tender.StartOptions) { o.Files = slow })
			e := exit(t, boot(t, tn))
			close(slow.hold)
			if e.Kind != tender.Protocol || !strings.Contains(e.Report, c.report) {
				t.Errorf("%+v", e)
			}
		})
	}
	e := exit(t, boot(t, start(t, "files")))
	if e.Kind != tender.Protocol || !strings.Contains(e.Report, "no folder is served") {
		t.Errorf("without a folder: %+v", e)
	}
}

func addFiles(to map[string]tendertest.Program) {
	to["files"], to["many-files"] = filesGuest, many
	for name, h := range hostileFiles {
		to[name] = h.program
	}
}
