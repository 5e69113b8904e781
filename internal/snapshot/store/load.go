// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"os"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/snapshot"
)

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
	} else {
		err = s.blame(m, err)
	}
	return f, info, err
}

// copyRuns fills a file with the pages of a manifest. What is not named stays a hole. Nothing is verified here: the checksum of the image
// says whether all is right, in one pass over memory that is warm.
func (s *Store) copyRuns(f *os.File, m *manifest) error {
	packs := make([]*reader, len(m.packs))
	defer closeAll(packs)
	for i, id := range m.packs {
		var err error
		if packs[i], err = openPack(s.packFile(id)); err != nil {
			return err
		}
	}
	for _, r := range m.runs {
		if p := packs[r.pack]; uint64(r.from)+uint64(r.pages) > uint64(p.pages) {
			return damaged("%s has %d pages, not %d", p.f.Name(), p.pages, uint64(r.from)+uint64(r.pages))
		}
	}
	for block := range blocks(m.runs) {
		if err := copyBlock(f, m.size, packs, block); err != nil {
			return err
		}
	}
	return nil
}

const blockPages = snapshot.BlockSize / pageSize

// blocks cuts runs where blocks of the image end, and yields those of each block.
func blocks(runs []run) iter.Seq[[]run] {
	return func(yield func([]run) bool) {
		var block []run
		for _, r := range runs {
			for r.pages > 0 {
				if len(block) > 0 && block[0].page/blockPages != r.page/blockPages {
					if !yield(block) {
						return
					}
					block = block[:0]
				}
				n := min(r.pages, blockPages-r.page%blockPages)
				block = append(block, run{r.page, r.pack, r.from, n})
				r.page, r.from, r.pages = r.page+n, r.from+n, r.pages-n
			}
		}
		if len(block) > 0 {
			yield(block)
		}
	}
}

// copyBlock fills one block, as a huge page if most of it is there.
func copyBlock(f *os.File, size int64, packs []*reader, block []run) error {
	n := uint32(0)
	for _, r := range block {
		n += r.pages
	}
	start := int64(block[0].page/blockPages) * snapshot.BlockSize
	if n >= snapshot.BlockDense && start+snapshot.BlockSize <= size {
		var err error
		werr := snapshot.WriteBlock(f, start, func(b []byte) {
			for _, r := range block {
				at := int64(r.page)*pageSize - start
				if err = packs[r.pack].read(b[at:at+int64(r.pages)*pageSize], int(r.from)); err != nil {
					return
				}
			}
		})
		return errors.Join(werr, err)
	}
	for _, r := range block {
		at := int64(r.page) * pageSize
		n := min(int64(r.pages)*pageSize, size-at) // the last page of an image is not whole
		if err := packs[r.pack].send(f, at, int(r.from), n); err != nil {
			return err
		}
	}
	return nil
}

func closeAll(packs []*reader) {
	for _, p := range packs {
		if p != nil {
			p.Close()
		}
	}
}

// blame finds the page of a pack that is why an image is damaged, and adds it to the error.
func (s *Store) blame(m *manifest, why error) error {
	for i, id := range m.packs {
		r, err := openPack(s.packFile(id))
		if err != nil {
			return err
		}
		defer r.Close()
		live := make([]bool, r.pages)
		mark(live, m, id, true)
		page, bad := make([]byte, pageSize), -1
		err = r.hashes(func(i int, h *hash) {
			if bad < 0 && live[i] && (r.read(page, i) != nil || sha256.Sum256(page) != *h) {
				bad = i
			}
		})
		if err != nil {
			return err
		}
		if bad >= 0 {
			return fmt.Errorf("%w: page %d of %s", why, bad, s.packFile(m.packs[i]))
		}
	}
	return why
}
