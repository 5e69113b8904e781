// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"

	"unifaas.dev/internal/snapshot"
)

// Two kinds of files. All numbers are little-endian, all CRCs are CRC-32C.
//
//	ID.pack, ID is the SHA-256 of its hashes: pages that no pack before it had
//	    0    magic "UNIFPACK"
//	    8    version u32
//	    12   pages N u32
//	    16   CRC of the hashes u32
//	    20   zeros
//	    60   CRC of the bytes 0 to 59
//	    64   N hashes: SHA-256 of each page
//	         zeros up to a multiple of 4096
//	         N pages of 4096 bytes; a hole where no snapshot has the page any more
//
//	ID.snapshot, ID is Key.ID of its key: which pages an image consists of
//	    0    magic "UNIFSNAP"
//	    8    version u32
//	    12   bytes of the key K u32
//	    16   bytes of the image u64
//	    24   packs P u32
//	    28   runs R u32
//	    32   key: JSON (key.go), K bytes
//	         P ids of packs, 32 bytes each
//	         R runs of 16 bytes: page of the image, pack, page in the pack, pages, u32 each; in the order of the image, apart from each other
//	         CRC of everything before u32
const (
	pageSize = 4096
	version  = 1

	packMagic  = "UNIFPACK"
	packHeader = 64
	packPages  = 1 << 22 // at most: 16 GiB

	snapMagic  = "UNIFSNAP"
	snapHeader = 32
	keyMax     = 64 << 10
	snapMax    = 128 << 20 // bytes of a file that is read
	imageMax   = 32 << 30  // bytes of an image
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func crc(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

type hash = [sha256.Size]byte

type packID hash

func (p packID) String() string { return hex.EncodeToString(p[:]) }

// run is a stretch of an image.
type run struct {
	page  uint32 // first one of the image
	pack  uint32 // index of manifest.packs
	from  uint32 // first page in the pack
	pages uint32
}

// manifest is what an image consists of.
type manifest struct {
	key   snapshot.Key
	size  int64
	packs []packID
	runs  []run
}

func (m *manifest) encode() ([]byte, error) {
	key, err := EncodeKey(m.key)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	b := make([]byte, 0, snapHeader+len(key)+len(m.packs)*32+len(m.runs)*16+4)
	b = append(b, snapMagic...)
	b = le.AppendUint32(b, version)
	b = le.AppendUint32(b, uint32(len(key)))
	b = le.AppendUint64(b, uint64(m.size))
	b = le.AppendUint32(b, uint32(len(m.packs)))
	b = le.AppendUint32(b, uint32(len(m.runs)))
	b = append(b, key...)
	for _, p := range m.packs {
		b = append(b, p[:]...)
	}
	for _, r := range m.runs {
		b = le.AppendUint32(b, r.page)
		b = le.AppendUint32(b, r.pack)
		b = le.AppendUint32(b, r.from)
		b = le.AppendUint32(b, r.pages)
	}
	return le.AppendUint32(b, crc(b)), nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", snapshot.ErrDamaged, fmt.Sprintf(format, args...))
}

func foreign(v uint32) error {
	return fmt.Errorf("%w: format %d on disk, not %d", snapshot.ErrForeign, v, version)
}

// decodeManifest refuses all that encode does not give. Whether the packs have the pages, others check.
func decodeManifest(b []byte) (*manifest, error) {
	le := binary.LittleEndian
	if len(b) < snapHeader+4 || string(b[:8]) != snapMagic {
		return nil, damaged("not a list of pages")
	}
	if v := le.Uint32(b[8:]); v != version {
		return nil, foreign(v)
	}
	end := len(b) - 4
	if crc(b[:end]) != le.Uint32(b[end:]) {
		return nil, damaged("checksum of its list of pages")
	}
	k, packs, runs := int64(le.Uint32(b[12:])), int64(le.Uint32(b[24:])), int64(le.Uint32(b[28:]))
	m := &manifest{size: int64(le.Uint64(b[16:]))}
	if k > keyMax || snapHeader+k+packs*32+runs*16 != int64(end) || m.size <= 0 || m.size > imageMax {
		return nil, damaged("%d bytes with %d packs and %d runs for an image of %d bytes", len(b), packs, runs, m.size)
	}
	p := b[snapHeader:end]
	var err error
	if m.key, err = DecodeKey(p[:k]); err != nil {
		return nil, damaged("its key: %v", err)
	}
	p = p[k:]
	m.packs = make([]packID, packs)
	for i := range m.packs {
		p = p[copy(m.packs[i][:], p):]
	}
	m.runs = make([]run, runs)
	var next uint64
	for i := range m.runs {
		r := run{page: le.Uint32(p), pack: le.Uint32(p[4:]), from: le.Uint32(p[8:]), pages: le.Uint32(p[12:])}
		if r.pages == 0 || uint64(r.page) < next || int64(r.pack) >= packs || uint64(r.from)+uint64(r.pages) > packPages {
			return nil, damaged("run %d: %d pages at %d from %d of pack %d", i, r.pages, r.page, r.from, r.pack)
		}
		next = uint64(r.page) + uint64(r.pages)
		m.runs[i] = r
		p = p[16:]
	}
	if next > uint64(pagesOf(m.size)) {
		return nil, damaged("%d pages in an image of %d bytes", next, m.size)
	}
	return m, nil
}

// pages is how many are not holes.
func (m *manifest) pages() (n int) {
	for _, r := range m.runs {
		n += int(r.pages)
	}
	return n
}

// pagesOf is how many pages n bytes need.
func pagesOf(n int64) int64 { return (n + pageSize - 1) / pageSize }

// packStart is where the pages of a pack begin.
func packStart(pages int) int64 {
	return pagesOf(packHeader+int64(pages)*sha256.Size) * pageSize
}

// encodePack is all of a pack before its pages, and its id.
func encodePack(hashes []hash) ([]byte, packID) {
	le := binary.LittleEndian
	b := make([]byte, packStart(len(hashes)))
	table := b[packHeader:packHeader:len(b)]
	for i := range hashes {
		table = append(table, hashes[i][:]...)
	}
	copy(b, packMagic)
	le.PutUint32(b[8:], version)
	le.PutUint32(b[12:], uint32(len(hashes)))
	le.PutUint32(b[16:], crc(table))
	le.PutUint32(b[60:], crc(b[:60]))
	return b, sha256.Sum256(table)
}

// header is the start of a pack, checked.
type header struct {
	pages int
	crc   uint32 // of the hashes
}

func decodePack(b []byte) (header, error) {
	le := binary.LittleEndian
	if len(b) < packHeader || string(b[:8]) != packMagic {
		return header{}, damaged("not a pack of pages")
	}
	if v := le.Uint32(b[8:]); v != version {
		return header{}, foreign(v)
	}
	h := header{pages: int(le.Uint32(b[12:])), crc: le.Uint32(b[16:])}
	if crc(b[:60]) != le.Uint32(b[60:]) || h.pages == 0 || h.pages > packPages {
		return header{}, damaged("checksum of the head of a pack")
	}
	return h, nil
}
