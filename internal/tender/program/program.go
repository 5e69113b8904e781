// SPDX-License-Identifier: Apache-2.0

// Package program holds the built tender, cmd/tender: a program of its own inside this one, so that a tender process consists
// of what it needs and nothing else. `make build` makes it.
package program

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

//go:embed tender
var tender []byte

// File is the tender as a sealed file in memory, made when it is asked for first: it is executed through its descriptor.
var File = sync.OnceValues(makeFile)

// mfdExec is MFD_EXEC of Linux 6.3; before, every such file may be executed.
const mfdExec = 0x10

func makeFile() (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("tender", flags|mfdExec)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate("tender", flags)
	}
	if err != nil {
		if errors.Is(err, unix.EACCES) {
			err = fmt.Errorf("%w: set sysctl vm.memfd_noexec to 0 or 1", err)
		}
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "tender")
	if _, err = f.Write(tender); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("fill a file in memory with %d bytes: %w", len(tender), err)
	}
	return f, nil
}
