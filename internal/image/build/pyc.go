// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"unifaas.dev/internal/image/tree"
)

// errStale is a compiled Python file that does not belong to its source any more.
var errStale = errors.New("older than its source")

// compiled is a compiled Python file whose header has the time that its source gets in the image: Python takes it only
// if the two agree.
func (h *host) compiled(p string, fi fs.FileInfo) (*tree.Node, error) {
	data, err := os.ReadFile(h.path(p))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, cause(err))
	}
	if len(data) < 16 {
		return nil, fmt.Errorf("%s: %w", p, errStale)
	}
	if binary.LittleEndian.Uint32(data[4:]) == 0 { // checked by time and size of the source
		dir, name := path.Split(p)
		stem, _, _ := strings.Cut(name, ".")
		src, err := os.Stat(h.path(path.Join(path.Dir(path.Clean(dir)), stem+".py")))
		if err != nil || path.Base(path.Clean(dir)) != "__pycache__" ||
			uint32(src.ModTime().Unix()) != binary.LittleEndian.Uint32(data[8:]) || uint32(src.Size()) != binary.LittleEndian.Uint32(data[12:]) {
			return nil, fmt.Errorf("%s: %w", p, errStale)
		}
		data = bytes.Clone(data)
		binary.LittleEndian.PutUint32(data[8:], tree.Time)
	}
	return tree.Bytes(fi.Mode().Perm(), data), nil
}
