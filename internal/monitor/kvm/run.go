// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// clockAge is how old the clock page may get while the guest exits now and then.
const clockAge = time.Second

var errEnded = errors.New("the sandbox has ended")

// Run implements monitor.Sandbox.
func (s *sandbox) Run() (monitor.Exit, error) {
	if s.ended || s.over {
		return monitor.Exit{}, errEnded
	}
	s.thread.Store(int32(unix.Gettid()))
	defer s.thread.Store(0)
	for {
		if s.takeRequests() {
			return monitor.Exit{Kind: monitor.ExitKick}, nil
		}
		if time.Since(s.refreshed) > clockAge {
			s.refresh()
		}
		s.vcpu.ran = true
		_, err := ioctl(s.vcpu.raw, kvmabi.RunVCPU, 0)
		if err == unix.EINTR {
			continue
		}
		e := s.decode(err)
		switch e.Kind {
		case monitor.ExitQueue, monitor.ExitIdle:
		case monitor.ExitDone:
			s.over = true
		default:
			s.ended = true
		}
		return e, nil
	}
}

// enterAtOnce undoes leaveAtOnce.
func (v *vcpu) enterAtOnce() { atomic.StoreUint32(&v.run.Control, 0) }

// leaveAtOnce makes KVM_RUN return before it enters the guest.
func (v *vcpu) leaveAtOnce() { atomic.StoreUint32(&v.run.Control, kvmabi.ImmediateExit) }
