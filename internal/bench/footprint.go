// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/build"
)

// runFootprint measures bytes, which do not vary.
func runFootprint(ctx context.Context, o *Options) ([]Row, error) {
	const name = "c-hello"
	libos, err := libosBytes(o.Libos)
	if err != nil {
		return nil, err
	}
	prog, err := o.find(name)
	if err != nil {
		return nil, err
	}
	rows := []Row{{Case: name, System: KVM, Metric: "libos_bytes", Unit: "bytes", P50: libos, P99: libos, N: 1}}
	guest, err := guestOverhead(ctx, o, name, prog)
	if err != nil {
		return nil, err
	}
	rows = append(rows, guest)
	for _, c := range []string{name, "go-hello", "thumbnail", "python-hello", "python-numpy", "node-hello", "node-json", "shell"} {
		over, err := imageOverhead(ctx, o, c)
		if err != nil {
			return nil, err
		}
		rows = append(rows, over)
	}
	for _, r := range rows {
		for _, s := range []string{Process, Runc} {
			rows = append(rows, skipped(r.Case, s, r.Metric, "has none"))
		}
	}
	return rows, nil
}

// imageOverhead is what an image has beyond the bytes of its files, in percent of them.
func imageOverhead(ctx context.Context, o *Options, name string) (Row, error) {
	source, err := o.find(name)
	if err != nil {
		return skipped(name, KVM, "image_overhead", errorLine(err)), nil
	}
	dir, err := os.MkdirTemp("", "unifaas-bench-")
	if err != nil {
		return Row{}, err
	}
	defer os.RemoveAll(dir)
	store, err := image.OpenStore(dir)
	if err != nil {
		return Row{}, err
	}
	m, err := build.Image(ctx, store, source, "", build.Options{})
	if err != nil {
		return skipped(name, KVM, "image_overhead", errorLine(err)), nil
	}
	over := 100 * float64(m.Size()-m.FilesSize()) / float64(m.FilesSize())
	return Row{Case: name, System: KVM, Metric: "image_overhead", Unit: "%", P50: over, P99: over, N: 1}, nil
}

// libosBytes is text and data as `size` counts them: every allocated section with contents.
func libosBytes(file []byte) (float64, error) {
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		return 0, fmt.Errorf("library OS: %w", err)
	}
	var n uint64
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_ALLOC != 0 && s.Type != elf.SHT_NOBITS {
			n += s.Size
		}
	}
	return float64(n), nil
}
