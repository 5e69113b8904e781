// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sys/unix"
)

// barFrom is the size below which a transfer is over before a bar could be read.
const barFrom = 16 << 20

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// showProgress draws a bar on a terminal while a large file is read. Close ends it.
func showProgress(to *os.File, what string, size int64, from io.Reader) io.ReadCloser {
	if size < barFrom || !isTerminal(to) {
		return io.NopCloser(from)
	}
	p := mpb.New(mpb.WithOutput(to), mpb.WithWidth(60))
	bar := p.AddBar(size, mpb.PrependDecorators(decor.Name(what+" ")), mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f")), mpb.BarRemoveOnComplete())
	return &progress{bar.ProxyReader(from), bar, p}
}

type progress struct {
	io.ReadCloser
	bar *mpb.Bar
	all *mpb.Progress
}

func (p *progress) Close() error {
	p.bar.Abort(true)
	p.all.Wait()
	return p.ReadCloser.Close()
}
