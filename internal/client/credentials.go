// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"unifaas.dev/internal/basicauth"
)

// Environment variables with the user name and the password.
const (
	UserEnv     = "UNIFAAS_USER"
	PasswordEnv = "UNIFAAS_PASSWORD"
)

// SetCredentials has all requests to the gateway, but invocations, carry them; nil: none do.
func (c *Client) SetCredentials(k *basicauth.Credentials) { c.auth = k }

// Base is the gateway's address as it is called.
func (c *Client) Base() string { return c.base }

// FindCredentials gives those for the gateway: of the environment, of a login, or of the node's own folder, if this machine has it and it
// can be read. There may be none.
func (c *Client) FindCredentials(loginFile, localDir string) (*basicauth.Credentials, error) {
	if user, password := os.Getenv(UserEnv), os.Getenv(PasswordEnv); user != "" || password != "" {
		return &basicauth.Credentials{User: user, Password: password}, nil
	}
	logins, err := readLogins(loginFile)
	if err != nil {
		return nil, err
	}
	if l, ok := logins[c.base]; ok {
		return &basicauth.Credentials{User: l.User, Password: l.Password}, nil
	}
	if u, err := url.Parse(c.base); err != nil || !isLocal(u.Hostname()) || localDir == "" {
		return nil, nil // a password of this machine is for this machine
	}
	if k, err := basicauth.Load(localDir); err == nil {
		return k, nil
	}
	return nil, nil
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// login is what is remembered of one gateway.
type login struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

func readLogins(file string) (map[string]login, error) {
	logins := map[string]login{}
	if file == "" {
		return logins, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return logins, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &logins)
	}
	if err != nil {
		return nil, fmt.Errorf("logins in %s: %w: remove the file and log in again", file, err)
	}
	return logins, nil
}

// RememberLogin writes credentials for the gateway into a file that only its owner can read; nil forgets them.
func (c *Client) RememberLogin(file string, k *basicauth.Credentials) error {
	logins, err := readLogins(file)
	if err != nil {
		return err
	}
	if k == nil {
		delete(logins, c.base)
	} else {
		logins[c.base] = login{k.User, k.Password}
	}
	text, err := json.MarshalIndent(logins, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".login-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(text, '\n'))
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	return err
}
