// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"unifaas.dev/internal/snapshot"
)

const (
	tempPrefix = ".new-"
	snapSuffix = ".snapshot"
	packSuffix = ".pack"
)

// snap is a snapshot on disk.
type snap struct {
	id    string
	key   snapshot.Key
	packs []packID
	pages int
	bytes int64     // of its manifest on the disk
	used  time.Time // guarded by Store.mu
}

// pack is a file of pages.
type pack struct {
	id    packID
	users int   // snapshots that have pages in it
	bytes int64 // on the disk
}

func (s *Store) snapFile(id string) string   { return filepath.Join(s.dir, id+snapSuffix) }
func (s *Store) packFile(id packID) string   { return filepath.Join(s.dir, id.String()+packSuffix) }
func (s *Store) remove(path string)          { s.warn(s.unlink(path)) }
func (s *Store) damage(path string, e error) { s.warn(fmt.Errorf("%s is removed: %w", path, e)) }

func (s *Store) unlink(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("snapshots: cannot remove %s: %w", path, cause(err))
	}
	return nil
}

// scan reads the folder when it is opened, and removes what is no good: files that were being written when the node ended, what is
// damaged, packs that no snapshot refers to, and in others the pages that none does.
func (s *Store) scan() error {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("snapshots in %s: %w", s.dir, cause(err))
	}
	found := map[packID]bool{}
	for _, f := range files {
		path := filepath.Join(s.dir, f.Name())
		switch name := f.Name(); {
		case strings.HasPrefix(name, tempPrefix):
			s.remove(path)
		case strings.HasSuffix(name, packSuffix):
			var id packID
			if n, err := hex.Decode(id[:], []byte(strings.TrimSuffix(name, packSuffix))); n != len(id) || err != nil || s.packFile(id) != path {
				s.damage(path, damaged("its name"))
				s.remove(path)
				continue
			}
			found[id] = true
		}
	}
	live := map[packID][]bool{}
	bytes := map[packID]int64{}
	for id := range found {
		pages, n, err := s.lookPack(id)
		if err != nil {
			s.damage(s.packFile(id), err)
			s.remove(s.packFile(id))
			continue
		}
		live[id] = make([]bool, pages)
		bytes[id] = n
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), snapSuffix) {
			continue
		}
		path := filepath.Join(s.dir, f.Name())
		if err := s.addFile(path, strings.TrimSuffix(f.Name(), snapSuffix), live); err != nil {
			s.damage(path, err)
			s.remove(path)
		}
	}
	for id, l := range live {
		p := s.packs[id]
		if p == nil {
			s.remove(s.packFile(id))
			continue
		}
		p.bytes = bytes[id]
		if p.bytes >= packStart(len(l))+count(l)*pageSize+pageSize {
			s.warn(s.cut(p, l))
		}
	}
	s.evict(0, "")
	return nil
}

func count(live []bool) (n int64) {
	for _, l := range live {
		if l {
			n++
		}
	}
	return n
}

func (s *Store) lookPack(id packID) (pages int, bytes int64, err error) {
	r, err := openPack(s.packFile(id))
	if err != nil {
		return 0, 0, err
	}
	defer r.Close()
	n, err := space(r.f)
	return r.pages, n, err
}

// addFile takes a manifest of the folder in, and marks the pages that it needs.
func (s *Store) addFile(path, id string, live map[packID][]bool) error {
	fi, err := os.Stat(path)
	if err != nil {
		return cause(err)
	}
	m, err := readManifest(path)
	if err != nil {
		return err
	}
	if m.key.ID() != id {
		return damaged("it is not for the key in its name")
	}
	for _, r := range m.runs {
		if l := live[m.packs[r.pack]]; uint64(r.from)+uint64(r.pages) > uint64(len(l)) {
			return damaged("pages %d to %d of %s are missing", r.from, uint64(r.from)+uint64(r.pages)-1, s.packFile(m.packs[r.pack]))
		}
	}
	for _, r := range m.runs {
		l := live[m.packs[r.pack]]
		for i := range r.pages {
			l[r.from+i] = true
		}
	}
	s.add(&snap{id: id, key: m.key, packs: m.packs, pages: m.pages(), bytes: pagesOf(fi.Size()) * pageSize, used: fi.ModTime()})
	return nil
}

// add makes a snapshot known. Preconditions: mu is held, or nobody else knows the store.
func (s *Store) add(sn *snap) {
	s.snaps[sn.id] = sn
	for _, id := range sn.packs {
		p := s.packs[id]
		if p == nil {
			p = &pack{id: id}
			s.packs[id] = p
		}
		p.users++
	}
}

func readManifest(path string) (*manifest, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged("it is missing")
	} else if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, cause(err)
	}
	if !fi.Mode().IsRegular() || fi.Size() > snapMax {
		return nil, damaged("%d bytes", fi.Size())
	}
	b := make([]byte, fi.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, damaged("read: %v", cause(err))
	}
	return decodeManifest(b)
}

// touch notes that a snapshot was used; those used least recently go first. nil is allowed. Preconditions: mu is held.
func (s *Store) touch(sn *snap) {
	if now := time.Now(); sn != nil && now.Sub(sn.used) > time.Second {
		sn.used = now
		_ = os.Chtimes(s.snapFile(sn.id), now, now) // only the order in which snapshots go depends on it
	}
}

// Drop forgets a snapshot: it turned out to be useless. Who uses its memory keeps it until Close.
func (s *Store) Drop(k snapshot.Key, why error) error {
	id := k.ID()
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return errClosed
	}
	s.saving.Lock()
	defer s.saving.Unlock()
	if why != nil {
		s.damage(s.snapFile(id), why)
	}
	return s.drop(id, nil)
}

// Keep forgets all snapshots whose key is not wanted any more, and frees what only they need. Those that are saved meanwhile stay.
func (s *Store) Keep(wanted func(snapshot.Key) bool) error {
	s.mu.Lock()
	var all, out []*snap
	for _, sn := range s.snaps {
		all = append(all, sn)
	}
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return errClosed
	}
	for _, sn := range all {
		if !wanted(sn.key) {
			out = append(out, sn)
		}
	}
	s.saving.Lock()
	defer s.saving.Unlock()
	var err error
	for _, sn := range out {
		err = errors.Join(err, s.drop(sn.id, sn))
	}
	return err
}

// drop removes a snapshot from memory and disk; with only, nothing else under the same key. Preconditions: saving is held.
func (s *Store) drop(id string, only *snap) error {
	s.mu.Lock()
	sn := s.snaps[id]
	if only != nil && sn != only {
		s.mu.Unlock()
		return nil
	}
	if c := s.cache[id]; c != nil {
		if c.timer != nil {
			c.timer.Stop()
		}
		s.forget(c)
	}
	if sn == nil {
		s.mu.Unlock()
		return nil
	}
	delete(s.snaps, id)
	s.mu.Unlock()

	s.disk.Lock()
	defer s.disk.Unlock()
	m, merr := readManifest(s.snapFile(id))
	err := s.unlink(s.snapFile(id))
	for _, pid := range sn.packs {
		err = errors.Join(err, s.release(pid, m, merr))
	}
	return err
}

// release ends the use of a pack by a snapshot that is gone: m is its manifest, if that could be read. Preconditions: saving and disk
// are held.
func (s *Store) release(id packID, m *manifest, merr error) error {
	s.mu.Lock()
	p := s.packs[id]
	p.users--
	last := p.users == 0
	if last {
		delete(s.packs, id)
	}
	var others []*snap
	for _, sn := range s.snaps {
		if slices.Contains(sn.packs, id) {
			others = append(others, sn)
		}
	}
	s.mu.Unlock()
	if last {
		return s.unlink(s.packFile(id))
	}
	r, err := openPack(s.packFile(id))
	if err != nil {
		return nil // those who need it will find out
	}
	live := make([]bool, r.pages)
	r.Close()
	if merr == nil { // of the pages that it had, those that no other has; else whatever no other has
		for i := range live {
			live[i] = true
		}
		mark(live, m, id, false)
	}
	for _, sn := range others {
		om, err := readManifest(s.snapFile(sn.id))
		if err != nil {
			return nil // damaged meanwhile: what it needs is not known, nothing is freed
		}
		mark(live, om, id, true)
	}
	return s.cut(p, live)
}

// mark sets the pages of a pack that a manifest refers to.
func mark(live []bool, m *manifest, id packID, to bool) {
	for _, r := range m.runs {
		if m.packs[r.pack] != id {
			continue
		}
		for i := uint64(r.from); i < uint64(r.from)+uint64(r.pages) && i < uint64(len(live)); i++ {
			live[i] = to
		}
	}
}

// cut gives back the disk space of the pages of a pack that are not live. Their hashes stay: whoever finds one there compares the
// page and sees that it is gone. Preconditions: disk is held, or nobody else knows the store.
func (s *Store) cut(p *pack, live []bool) error {
	f, err := os.OpenFile(s.packFile(p.id), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("snapshots: free parts of %s: %w", s.packFile(p.id), cause(err))
	}
	defer f.Close()
	for i := 0; i < len(live); {
		n := 0
		for i+n < len(live) && !live[i+n] {
			n++
		}
		if n > 0 {
			err = errors.Join(err, punch(f, len(live), i, n))
		}
		i += n + 1
	}
	n, serr := space(f)
	if err = errors.Join(err, serr); err != nil {
		return fmt.Errorf("snapshots: free parts of %s: %w", s.packFile(p.id), err)
	}
	s.mu.Lock()
	p.bytes = n
	s.mu.Unlock()
	return nil
}

// evict removes the snapshots that were not used for longest until there is room for bytes more, but never the one called except.
// Preconditions: saving is held, or nobody else knows the store.
func (s *Store) evict(bytes int64, except string) bool {
	for {
		s.mu.Lock()
		var oldest *snap
		fits := s.diskUsed()+bytes <= s.o.DiskLimit
		for _, sn := range s.snaps {
			if c := s.cache[sn.id]; sn.id == except || c != nil && c.users > 0 {
				continue
			}
			if oldest == nil || sn.used.Before(oldest.used) {
				oldest = sn
			}
		}
		s.mu.Unlock()
		if fits || oldest == nil {
			return fits
		}
		if err := s.drop(oldest.id, oldest); err != nil {
			s.warn(err)
			return false
		}
	}
}
