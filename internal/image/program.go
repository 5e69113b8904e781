// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/elfx"
)

// checkProgram says in one line why a source cannot be run, if it cannot.
func checkProgram(src string) (int64, error) {
	// O_NONBLOCK: a FIFO named by mistake must not hang here.
	f, err := os.OpenFile(src, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", src, cause(err))
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", src, cause(err))
	}
	if !fi.Mode().IsRegular() {
		what := "not a regular file"
		if fi.IsDir() {
			what = "a folder"
		}
		return 0, fmt.Errorf("%s: %s, give the ELF file of a static x86-64 Linux program", src, what)
	}
	p, err := elfx.ReadProgram(src, f, fi.Size())
	if err != nil {
		return 0, err
	}
	return fi.Size(), p.NeedStatic(src)
}

// cause is the error without "open PATH:" before it, since the message names the path already.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
