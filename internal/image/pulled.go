// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"time"
)

// When a registry is asked for an image that a deployment names.
const (
	PullAuto    = ""        // for what is not here, and for a tag that was pulled before: it may mean another image now
	PullAlways  = "always"  // whatever is here
	PullMissing = "missing" // for what is not here
	PullNever   = "never"
)

// CheckPull says in one line what is wrong with the name of such a policy.
func CheckPull(policy string) error {
	switch policy {
	case PullAuto, PullAlways, PullMissing, PullNever:
		return nil
	}
	return fmt.Errorf("pull policy %.40q: use %s, %s or %s", policy, PullAlways, PullMissing, PullNever)
}

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
	return writeJSON(s.nameFile(name), Tag{m.Digest, time.Now().UTC().Truncate(time.Second), source})
}

// Source is the digest that a registry had for the image of a name when it was pulled; empty if it was made or sent here.
func (s *Store) Source(name string) (string, error) {
	t, err := s.tag(name)
	return t.Source, err
}
