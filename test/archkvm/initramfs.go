// SPDX-License-Identifier: Apache-2.0

package archkvm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
)

// File is one file of the initial RAM file system: from the host, or Content.
type File struct {
	Host    string
	Content []byte
}

// writeInitramfs writes a cpio archive ("newc" format) of files, named by their path without leading slash.
func writeInitramfs(w io.Writer, files map[string]File) error {
	var names []string
	dirs := map[string]bool{".": true}
	for name := range files {
		names = append(names, name)
		for d := path.Dir(name); !dirs[d]; d = path.Dir(d) {
			dirs[d] = true
			names = append(names, d)
		}
	}
	sort.Strings(names) // a folder sorts before what is in it
	for i, name := range names {
		f, isFile := files[name]
		mode, content := 0o040755, f.Content
		if isFile {
			mode = 0o100755
			if f.Host != "" {
				var err error
				if content, err = os.ReadFile(f.Host); err != nil {
					return err
				}
			}
		}
		if err := writeEntry(w, i+1, mode, name, content); err != nil {
			return err
		}
	}
	return writeEntry(w, 0, 0, "TRAILER!!!", nil)
}

func writeEntry(w io.Writer, ino, mode int, name string, content []byte) error {
	var b bytes.Buffer
	// magic, ino, mode, uid, gid, nlink, mtime, size, device (2), rdev (2), length of the name, checksum
	fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		ino, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	b.WriteString(name)
	b.WriteByte(0)
	b.Write(make([]byte, -b.Len()&3))
	b.Write(content)
	b.Write(make([]byte, -b.Len()&3))
	_, err := w.Write(b.Bytes())
	return err
}
