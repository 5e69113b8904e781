// SPDX-License-Identifier: Apache-2.0

// Package basicauth has the one user name and password of a node: read from the two files that OpenFaaS's tools know,
// made where none are, and compared in constant time. Who is asked for them is the gateway's affair.
package basicauth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// Names of the files in a folder of credentials.
const (
	UserFile     = "basic-auth-user"
	PasswordFile = "basic-auth-password"
)

const maxFile = 4096

// Credentials are a user name and a password.
type Credentials struct {
	User, Password string
}

// ErrNone is wrapped by Load's error about a folder that has neither file. One without the other is a mistake.
var ErrNone = errors.New("there are none")

// Load reads them from a folder.
func Load(dir string) (*Credentials, error) {
	user, uerr := readFile(dir, UserFile)
	password, perr := readFile(dir, PasswordFile)
	switch {
	case errors.Is(uerr, fs.ErrNotExist) && errors.Is(perr, fs.ErrNotExist):
		return nil, fmt.Errorf("credentials in %s: %w", dir, ErrNone)
	case uerr != nil:
		return nil, uerr
	case perr != nil:
		return nil, perr
	}
	return &Credentials{user, password}, nil
}

func readFile(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("credentials: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("credentials: %w", err)
	}
	s := strings.TrimRight(string(text), "\r\n")
	if s == "" || len(text) > maxFile || strings.ContainsAny(s, "\r\n\x00") || name == UserFile && strings.Contains(s, ":") {
		return "", fmt.Errorf("credentials: %s has to be one line of text, without ':' in the name of the user", path)
	}
	return s, nil
}

// Generate makes new ones in a folder, for user admin, and refuses to replace any.
func Generate(dir string) (*Credentials, error) {
	b := make([]byte, 24)
	rand.Read(b)
	c := &Credentials{"admin", hex.EncodeToString(b)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	for name, text := range map[string]string{UserFile: c.User, PasswordFile: c.Password} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		_, err = io.WriteString(f, text+"\n")
		if err == nil {
			err = f.Sync()
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
	}
	return c, nil
}

// Valid reports whether a request carries them. How long that takes says nothing about how near it came.
func (c *Credentials) Valid(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	return same(user, c.User)&same(password, c.Password) == 1 && ok
}

// same compares hashes, so that lengths do not tell either.
func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}

// Refuse answers a request without them.
func Refuse(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="Restricted"`)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusUnauthorized)
	io.WriteString(w, "invalid credentials")
}
