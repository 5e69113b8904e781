// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"unifaas.dev/internal/tender"
)

// echo sends data and its end, and compares what comes back.
func echo(c net.Conn, data []byte) error {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		if err == nil {
			err = c.(*net.UnixConn).CloseWrite()
		}
		sent <- err
	}()
	back, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if err := <-sent; err != nil {
		return err
	}
	if !bytes.Equal(back, data) {
		return fmt.Errorf("sent %d bytes, got %d others", len(data), len(back))
	}
	return nil
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func TestStreams(t *testing.T) {
	i := boot(t, start(t, "echo"))
	listening(t, i)
	for _, n := range []int{0, 1, 1000, 65535, 65536, 65537, 5 << 20} {
		c, err := i.Dial(t.Context(), 8080)
		if err != nil {
			t.Fatal(err)
		}
		if err := echo(c, random(n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	s, err := i.Stats(t.Context())
	if err != nil || s.Streams != 0 || s.Accepted != 7 {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestManyStreams(t *testing.T) {
	i := boot(t, start(t, "tardy")) // dialled before it listens
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			c, err := i.Dial(t.Context(), 8080)
			if err == nil {
				err = echo(c, random(100<<10))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestKeepAlive is many small exchanges on one stream.
func TestKeepAlive(t *testing.T) {
	i := boot(t, start(t, "echo"))
	listening(t, i)
	c, err := i.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 512)
	for n := range 1000 {
		msg := random(512)
		if _, err := c.Write(msg); err != nil {
			t.Fatal(n, err)
		}
		if _, err := io.ReadFull(c, b); err != nil || !bytes.Equal(b, msg) {
			t.Fatal(n, err)
		}
	}
}

// TestSlowReader fills a stream whose reader waits; the others go on.
func TestSlowReader(t *testing.T) {
	i := boot(t, start(t, "echo"))
	listening(t, i)
	slow, err := i.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	data := random(1 << 20)
	go func() {
		_, _ = slow.Write(data)
		_ = slow.(*net.UnixConn).CloseWrite()
	}()
	time.Sleep(50 * time.Millisecond)
	fast, err := i.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	if err := echo(fast, random(1<<20)); err != nil {
		t.Error(err)
	}
	_ = slow.SetDeadline(time.Now().Add(20 * time.Second))
	if back, err := io.ReadAll(slow); err != nil || !bytes.Equal(back, data) {
		t.Errorf("%d bytes, %v", len(back), err)
	}
}

func TestFinalWords(t *testing.T) {
	i := boot(t, start(t, "final-words"))
	c, err := i.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if b, err := io.ReadAll(c); err != nil || string(b) != "goodbye" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestNobodyListens: a stream to a port that never comes ends with the instance.
func TestNobodyListens(t *testing.T) {
	i := boot(t, start(t, "loop"))
	c, err := i.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	i.Kill("enough")
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if b, err := io.ReadAll(c); err != nil || len(b) != 0 {
		t.Errorf("%q, %v", b, err)
	}
}

// TestStdio passes pipes through.
func TestStdio(t *testing.T) {
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tn := start(t, "cat")
	i, err := tn.BootWith(t.Context(), tender.BootOptions{ID: "i1", Stdin: inR, Stdout: outW})
	if err != nil {
		t.Fatal(err)
	}
	inR.Close()
	outW.Close()
	data := random(3 << 20)
	go func() {
		_, _ = inW.Write(data)
		inW.Close()
	}()
	got, err := io.ReadAll(outR)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if e := exit(t, i); e.Kind != tender.Exited || e.Code() != 0 {
		t.Errorf("got %+v", e)
	}
}

// TestStdioFiles passes regular files through, which epoll does not take, and a reader that goes away.
func TestStdioFiles(t *testing.T) {
	dir := t.TempDir()
	data := random(1 << 20)
	if err := os.WriteFile(dir+"/in", data, 0o600); err != nil {
		t.Fatal(err)
	}
	in, _ := os.Open(dir + "/in")
	out, _ := os.Create(dir + "/out")
	tn := start(t, "cat")
	i, err := tn.BootWith(t.Context(), tender.BootOptions{ID: "i1", Stdin: in, Stdout: out})
	if err != nil {
		t.Fatal(err)
	}
	exit(t, i)
	if got, _ := os.ReadFile(dir + "/out"); !bytes.Equal(got, data) {
		t.Errorf("%d bytes", len(got))
	}

	in, _ = os.Open(dir + "/in")
	r, w, _ := os.Pipe()
	i, err = tn.BootWith(t.Context(), tender.BootOptions{ID: "i2", Stdin: in, Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.Close()
	if e := exit(t, i); e.Code() != 128+13 {
		t.Errorf("got %+v", e)
	}
}

func list(t *testing.T, pid int) (links []string) {
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		l, _ := os.Readlink(dir + e.Name())
		links = append(links, e.Name()+" "+l)
	}
	return links
}

// TestNoLeaks: what connections and instances took is given back.
func TestNoLeaks(t *testing.T) {
	tn := start(t, "echo")
	count := func(pid int) int { return len(list(t, pid)) }
	round := func() {
		i := boot(t, tn)
		listening(t, i)
		for range 20 {
			c, err := i.Dial(t.Context(), 8080)
			if err != nil {
				t.Fatal(err)
			}
			if err := echo(c, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		open, err := i.Dial(t.Context(), 8080) // stays open
		if err != nil {
			t.Fatal(err)
		}
		waiting, err := i.Dial(t.Context(), 99)
		if err != nil {
			t.Fatal(err)
		}
		i.Kill("done")
		exit(t, i)
		open.Close()
		waiting.Close()
	}
	round()
	settled := func() (int, int) {
		time.Sleep(50 * time.Millisecond)
		return count(tn.PID()), count(os.Getpid())
	}
	theirs, ours := settled()
	for range 20 {
		round()
	}
	t2, o2 := settled() // the runtime opens a few of its own when it first needs them
	for range 20 {
		if t2 > theirs+3 || o2 > ours+2 {
			t2, o2 = settled()
		}
	}
	if t2 > theirs+3 || o2 > ours+2 {
		for _, fd := range list(t, tn.PID()) {
			t.Log(fd)
		}
		t.Errorf("descriptors: tender %d, then %d; here %d, then %d", theirs, t2, ours, o2)
	}
}
