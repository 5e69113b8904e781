// SPDX-License-Identifier: Apache-2.0

package dev_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"unifaas.dev/internal/dev"
)

const waitLimit = 30 * time.Second

// runner runs Run and tells of each time that something was done.
type runner struct {
	*testing.T
	dir  string
	done chan string // what the source said then
	end  func()
}

// start watches a folder with one file; do may be nil.
func start(t *testing.T, source func(dir string) string, do func(dir string)) *runner {
	t.Helper()
	r := &runner{T: t, dir: t.TempDir(), done: make(chan string, 100)}
	r.write("source", "one")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- dev.Run(ctx, dev.Options{Source: source(r.dir), Err: io.Discard, Do: func(context.Context) {
			b, _ := os.ReadFile(filepath.Join(r.dir, "source"))
			if do != nil {
				do(r.dir)
			}
			r.done <- string(b)
		}})
	}()
	r.end = func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("at the end: %v", err)
			}
		case <-time.After(waitLimit):
			t.Error("it does not end")
		}
	}
	return r
}

func (r *runner) write(name, text string) {
	r.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.Fatal(err)
	}
	// As editors do it: another file takes the place.
	if err := os.WriteFile(path+"~", []byte(text), 0o644); err != nil {
		r.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		r.Fatal(err)
	}
}

// wait waits until something was done with the source as it is now.
func (r *runner) wait(want string) {
	r.Helper()
	for limit := time.After(waitLimit); ; {
		select {
		case got := <-r.done:
			if got == want {
				return
			}
		case <-limit:
			r.Fatalf("nothing was done with %q", want)
		}
	}
}

const silence = 500 * time.Millisecond // longer than what settles

// quiet waits until nothing is done any more.
func (r *runner) quiet() {
	r.Helper()
	for range 20 {
		select {
		case <-r.done:
		case <-time.After(silence):
			return
		}
	}
	r.Fatal("it is done again and again")
}

// still checks that nothing is done, after quiet.
func (r *runner) still() {
	r.Helper()
	select {
	case got := <-r.done:
		r.Errorf("done again, with %q", got)
	case <-time.After(silence):
	}
}

func itself(dir string) string { return dir }

func TestChanges(t *testing.T) {
	r := start(t, itself, nil)
	defer r.end()
	r.wait("one")
	r.write("source", "two")
	r.wait("two")
	r.write("a/b/c/deep", "x") // new folders are watched, too
	r.wait("two")
	r.write("a/b/c/deep", "y")
	r.wait("two")
	if err := os.Remove(filepath.Join(r.dir, "a/b/c/deep")); err != nil {
		t.Fatal(err)
	}
	r.wait("two")
	r.quiet()
	r.write("node_modules/x/index.js", "others write this")
	r.write(".git/index", "and this")
	r.write("source.swp", "and this")
	r.still()
	r.write("source", "three")
	r.wait("three")
}

// TestOutputs: what is written while it is done is no reason to do it again, for ever.
func TestOutputs(t *testing.T) {
	n := 0
	r := start(t, itself, func(dir string) {
		n++
		os.WriteFile(filepath.Join(dir, "output"), []byte(strconv.Itoa(n)), 0o644)
	})
	defer r.end()
	r.wait("one")
	r.wait("one") // once more, to find that out
	r.quiet()
	r.write("source", "two")
	r.wait("two")
	r.quiet()
}

// TestMeanwhile: a change while something is done is not lost.
func TestMeanwhile(t *testing.T) {
	var r *runner
	changed := false
	r = start(t, itself, func(dir string) {
		if !changed {
			changed = true
			os.WriteFile(filepath.Join(dir, "source"), []byte("meanwhile"), 0o644)
		}
	})
	defer r.end()
	r.wait("meanwhile")
	r.quiet()
}

func TestFile(t *testing.T) {
	r := start(t, func(dir string) string { return filepath.Join(dir, "source") }, nil)
	defer r.end()
	r.wait("one")
	r.quiet()
	r.write("neighbour", "x")
	r.still()
	r.write("source", "two")
	r.wait("two")
}

func TestNoSource(t *testing.T) {
	err := dev.Run(context.Background(), dev.Options{Source: filepath.Join(t.TempDir(), "none"), Err: io.Discard, Do: func(context.Context) { t.Error("done with nothing") }})
	if err == nil {
		t.Error("no error")
	}
}
