// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/elfx"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// What other goroutines ask of Run.
const (
	requestKick = 1 << iota
	requestPreempt
)

// kickSignal interrupts KVM_RUN. The Go runtime sends itself this one to preempt goroutines, has a handler for it on every
// thread and expects stray ones.
const kickSignal = unix.SIGURG

// Kick implements monitor.Sandbox.
func (s *sandbox) Kick() { s.request(requestKick) }

// Preempt implements monitor.Sandbox.
func (s *sandbox) Preempt() { s.request(requestPreempt) }

// request leaves a request for Run and gets the vCPU out of the guest.
//
// The order closes the race with a Run about to enter: the request is there before immediate_exit is set, and Run clears
// immediate_exit before it looks for requests. So either Run sees the request, or KVM_RUN returns at once. The signal is
// for a vCPU that is inside already.
func (s *sandbox) request(r uint32) {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return
	}
	s.requests.Or(r)
	s.vcpu.leaveAtOnce()
	if tid := s.thread.Load(); tid != 0 {
		// Fails if the thread ended meanwhile, when there is nothing to interrupt.
		_ = unix.Tgkill(unix.Getpid(), int(tid), kickSignal)
	}
}

// takeRequests serves what was asked for; true means that Run has to return.
func (s *sandbox) takeRequests() (kicked bool) {
	s.vcpu.enterAtOnce()
	r := s.requests.Swap(0)
	if r&requestPreempt != 0 {
		s.preempt()
	}
	return r&requestKick != 0
}

// preempt gives the CPU to the guest's scheduler: a program is interrupted as by an exception, the library OS is only told.
// Preconditions: the vCPU is outside of the guest, its registers are in vcpu.run.
func (s *sandbox) preempt() {
	r := &s.vcpu.run.Sync.Regs
	inLibos := r.RIP >= s.header.TextStart && r.RIP < s.header.TextEnd
	if inLibos || s.eventPending() {
		s.mem.shared.Store32(abi.CtlPreempt, 1)
		return
	}
	f := abi.ExcFrame{
		RAX:    r.RAX,
		Vector: abi.VecPreempt,
		RIP:    r.RIP,
		CS:     abi.UserCS, // outside of the library OS all code runs with these
		RFLAGS: r.RFLAGS,
		RSP:    r.RSP,
		SS:     abi.UserSS,
	}
	b, err := binary.Append(make([]byte, 0, abi.ExcFrameSize), binary.LittleEndian, &f)
	if err == nil {
		err = s.mem.ram.WriteAt(b, elfx.PA(s.header.ExcFrame))
		s.track.wrote(elfx.PA(s.header.ExcFrame), abi.ExcFrameSize)
	}
	if err != nil { // cannot be: the header was checked
		s.mem.shared.Store32(abi.CtlPreempt, 1)
		return
	}
	r.RIP = s.header.ExcEntry
	r.RFLAGS = rflagsStart
	s.vcpu.run.DirtyRegs |= kvmabi.SyncRegsBit
}

// eventPending reports whether KVM is about to deliver an exception at the current RIP. It would go to the handler with
// the handler's own address as its origin if RIP were changed now.
func (s *sandbox) eventPending() bool {
	var e kvmabi.VCPUEvents
	if _, err := ioctlPtr(s.vcpu.raw, kvmabi.GetVCPUEvents, &e); err != nil {
		return true
	}
	return pending(&e)
}

func pending(e *kvmabi.VCPUEvents) bool {
	return e.Exception.Injected|e.Exception.Pending|e.Interrupt.Injected|e.NMI.Injected|e.NMI.Pending != 0
}
