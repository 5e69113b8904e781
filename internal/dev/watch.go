// SPDX-License-Identifier: Apache-2.0

package dev

import (
	"context"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watcher waits for changes. Without a fsnotify.Watcher it only waits for a while.
type watcher struct {
	source string
	w      *fsnotify.Watcher
}

// watch watches the folders of a source, or the one that a file is in: editors replace files. The watcher is usable with an error, too.
func watch(source string) (*watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return &watcher{source: source}, err
	}
	n := &watcher{source, w}
	if err := n.add(); err != nil {
		w.Close()
		n.w = nil
		return n, err
	}
	return n, nil
}

func (n *watcher) add() error {
	folders := 0
	err := walk(n.source, func(name string, fi fs.FileInfo) error {
		if !fi.IsDir() {
			return nil
		}
		folders++
		return n.w.Add(name)
	})
	if err == nil && folders == 0 {
		root, lerr := filepath.EvalSymlinks(n.source)
		if lerr != nil {
			return lerr
		}
		return n.w.Add(filepath.Dir(root))
	}
	return err
}

// wait returns when something may have changed; false: ctx has ended.
func (n *watcher) wait(ctx context.Context) bool {
	if n.w == nil {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(lookEach):
			return true
		}
	}
	select {
	case <-ctx.Done():
		return false
	case e, ok := <-n.w.Events:
		if ok && e.Has(fsnotify.Create) {
			n.add() // it may be a folder; what cannot be watched is seen with the next change elsewhere
		}
	case <-n.w.Errors: // events were lost: look
	}
	return true
}

func (n *watcher) close() {
	if n.w != nil {
		n.w.Close()
	}
}
