// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/snapshot"
)

// Save keeps an image under a key, on disk, and in memory for who asks for it soon. It is for background work: it reads the whole image and
// waits for the disk. The image must be sealed; f may be closed afterwards. A key that is there already is left as it is.
func (s *Store) Save(k snapshot.Key, f *os.File) error {
	if err := s.save(k, f); err != nil {
		return fmt.Errorf("save a snapshot in %s: %w", s.dir, err)
	}
	return nil
}

func (s *Store) save(k snapshot.Key, f *os.File) error {
	if !snapshot.IsSealed(f) {
		return errors.New("it is not sealed")
	}
	key, info, err := snapshot.Check(f)
	if err != nil {
		return err
	}
	if err := matches(key, k); err != nil {
		return err
	}
	id := k.ID()
	s.keep(id, f, info)

	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	closed, there := s.closed, s.snaps[id] != nil
	s.mu.Unlock()
	if closed {
		return errClosed
	}
	if there {
		return nil
	}
	im, err := openImage(f)
	if err != nil {
		return err
	}
	defer im.Close()
	// All of it, though some may turn out to be there: the limit holds at every moment.
	if most := im.most(); most > s.o.DiskLimit || !s.evict(most, "") {
		return fmt.Errorf("%w: %d MiB, with a limit of %d MiB", ErrDisk, most>>20, s.o.DiskLimit>>20)
	}
	return s.write(id, k, im)
}

// write puts an image on the disk. Preconditions: saving is held, there is room.
func (s *Store) write(id string, k snapshot.Key, im *image) error {
	m := &manifest{key: k, size: im.size}
	s.find(im, m)
	fresh, err := s.writePack(im, m)
	if err != nil {
		return err
	}
	m.runs = im.runs()
	undo := func(err error) error {
		if fresh == nil {
			return err
		}
		s.mu.Lock()
		old := s.packs[fresh.id]
		s.mu.Unlock()
		if old == nil {
			s.remove(s.packFile(fresh.id))
		}
		return err
	}
	b, err := m.encode()
	if err != nil {
		return undo(err)
	}
	n, err := writeFile(s.dir, id+snapSuffix, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	if err == nil {
		if err = syncDir(s.dir); err != nil {
			s.remove(s.snapFile(id))
		}
	}
	if err != nil {
		return undo(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if fresh != nil {
		if old := s.packs[fresh.id]; old != nil { // every page of it was damaged or gone: it was written anew
			old.bytes = fresh.bytes
		} else {
			s.packs[fresh.id] = fresh
		}
	}
	s.add(&snap{id: id, key: k, packs: m.packs, pages: m.pages(), bytes: n, used: time.Now()})
	return nil
}

// find looks for the pages of an image in the packs that are there. The hashes of all packs are read for it, one pack after the other,
// rather than held in memory: a node saves a snapshot a revision. A page that is found is compared, so nobody relies on one that is
// damaged, and nobody on a hash alone.
func (s *Store) find(im *image, m *manifest) {
	s.mu.Lock()
	var ids []packID
	for id := range s.packs {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	slices.SortFunc(ids, func(a, b packID) int { return bytes.Compare(a[:], b[:]) }) // any order, but always the same
	for _, id := range ids {
		if len(im.missing) == 0 {
			return
		}
		n, err := im.findIn(s.packFile(id), uint32(len(m.packs)))
		if err != nil {
			s.warn(err) // those who need it find out when they are loaded
		}
		if n > 0 {
			m.packs = append(m.packs, id)
		}
	}
}

// writePack writes the pages that no pack has; nil if there are none.
func (s *Store) writePack(im *image, m *manifest) (*pack, error) {
	var hashes []hash
	var pages []int
	for i := range im.pages {
		p := &im.pages[i]
		if p.same >= 0 || p.found {
			continue
		}
		p.found, p.pack, p.from = true, uint32(len(m.packs)), uint32(len(pages))
		pages = append(pages, i)
		hashes = append(hashes, p.hash)
	}
	if len(pages) == 0 {
		return nil, nil
	}
	head, id := encodePack(hashes)
	n, err := writeFile(s.dir, id.String()+packSuffix, func(w io.Writer) error {
		b := bufio.NewWriterSize(w, 1<<20)
		b.Write(head)
		for _, i := range pages {
			b.Write(im.bytes(i))
		}
		return b.Flush()
	})
	if err != nil {
		return nil, err
	}
	m.packs = append(m.packs, id)
	return &pack{id: id, bytes: n}, nil
}

// image is an image that is being saved.
type image struct {
	size    int64
	mem     []byte
	last    []byte // the last page, whole
	pages   []page // that are not zero
	missing map[hash]int
	starts  [1 << 16]bool // of hashes that are missing, or were: most others are told apart by that
}

func prefix(h *hash) uint16 { return binary.LittleEndian.Uint16(h[:]) }

// page is one of an image.
type page struct {
	at    uint32 // in the image
	same  int    // index of an equal one before it, else -1
	hash  hash
	found bool // pack and from are known
	pack  uint32
	from  uint32
}

func openImage(f *os.File) (*image, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if fi.Size() <= 0 || fi.Size() > imageMax {
		return nil, damaged("%d bytes", fi.Size())
	}
	im := &image{size: fi.Size(), missing: map[hash]int{}}
	// Private, because older kernels refuse shared mappings of sealed files.
	if im.mem, err = unix.Mmap(int(f.Fd()), 0, int(im.size), unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
		return nil, fmt.Errorf("map it: %w", err)
	}
	im.last = make([]byte, pageSize)
	copy(im.last, im.mem[(pagesOf(im.size)-1)*pageSize:])
	if err := im.index(f); err != nil {
		im.Close()
		return nil, err
	}
	return im, nil
}

func (im *image) Close() { _ = unix.Munmap(im.mem) }

func (im *image) at(page int64) []byte {
	if (page+1)*pageSize > im.size {
		return im.last
	}
	return im.mem[page*pageSize : (page+1)*pageSize]
}

func (im *image) bytes(i int) []byte { return im.at(int64(im.pages[i].at)) }

// index finds the pages that are not zero.
func (im *image) index(f *os.File) error {
	zero := make([]byte, pageSize)
	for off := int64(0); off < im.size; {
		start, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		} else if err != nil {
			return fmt.Errorf("find its pages: %w", err)
		}
		if off, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE); err != nil {
			return fmt.Errorf("find its pages: %w", err)
		}
		for p := start / pageSize; p < pagesOf(off); p++ {
			b := im.at(p)
			if bytes.Equal(b, zero) {
				continue
			}
			h := hash(sha256.Sum256(b))
			same, ok := im.missing[h]
			if !ok {
				same = -1
				im.missing[h] = len(im.pages)
				im.starts[prefix(&h)] = true
			}
			im.pages = append(im.pages, page{at: uint32(p), same: same, hash: h})
		}
	}
	return nil
}

// most is the disk space that an image takes if all of its pages are new and lie apart.
func (im *image) most() int64 {
	n := len(im.missing)
	return packStart(n) + int64(n)*pageSize + pagesOf(snapHeader+keyMax+int64(len(im.pages))*16+4)*pageSize
}

// findIn looks for missing pages in a pack. It returns how many there are.
func (im *image) findIn(path string, pack uint32) (found int, err error) {
	r, err := openPack(path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	type hit struct{ i, from int }
	var hits []hit
	err = r.hashes(func(from int, h *hash) {
		if !im.starts[prefix(h)] {
			return
		}
		if i, ok := im.missing[*h]; ok {
			hits = append(hits, hit{i, from})
		}
	})
	if err != nil {
		return 0, err
	}
	buf := make([]byte, readBuffer)
	for len(hits) > 0 {
		n := 1
		for n < len(hits) && n < readBuffer/pageSize && hits[n].from == hits[0].from+n {
			n++
		}
		if err := r.read(buf[:n*pageSize], hits[0].from); err != nil {
			return found, err
		}
		for k, h := range hits[:n] {
			p := &im.pages[h.i]
			if !p.found && bytes.Equal(buf[k*pageSize:(k+1)*pageSize], im.bytes(h.i)) {
				p.found, p.pack, p.from = true, pack, uint32(h.from)
				delete(im.missing, p.hash)
				found++
			}
		}
		hits = hits[n:]
	}
	return found, nil
}

// runs says where all pages are. Preconditions: all are found.
func (im *image) runs() []run {
	var out []run
	for i := range im.pages {
		p := &im.pages[i]
		at := p
		if p.same >= 0 {
			at = &im.pages[p.same]
		}
		if n := len(out); n > 0 {
			if l := &out[n-1]; l.page+l.pages == p.at && l.pack == at.pack && l.from+l.pages == at.from {
				l.pages++
				continue
			}
		}
		out = append(out, run{page: p.at, pack: at.pack, from: at.from, pages: 1})
	}
	return out
}
