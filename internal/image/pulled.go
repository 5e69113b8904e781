// SPDX-License-Identifier: Apache-2.0

package image

import "time"

// Pulled lets a name stand for an image that is here, and remembers the digest that a registry has for it.
func (s *Store) Pulled(m Manifest, name, source string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := s.Manifest(m.Digest); err != nil {
		return err
	}
	return writeJSON(s.nameFile(name), tag{m.Digest, time.Now().UTC().Truncate(time.Second), source})
}

// Source is the digest that a registry had for the image of a name when it was pulled; empty if it was made or sent here.
func (s *Store) Source(name string) (string, error) {
	t, err := s.tag(name)
	return t.Source, err
}
