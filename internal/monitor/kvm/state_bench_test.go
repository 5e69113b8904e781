// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"testing"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// benchIdle is a sandbox at its first doorbell, of a guest that rings for ever.
func benchIdle(b *testing.B, memory int64) *sandbox {
	b.Helper()
	m, c := newBench(b), benchConfig(b)
	c.Boot.UID, c.Memory = 12, memory
	s, err := m.Create(c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	if _, err := s.Run(); err != nil {
		b.Fatal(err)
	}
	return s.(*sandbox)
}

func BenchmarkSaveCPU(b *testing.B) {
	s := benchIdle(b, 64<<20)
	for b.Loop() {
		if _, err := s.SaveCPU(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoadCPU is a state put into a vCPU that has run, up to its next doorbell; subtract BenchmarkDoorbell.
func BenchmarkLoadCPU(b *testing.B) {
	s := benchIdle(b, 64<<20)
	state, err := s.SaveCPU()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.LoadCPU(state); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoadCPUFresh is the same without running: what a vCPU that never ran costs.
func BenchmarkLoadCPUFresh(b *testing.B) {
	s := benchIdle(b, 64<<20)
	state, err := s.SaveCPU()
	if err != nil {
		b.Fatal(err)
	}
	s.vcpu.ran = false
	for b.Loop() {
		if err := s.LoadCPU(state); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStateParts are the calls that SaveCPU and LoadCPU consist of.
func BenchmarkStateParts(b *testing.B) {
	s := benchIdle(b, 64<<20)
	state, err := s.SaveCPU()
	if err != nil {
		b.Fatal(err)
	}
	v := s.vcpu
	var sr kvmabi.Sregs
	var xs kvmabi.XSave
	var ev kvmabi.VCPUEvents
	d := kvmabi.DebugRegs{DR6: 0xffff0ff0, DR7: 0x400}
	must := func(_ int, err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"decode", func() { _, _, err := decodeCPU(state, s.host.xcr0, s.mem.ram.Size()); must(0, err) }},
		{"settle", func() { must(0, v.settle()) }},
		{"KVM_GET_SREGS", func() { must(ioctlPtr(v.raw, kvmabi.GetSregs, &sr)) }},
		{"KVM_SET_SREGS", func() { must(ioctlPtr(v.raw, kvmabi.SetSregs, &sr)) }},
		{"KVM_SET_REGS", func() { must(ioctlPtr(v.raw, kvmabi.SetRegs, &v.run.Sync.Regs)) }},
		{"KVM_GET_XSAVE", func() { must(ioctlPtr(v.raw, kvmabi.GetXSave, &xs)) }},
		{"KVM_SET_XSAVE", func() { must(ioctlPtr(v.raw, kvmabi.SetXSave, &xs)) }},
		{"KVM_GET_VCPU_EVENTS", func() { must(ioctlPtr(v.raw, kvmabi.GetVCPUEvents, &ev)) }},
		{"KVM_SET_VCPU_EVENTS", func() { must(ioctlPtr(v.raw, kvmabi.SetVCPUEvents, &ev)) }},
		{"KVM_SET_MSRS", func() { m := startMSRs(&s.header); must(ioctlPtr(v.raw, kvmabi.SetMSRs, &m)) }},
		{"KVM_SET_XCRS", func() { must(0, v.setXCR0(s.host.xcr0)) }},
		{"KVM_SET_DEBUGREGS", func() { must(ioctlPtr(v.raw, kvmabi.SetDebugRegs, &d)) }},
		{"KVM_VCPU_TSC_OFFSET", func() { must(0, v.setTSCOffset()) }},
		{"dirty regs and sregs", func() {
			v.run.Sync.Sregs, v.run.DirtyRegs = sr, kvmabi.SyncRegsBit|kvmabi.SyncSregsBit|kvmabi.SyncEventsBit
			v.run.Sync.Events = kvmabi.VCPUEvents{}
			must(0, v.settle())
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				c.f()
			}
		})
	}
}

func BenchmarkWritten(b *testing.B) {
	for _, mib := range []int64{64, 256} {
		b.Run(map[int64]string{64: "64MiB", 256: "256MiB"}[mib], func(b *testing.B) {
			s := benchIdle(b, mib<<20)
			if err := s.Track(); err != nil {
				b.Fatal(err)
			}
			bits := make([]uint64, guestmem.Words(uint64(mib<<20)))
			for b.Loop() {
				if err := s.Written(bits); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUntouch forgets n pages that the guest did write; each time the guest writes them again is part of it, see BenchmarkTouch.
func benchTouch(b *testing.B, pages int, prepare func(s *sandbox), each func(s *sandbox)) {
	b.Helper()
	m, c := newBench(b), benchConfig(b)
	c.Boot.UID, c.Memory = 26, 256<<20 // doWrite of monitortest
	sb, err := m.Create(c)
	if err != nil {
		b.Fatal(err)
	}
	defer sb.Close()
	s := sb.(*sandbox)
	if err := s.Populate(256 << 20); err != nil {
		b.Fatal(err)
	}
	const in = 0x141000
	s.Shared().Store64(in, uint64(pages))
	for i := range uint64(pages) {
		s.Shared().Store64(in+8+8*i, 8<<20/pageSize+i*7)
	}
	run := func() {
		if e, err := s.Run(); err != nil || e.Kind != monitor.ExitQueue {
			b.Fatal(e, err)
		}
	}
	run()
	run()
	prepare(s)
	for b.Loop() {
		each(s)
		run()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(pages), "ns/page")
}

// BenchmarkTouch is a guest that writes to a byte in each of 1000 pages, 28 KiB apart, with and without tracking, and the first time after Untouch.
func BenchmarkTouch(b *testing.B) {
	none := func(*sandbox) {}
	track := func(s *sandbox) {
		if err := s.Track(); err != nil {
			b.Fatal(err)
		}
	}
	bits := make([]uint64, guestmem.Words(256<<20))
	untouch := func(s *sandbox) {
		clear(bits)
		if err := s.Written(bits); err != nil {
			b.Fatal(err)
		}
		if err := s.Untouch(bits); err != nil {
			b.Fatal(err)
		}
	}
	const pages = 400
	b.Run("untracked", func(b *testing.B) { benchTouch(b, pages, none, none) })
	b.Run("tracked", func(b *testing.B) { benchTouch(b, pages, track, none) })
	b.Run("untouched", func(b *testing.B) { benchTouch(b, pages, track, untouch) })
	b.Run("untouch alone", func(b *testing.B) {
		benchTouch(b, pages, track, func(s *sandbox) { untouch(s); b.StopTimer(); s.Run(); b.StartTimer() })
	})
	b.Run("forgotten", func(b *testing.B) {
		benchTouch(b, pages, none, func(s *sandbox) {
			if err := s.ForgetTables(); err != nil {
				b.Fatal(err)
			}
		})
	})
}

func BenchmarkForgetTables(b *testing.B) {
	s := benchIdle(b, 256<<20)
	for b.Loop() {
		if err := s.ForgetTables(); err != nil {
			b.Fatal(err)
		}
	}
}

var _ = abi.RAMMax
