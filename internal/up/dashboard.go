// SPDX-License-Identifier: Apache-2.0

package up

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"unifaas.dev/internal/dashboard"
	"unifaas.dev/internal/datadir"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/build"
	"unifaas.dev/internal/image/oci"
	"unifaas.dev/internal/recent"
)

// dashboard makes the pages of this node.
func (o *Options) dashboard(n *parts, calls *recent.Book, gateway http.Handler, data string, closing <-chan struct{}) http.Handler {
	d := dashboard.Options{Version: o.Version, Control: n.control, Images: n.images, Recent: calls, Async: n.async, Gateway: gateway, TempDir: datadir.Temp(data), Closing: closing,
		Upload: func(ctx context.Context, file, name string) (image.Manifest, error) {
			return upload(ctx, n.images.Store.Store, file, name)
		}}
	if o.Doctor != nil {
		d.Doctor = func() []dashboard.Check { return o.Doctor(data) }
	}
	return dashboard.New(d)
}

// upload makes an image of a file that somebody sent. It is of kinds that consist of the file alone: what else building knows would
// bring in files of this machine.
func upload(ctx context.Context, s *image.Store, file, name string) (image.Manifest, error) {
	f, err := os.Open(file)
	if err != nil {
		return image.Manifest{}, err
	}
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	f.Close()
	if err != nil && err != io.ErrUnexpectedEOF {
		return image.Manifest{}, fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return s.Import(ctx, file, name)
	case oci.IsArchive(string(head)):
		return build.Image(ctx, s, file, name, build.Options{})
	}
	return image.Manifest{}, fmt.Errorf("%s: neither a program nor an image archive: for scripts and folders use 'unifaas deploy' on the machine that has them", filepath.Base(file))
}
