// SPDX-License-Identifier: Apache-2.0

// Package datadir says where a node keeps its data, for all verbs that read or write there.
package datadir

import (
	"errors"
	"os"
	"path/filepath"
)

// Default is the data folder of a verb without --data: /var/lib/unifaas for root, else below the user's own data.
func Default() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/unifaas", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "unifaas"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		return "", errors.New("no folder for data: HOME is not set: choose one with --data")
	}
	return filepath.Join(home, ".local", "share", "unifaas"), nil
}

// Resolve is the folder that --data means: absolute, and the default if it is empty.
func Resolve(dir string) (string, error) {
	if dir == "" {
		return Default()
	}
	return filepath.Abs(dir)
}

// Images is the image store in a data folder.
func Images(dir string) string { return filepath.Join(dir, "images") }

// Snapshots is where snapshots of functions are kept.
func Snapshots(dir string) string { return filepath.Join(dir, "snapshots") }

// Logs is where functions' logs are.
func Logs(dir string) string { return filepath.Join(dir, "logs") }

// Auth is where a node's user name and password are.
func Auth(dir string) string { return filepath.Join(dir, "auth") }

// Temp is for files of the moment: emptied when a node starts.
func Temp(dir string) string { return filepath.Join(dir, "tmp") }

// State is where the embedded engine keeps what has to outlive everything else.
func State(dir string) string { return filepath.Join(dir, "state") }

// MasterKey is the file with the key of secrets.
func MasterKey(dir string) string { return filepath.Join(dir, "master.key") }
