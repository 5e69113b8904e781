// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"

	"unifaas.dev/internal/image"
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
	f, size, m, err := image.FromELF(prog)
	if err != nil {
		return nil, err
	}
	f.Close()
	rows := []Row{
		{Case: name, System: KVM, Metric: "libos_bytes", Unit: "bytes", P50: libos, P99: libos, N: 1},
		{Case: name, System: KVM, Metric: "image_overhead", Unit: "%", N: 1,
			P50: 100 * float64(size-m.FilesSize) / float64(m.FilesSize), P99: 100 * float64(size-m.FilesSize) / float64(m.FilesSize)},
	}
	guest, err := guestOverhead(ctx, o, name, prog)
	if err != nil {
		return nil, err
	}
	rows = append(rows, guest)
	for _, metric := range []string{"libos_bytes", "image_overhead", "guest_overhead_bytes"} {
		for _, s := range []string{Process, Runc} {
			rows = append(rows, skipped(name, s, metric, "has none"))
		}
	}
	return rows, nil
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
