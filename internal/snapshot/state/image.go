// SPDX-License-Identifier: Apache-2.0

// Package state moves the state of sandboxes between guest memory and snapshots: takes images, puts them into sandboxes that never ran,
// writes and applies what an instance differs from its image in, and puts an instance back to its image in place.
//
// Only tenders use it. It knows nothing of streams, functions or the node, and decides nothing: when all this may be done is its
// caller's to know. In every sandbox that is passed in, the vCPU has stopped.
package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
)

const (
	pageSize  = 4096
	usedPages = snapshot.SharedUsed / pageSize // of the shared area, what is kept
)

var le = binary.LittleEndian

var zeroPage [pageSize]byte

// Image is a snapshot as a tender has it: what instances are started from, parked against and put back to. It can be used from any
// goroutine, but for Close.
type Image struct {
	meta   *snapshot.Meta
	sum    uint64 // tells it from all others
	file   *os.File
	memory *guestmem.Area // of the file
	image  *imageArea
	spans  []span // in order; all other pages are zero
	shared []byte // the shared area, what is kept of it
	header abi.LibosHeader
	out    bool     // it has page tables outside of those 2 MiB
	hot    []uint64 // pages that instances were seen to change, see thin.go
}

// span is a run of pages of RAM that are not zero.
type span struct {
	page, pages uint32
	bytes       []byte
}

// Open maps an image. The file may be closed afterwards, those of the layers not. Preconditions: snapshot.Check has seen the file, and it is sealed.
func Open(f *os.File, key snapshot.Key, layers []monitor.Layer) (_ *Image, err error) {
	m, sum, err := snapshot.Describe(f)
	if err != nil {
		return nil, err
	}
	if what := m.Key.Differs(key); what != "" {
		return nil, fmt.Errorf("%w: %s", snapshot.ErrForeign, what)
	}
	if !snapshot.IsSealed(f) {
		return nil, fmt.Errorf("%w: its file can still change", snapshot.ErrDamaged)
	}
	im := &Image{meta: m, sum: sum, hot: make([]uint64, guestmem.Words(uint64(m.Key.Memory)))}
	defer func() {
		if err != nil {
			im.Close()
		}
	}()
	if im.memory, err = guestmem.NewView(f, 0, uint64(m.Key.Memory+abi.SharedSize)); err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	im.file = os.NewFile(uintptr(fd), f.Name())
	if err := im.findSpans(layers); err != nil {
		return nil, err
	}
	if im.shared, err = im.memory.Bytes(uint64(m.Key.Memory), snapshot.SharedUsed); err != nil {
		return nil, err
	}
	im.readHeader()
	return im, nil
}

// findSpans puts what is in the file and what is in layers in one order.
func (im *Image) findSpans(layers []monitor.Layer) error {
	im.image = mapLayers(layers)
	data, shared := im.meta.Data, im.meta.Shared
	im.spans = make([]span, 0, len(data)+len(shared))
	for len(data) > 0 || len(shared) > 0 {
		if len(shared) == 0 || len(data) > 0 && data[0].Page < shared[0].RAM {
			r := data[0]
			b, err := im.memory.Bytes(uint64(r.Page)*pageSize, uint64(r.Pages)*pageSize)
			if err != nil {
				return err
			}
			im.spans = append(im.spans, span{r.Page, r.Pages, b})
			data = data[1:]
			continue
		}
		e := shared[0]
		b, err := im.layerBytes(layers, e)
		if err != nil {
			return err
		}
		im.spans = append(im.spans, span{e.RAM, e.Pages, b})
		shared = shared[1:]
	}
	return nil
}

// layerBytes finds bytes of the image area in the layer's file. Of a file that may be cut short, they are copied.
func (im *Image) layerBytes(layers []monitor.Layer, e snapshot.Extent) ([]byte, error) {
	for i, first := range im.image.first {
		if e.Image < first || e.Image-first >= im.image.pages[i] || e.Pages > im.image.pages[i]-(e.Image-first) {
			continue
		}
		at, n := uint64(e.Image-first)*pageSize, uint64(e.Pages)*pageSize
		if v := im.image.views[i]; v != nil {
			return v.Bytes(at, n)
		}
		b := make([]byte, n)
		if _, err := layers[i].File.ReadAt(b, int64(at)); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read image layer %d: %w", i+1, err)
		}
		return b, nil
	}
	return nil, fmt.Errorf("%w: it shares pages with what is not in its image", snapshot.ErrDamaged)
}

func roundUp(n, to uint64) uint64 { return (n + to - 1) &^ (to - 1) }

// readHeader learns where the library OS has its page tables.
func (im *Image) readHeader() {
	c := cursor{spans: im.spans}
	p := c.page(0)
	if p == nil {
		return
	}
	if _, err := binary.Decode(p, binary.LittleEndian, &im.header); err != nil || im.header.Magic != abi.Magic {
		im.header = abi.LibosHeader{}
	}
	im.out = binary.LittleEndian.Uint64(im.shared[abi.CtlTablesOut:]) != 0
}

// bootPage is the root of the first page tables.
func (im *Image) bootPage() uint32 { return uint32(min(im.header.BootTables, abi.RAMMax) / pageSize) }

// Meta is what belongs to the image beside memory. Nobody changes it.
func (im *Image) Meta() *snapshot.Meta { return im.meta }

// Close frees the image; all that use it are gone. Idempotent.
func (im *Image) Close() error {
	var errs []error
	if im.memory != nil {
		errs = append(errs, im.memory.Close())
	}
	if im.image != nil {
		im.image.close()
	}
	if im.file != nil {
		im.file.Close()
	}
	im.spans, im.shared = nil, nil
	return errors.Join(errs...)
}

// cursor finds pages of an image, asked for in ascending order.
type cursor struct{ spans []span }

// page is the content of a page, nil if it is zero.
func (c *cursor) page(n uint32) []byte {
	for len(c.spans) > 0 {
		s := &c.spans[0]
		switch {
		case n < s.page:
			return nil
		case n-s.page < s.pages:
			off := uint64(n-s.page) * pageSize
			return s.bytes[off : off+pageSize : off+pageSize]
		}
		c.spans = c.spans[1:]
	}
	return nil
}

// fits says why a sandbox cannot have this image's state.
func (im *Image) fits(sb monitor.Stateful) error {
	if f := sb.Features(); f != im.meta.Key.Features {
		return fmt.Errorf("%w: CPU features", snapshot.ErrForeign)
	}
	if n := sb.RAM().Size(); n != uint64(im.meta.Key.Memory) {
		return fmt.Errorf("%w: memory", snapshot.ErrForeign)
	}
	return nil
}
