// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/snapshot"
)

// loadBuffer is what is read at once: it stays in the CPU's cache until its checksum is known and it is written.
const loadBuffer = 256 << 10

// errGone is why load fails if the snapshot was removed a moment ago.
var errGone = errors.New("removed")

// load makes the image of a snapshot. If it is damaged, it is removed, soon.
func (s *Store) load(sn *snap) (*os.File, snapshot.Info, error) {
	s.disk.RLock()
	f, info, err := s.loadFile(sn)
	s.disk.RUnlock()
	if err == nil {
		return f, info, nil
	}
	err = fmt.Errorf("snapshot %s: %w", s.snapFile(sn.id), err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.snaps[sn.id] != sn {
		return nil, snapshot.Info{}, errGone
	}
	if !s.closed && (errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, snapshot.ErrForeign)) {
		s.tasks.Go(func() {
			s.saving.Lock()
			defer s.saving.Unlock()
			s.damage(s.snapFile(sn.id), err)
			s.warn(s.drop(sn.id, sn))
		})
	}
	return nil, snapshot.Info{}, err
}

func (s *Store) loadFile(sn *snap) (_ *os.File, info snapshot.Info, err error) {
	m, err := readManifest(s.snapFile(sn.id))
	if err != nil {
		return nil, info, err
	}
	fd, err := unix.MemfdCreate("unifaas-snapshot", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, info, fmt.Errorf("make a memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), "unifaas-snapshot")
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := f.Truncate(m.size); err != nil {
		return nil, info, fmt.Errorf("make a memory file of %d MiB: %w", m.size>>20, cause(err))
	}
	if err := s.copyRuns(f, m); err != nil {
		return nil, info, err
	}
	if err := snapshot.Seal(f); err != nil {
		return nil, info, err
	}
	key, info, err := snapshot.Check(f)
	if err == nil {
		err = matches(key, sn.key)
	}
	return f, info, err
}

// source is a pack that an image takes pages of.
type source struct {
	*reader
	sums []uint32
}

// copyRuns fills a file with the pages of a manifest. What is not named stays a hole.
func (s *Store) copyRuns(f *os.File, m *manifest) error {
	sources := make([]source, len(m.packs))
	defer func() {
		for _, src := range sources {
			if src.reader != nil {
				src.Close()
			}
		}
	}()
	for i, id := range m.packs {
		r, err := openPack(s.packFile(id))
		if err != nil {
			return err
		}
		sources[i].reader = r
		if sources[i].sums, err = r.sums(); err != nil {
			return err
		}
	}
	buf := make([]byte, loadBuffer)
	for _, r := range m.runs {
		src := sources[r.pack]
		if uint64(r.from)+uint64(r.pages) > uint64(src.pages) {
			return damaged("%s has %d pages, not %d", src.f.Name(), src.pages, uint64(r.from)+uint64(r.pages))
		}
		for done := 0; done < int(r.pages); {
			n := min(int(r.pages)-done, loadBuffer/pageSize)
			b := buf[:n*pageSize]
			page := int(r.from) + done
			if err := src.read(b, page); err != nil {
				return err
			}
			for i := range n {
				if crc(b[i*pageSize:(i+1)*pageSize]) != src.sums[page+i] {
					return damaged("%s: checksum of page %d", src.f.Name(), page+i)
				}
			}
			at := (int64(r.page) + int64(done)) * pageSize
			b = b[:min(int64(len(b)), m.size-at)] // the last page of an image is not whole
			if _, err := f.WriteAt(b, at); err != nil {
				return fmt.Errorf("fill a memory file: %w", cause(err))
			}
			done += n
		}
	}
	return nil
}
