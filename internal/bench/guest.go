// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"time"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/tender"
)

// guestOverhead is what the library OS itself uses of guest RAM while a program waits for requests.
func guestOverhead(ctx context.Context, o *Options, name, prog string) (Row, error) {
	const port, memory = 8080, 64 << 20
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	img, size, m, err := image.FromELF(prog)
	if err != nil {
		return Row{}, err
	}
	defer img.Close()
	t, err := tender.Start(ctx, tender.StartOptions{Name: "bench", Monitor: "kvm", Libos: o.Libos, Layers: []monitor.Layer{{File: img, Size: size}}, Memory: memory,
		Boot: monitor.Boot{Program: m.Program, Args: m.Args, Env: append(m.Env, fmt.Sprintf("PORT=%d", port)), Cwd: m.Cwd, MaxFiles: 1024, OverlayMax: memory / 2}})
	if err != nil {
		return Row{}, err
	}
	defer t.Close()
	i, err := t.Boot(ctx, "bench", "bench", nil)
	if err != nil {
		return Row{}, err
	}
	if _, err := i.WaitListen(ctx, port); err != nil {
		return Row{}, err
	}
	s, err := i.Stats(ctx)
	if err != nil {
		return Row{}, err
	}
	b := float64(s.RAMLibos)
	return Row{Case: name, System: KVM, Metric: "guest_overhead_bytes", Unit: "bytes", P50: b, P99: b, N: 1}, nil
}
