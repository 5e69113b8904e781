// SPDX-License-Identifier: Apache-2.0

// Package seal encrypts small values that are kept elsewhere: AES-256-GCM under a master key that is not kept there. It knows
// neither what the values are nor where they go.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// KeySize is that of a master key.
const KeySize = 32

// EnvKey is the variable that may hold the master key, as base64: for nodes that share their state.
const EnvKey = "UNIFAAS_MASTER_KEY"

// Errors of Open.
var (
	ErrOtherKey = errors.New("it was encrypted with another master key")
	ErrDamaged  = errors.New("it is damaged, or belongs elsewhere")
)

// Key is a master key.
type Key struct {
	aead cipher.AEAD
	id   string
}

// New makes a key of its bytes.
func New(secret []byte) (*Key, error) {
	if len(secret) != KeySize {
		return nil, fmt.Errorf("a master key has %d bytes, not %d", KeySize, len(secret))
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	k := new(Key)
	if k.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("unifaas master key"))
	k.id = hex.EncodeToString(mac.Sum(nil)[:8])
	return k, nil
}

// ID tells keys apart and says nothing else about them.
func (k *Key) ID() string { return k.id }

// Seal encrypts a value that can be opened only with the same name.
func (k *Key) Seal(name string, plain []byte) []byte {
	return k.aead.Seal(nil, nil, plain, []byte(name))
}

// Open decrypts what Seal has made with the key of an ID.
func (k *Key) Open(name, id string, sealed []byte) ([]byte, error) {
	if id != k.id {
		return nil, ErrOtherKey
	}
	plain, err := k.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return nil, ErrDamaged
	}
	return plain, nil
}

// Load takes the key from the environment, which forgets it, or from a file, which is made where it does not exist.
func Load(file string) (*Key, error) {
	if text := os.Getenv(EnvKey); text != "" {
		os.Unsetenv(EnvKey) // no child inherits it
		k, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("environment variable %s: %w: give %d random bytes as base64", EnvKey, err, KeySize)
		}
		return k, nil
	}
	text, err := read(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err = create(file); err == nil {
			text, err = read(file)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("master key %s: %w", file, cause(err))
	}
	k, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("master key %s: %w: put the right file there; without it secrets cannot be read, and with it removed a new one is made", file, err)
	}
	return k, nil
}

// read refuses a file that others can read.
func read(file string) (string, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", errors.New("not a file")
	}
	if st.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("others can read or change it (mode %04o): chmod 600 it, or if they may have read it, make a new one", st.Mode().Perm())
	}
	buf := make([]byte, 1024)
	n, err := f.Read(buf)
	if n == 0 && err != nil {
		return "", errors.New("it is empty")
	}
	return string(buf[:n]), nil
}

// create writes a new key; one that is there by then stays.
func create(file string) error {
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, ".master.key-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	secret := make([]byte, KeySize)
	rand.Read(secret) // never fails
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(secret) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func parse(text string) (*Key, error) {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, errors.New("not base64")
	}
	return New(secret)
}

// cause takes the path out of an error whose message names it already.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}
