// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, dir string) *Book {
	t.Helper()
	b, err := Open(dir, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func texts(lines []Line) string {
	var s []string
	for _, l := range lines {
		s = append(s, l.Text)
	}
	return strings.Join(s, " ")
}

func TestReadChooses(t *testing.T) {
	b := open(t, "")
	t0 := time.Now()
	for i := range 6 {
		b.Append("f", Line{Time: t0.Add(time.Duration(i) * time.Second), Instance: fmt.Sprintf("i%d", i%2), Stream: Stdout, Text: fmt.Sprint(i)})
	}
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{Tail: -1}, "0 1 2 3 4 5"},
		{Query{Tail: 2}, "4 5"},
		{Query{Tail: 0}, ""},
		{Query{Tail: -1, Instance: "i1"}, "1 3 5"},
		{Query{Tail: 1, Instance: "i0"}, "4"},
		{Query{Tail: -1, Since: t0.Add(4 * time.Second)}, "4 5"},
	} {
		if got := texts(b.Read("f", c.q)); got != c.want {
			t.Errorf("%+v: %q, want %q", c.q, got, c.want)
		}
	}
	if got := b.Read("other", Query{Tail: -1}); len(got) != 0 {
		t.Errorf("another function's log has %d lines", len(got))
	}
}

func TestRestartKeepsLines(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	b.Append("f", Line{Instance: "a", Stream: Stderr, Text: "before"})
	b.Close()
	if err := appendRaw(filepath.Join(dir, "f.log"), `{"timestamp":"2026-`); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir)
	if got := texts(b.Read("f", Query{Tail: -1})); got != "before" {
		t.Errorf("after a restart: %q", got)
	}
	b.Remove("f")
	if _, err := os.Stat(filepath.Join(dir, "f.log")); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}

func appendRaw(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

func TestBounds(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	long := strings.Repeat("x", 2*MaxLine)
	for range 1000 {
		b.Append("f", Line{Text: long})
	}
	lines := b.Read("f", Query{Tail: -1})
	total := 0
	for _, l := range lines {
		total += len(l.Text)
	}
	if total > ringSize || len(lines) == 0 || len(lines[0].Text) > MaxLine+10 {
		t.Errorf("%d lines, %d bytes, first of %d", len(lines), total, len(lines[0].Text))
	}
	for range 20 { // several flushes: the files stay bounded
		for range 60 {
			b.Append("f", Line{Text: long})
		}
		b.flush()
	}
	b.Close()
	for _, name := range []string{"f.log", "f.log.1"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() > fileSize+ringSize*2 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestFollow(t *testing.T) {
	b := open(t, "")
	b.Append("f", Line{Text: "0"})
	var mu sync.Mutex
	var got []string
	follow := func(ctx context.Context) chan error {
		end := make(chan error, 1)
		go func() {
			end <- b.Follow(ctx, "f", Query{Tail: -1}, func(lines []Line) error {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, texts(lines))
				return nil
			})
		}()
		return end
	}
	ctx, cancel := context.WithCancel(context.Background())
	first := follow(ctx)
	want := "0"
	for i := 1; i < 20; i++ {
		b.Append("f", Line{Text: fmt.Sprint(i)})
		want += fmt.Sprintf(" %d", i)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		mu.Lock()
		have := strings.Join(got, " ")
		mu.Unlock()
		if have == want {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("followed %q, want %q", have, want)
		}
	}
	cancel()
	if err := <-first; err != nil {
		t.Error(err)
	}
	second := follow(context.Background())
	b.Close()
	if err := <-second; err != nil {
		t.Error(err)
	}
}

func TestDiskRefuses(t *testing.T) {
	dir := t.TempDir()
	var said []string
	b, err := Open(dir, func(s string) { said = append(said, s) })
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "f.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.Append("f", Line{Text: "1"})
	b.flush()
	b.Append("f", Line{Text: "2"})
	b.flush()
	if got := texts(b.Read("f", Query{Tail: -1})); got != "1 2" {
		t.Errorf("in memory: %q", got)
	}
	b.Close()
	if len(said) != 1 || !strings.Contains(said[0], "f.log") {
		t.Errorf("warnings: %q", said)
	}
}
