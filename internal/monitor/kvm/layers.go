// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"errors"

	"unifaas.dev/internal/elfx"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// SetLayers gives a sandbox its image after it was made: those that stand ready are made before anybody knows what for.
// Preconditions: Run was not called, and Config.Layers was empty.
func (s *sandbox) SetLayers(layers []monitor.Layer) error {
	if s.mem.image != nil || s.vcpu.ran {
		return errors.New("set the image of a sandbox: it has one, or has run")
	}
	if len(layers) == 0 {
		return nil
	}
	c := s.config
	c.Layers = layers
	if err := checkConfig(&c); err != nil {
		return err
	}
	image, err := s.host.images.get(layers)
	if err != nil {
		return err
	}
	if err := setSlot(int(s.vm.Fd()), slotImage, kvmabi.MemReadonly, image, image.Size()); err != nil {
		return err
	}
	s.config, s.mem.image = c, image
	if err := s.mem.buildTables(&elfx.Libos{Header: s.header}); err != nil {
		return err
	}
	return writeBoot(s.mem.shared, &s.config)
}
