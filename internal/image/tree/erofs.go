// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// What of EROFS's layout has to be known here, see the kernel's fs/erofs/erofs_fs.h.
const (
	superAt    = 1024
	superMagic = 0xe0f5e1e2
	inodeUnit  = 32 // inode numbers count these
	direntSize = 12
)

// Check looks at a superblock: is it one of a file system of this size, with nothing in it that images do not use?
func Check(r io.ReaderAt, size int64) error {
	var sb [128]byte
	if _, err := r.ReadAt(sb[:], superAt); err != nil {
		return errors.New("not an EROFS file system: too short")
	}
	le := binary.LittleEndian
	switch {
	case le.Uint32(sb[0:]) != superMagic:
		return errors.New("not an EROFS file system: no magic number")
	case sb[12] != 12:
		return fmt.Errorf("EROFS with blocks of 2^%d bytes, need 2^12", sb[12])
	case size%BlockSize != 0 || int64(le.Uint32(sb[36:]))*BlockSize > size || le.Uint32(sb[36:]) == 0:
		return fmt.Errorf("EROFS file system of %d blocks in a file of %d bytes", le.Uint32(sb[36:]), size)
	case int64(le.Uint32(sb[40:]))*BlockSize+int64(le.Uint16(sb[14:]))*inodeUnit+inodeUnit > size:
		return errors.New("EROFS root folder lies outside of the file")
	case le.Uint32(sb[80:]) != 0:
		return fmt.Errorf("EROFS features 0x%x, which images do not use (compression, chunks, devices)", le.Uint32(sb[80:]))
	}
	return nil
}

// meta is where inodes lie.
type meta struct{ start int64 }

func readMeta(f *os.File) (meta, error) {
	var b [4]byte
	_, err := f.ReadAt(b[:], superAt+40)
	return meta{int64(binary.LittleEndian.Uint32(b[:])) * BlockSize}, err
}

// replace has the folder's entry for inode old stand for inode now.
func (m meta) replace(f *os.File, dir, old, now uint64) error {
	le := binary.LittleEndian
	var head [64]byte
	at := m.start + int64(dir)*inodeUnit
	if _, err := f.ReadAt(head[:], at); err != nil && err != io.EOF {
		return err
	}
	format := le.Uint16(head[:])
	core, size := int64(32), int64(le.Uint32(head[8:]))
	if format&1 != 0 {
		core, size = 64, int64(le.Uint64(head[8:]))
	}
	data := at + core // inline, and folders here have no attributes before it
	if format>>1&7 == 0 {
		data = int64(le.Uint32(head[16:])) * BlockSize
	}
	entries := make([]byte, size)
	if _, err := f.ReadAt(entries, data); err != nil {
		return err
	}
	for block := int64(0); block < size; block += BlockSize {
		b := entries[block:min(block+BlockSize, size)]
		if len(b) < direntSize {
			break
		}
		for i := 0; i+direntSize <= len(b) && i < int(le.Uint16(b[8:])); i += direntSize {
			if le.Uint64(b[i:]) == old {
				_, err := f.WriteAt(le.AppendUint64(nil, now), data+block+int64(i))
				return err
			}
		}
	}
	return errors.New("its folder does not name it")
}
