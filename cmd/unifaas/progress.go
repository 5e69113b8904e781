// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/units"
)

// Progress is drawn here rather than by a library: what those initialise would be paid for at the start of every tender,
// which is this program too.

// barFrom is the size below which a transfer is over before a line about it could be read.
const barFrom = 16 << 20

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// showProgress draws how far a large file is read, on a terminal. Close takes the line away.
func showProgress(to *os.File, what string, size int64, from io.Reader) io.ReadCloser {
	if size < barFrom || !isTerminal(to) {
		return io.NopCloser(from)
	}
	return &progress{from: from, to: to, what: printable(what), size: size}
}

type progress struct {
	from  io.Reader
	to    io.Writer
	what  string
	size  int64
	done  int64
	drawn time.Time
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	p.done += int64(n)
	if time.Since(p.drawn) > 100*time.Millisecond {
		p.drawn = time.Now()
		const width = 30
		full := int(min(p.done, p.size) * width / p.size)
		fmt.Fprintf(p.to, "\r%s [%-*.*s] %s of %s ", p.what, width, full, "##############################", units.HumanBytes(p.done), units.HumanBytes(p.size))
	}
	return n, err
}

func (p *progress) Close() error {
	fmt.Fprint(p.to, "\r\033[K")
	return nil
}
