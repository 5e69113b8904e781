// SPDX-License-Identifier: Apache-2.0

package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Lock makes a data folder where it does not exist, and keeps other nodes out of it until the file is closed. It finds out now
// whether anything can be written there, not at the first deploy.
func Lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder %s: %w: choose another one with --data", dir, cause(err))
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w: choose another one with --data", dir, cause(err))
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("data folder %s: in use by another unifaas up: stop that one or choose another folder with --data", dir)
		}
		return nil, fmt.Errorf("data folder %s: lock: %w", dir, err)
	}
	if err := probe(dir); err != nil {
		lock.Close()
		return nil, fmt.Errorf("data folder %s: %w: make room or choose another one with --data", dir, cause(err))
	}
	return lock, nil
}

func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err = f.Write(make([]byte, 4096)); err != nil {
		return err
	}
	return f.Sync()
}

// cause takes the path out of an error whose message names the folder already.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
