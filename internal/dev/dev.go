// SPDX-License-Identifier: Apache-2.0

// Package dev does something again whenever a source changes: `unifaas dev` builds and deploys. What it does may write into the
// source, as compilers do; that is told apart from what people change.
package dev

import (
	"context"
	"fmt"
	"io"
	"maps"
	"time"
)

const (
	settle   = 150 * time.Millisecond // editors write a file in several steps
	lookEach = time.Second            // where changes cannot be watched
)

// Options say what to look at and what to do.
type Options struct {
	Source string // file or folder
	// Do is called at first and after each change. It says itself what went wrong.
	Do func(ctx context.Context)
	// Err is told what concerns the watching.
	Err io.Writer
}

// Run goes on until ctx ends.
func Run(ctx context.Context, o Options) error {
	files, err := scan(o.Source)
	if err != nil {
		return err
	}
	w, err := watch(o.Source)
	if err != nil {
		fmt.Fprintf(o.Err, "unifaas: changes of %s cannot be watched (%v): it is looked at every second\n", o.Source, err)
	}
	defer w.close()
	written := map[string]bool{} // while it was done
	for {
		before := files
		o.Do(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if files, err = scan(o.Source); err != nil {
			return err
		}
		// What changes while it is done is an output, or somebody was fast: then it is done again. What does so a second time is an output.
		again := false
		for name := range differ(before, files) {
			again = again || !written[name]
			written[name] = true
		}
		if again {
			continue
		}
		for {
			seen, err := scan(o.Source)
			if err != nil {
				return err
			}
			changed := differ(files, seen)
			maps.DeleteFunc(written, func(name string, _ bool) bool { return changed[name] }) // somebody else writes it, too
			if len(changed) > 0 {
				break
			}
			if !w.wait(ctx) {
				return nil
			}
		}
		select { // the rest of what is being saved
		case <-ctx.Done():
			return nil
		case <-time.After(settle):
		}
		if files, err = scan(o.Source); err != nil {
			return err
		}
	}
}

// differ names the files that two looks see differently.
func differ(a, b map[string]stamp) map[string]bool {
	d := map[string]bool{}
	for name, s := range a {
		if b[name] != s {
			d[name] = true
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			d[name] = true
		}
	}
	return d
}
