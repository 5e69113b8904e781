// SPDX-License-Identifier: Apache-2.0

package kvm

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/monitor/kvm/kvmabi"
)

// decode turns the end of a KVM_RUN into an Exit; err is KVM_RUN's.
func (s *sandbox) decode(err error) monitor.Exit {
	if err == unix.EFAULT {
		return s.fault(s.lostText())
	}
	if err != nil {
		return s.fault(fmt.Sprintf("KVM_RUN: %v", err))
	}
	r := s.vcpu.run
	if r.ExitReason != kvmabi.ExitMMIO {
		return s.fault(exitText(r))
	}
	m := mmioOf(r)
	if m.PhysAddr < abi.DoorbellGPA || m.PhysAddr >= abi.DoorbellGPA+pageSize || m.IsWrite == 0 || m.Len != 4 {
		return s.fault(exitText(r))
	}
	value := binary.LittleEndian.Uint32(m.Data[:4])
	switch m.PhysAddr - abi.DoorbellGPA {
	case abi.BellQueue:
		return monitor.Exit{Kind: monitor.ExitQueue}
	case abi.BellIdle:
		return monitor.Exit{Kind: monitor.ExitIdle, Value: value}
	case abi.BellExit:
		e := monitor.Exit{Kind: monitor.ExitDone, Value: value}
		if value&0x7f != 0 {
			e.Report = s.guestReport()
		}
		return e
	case abi.BellPanic:
		return monitor.Exit{Kind: monitor.ExitPanic, Value: value, Report: s.report(panicText(value, s.guestReport()))}
	case abi.BellOOM:
		return monitor.Exit{Kind: monitor.ExitOOM, Value: value, Report: s.guestReport()}
	}
	return s.fault(exitText(r))
}

// lostText says what the guest touched that the host cannot give it any more.
func (s *sandbox) lostText() string {
	const why = "the host has no memory for a page that the guest touched"
	if s.vcpu.run.ExitReason == kvmabi.ExitMemoryFault {
		gpa := memoryFaultOf(s.vcpu.run).GPA
		if gpa >= abi.FilesGPA && gpa < abi.FilesGPA+abi.FilesMax {
			return fmt.Sprintf("a file of the host was cut short while it was mapped, or cannot be read: offset 0x%x of the files area", gpa-abi.FilesGPA)
		}
		return fmt.Sprintf("%s: guest physical address 0x%x", why, gpa)
	}
	if s.files.window != nil {
		return why + ": most likely a file of the host was cut short while it was mapped"
	}
	return why
}

func (s *sandbox) fault(reason string) monitor.Exit {
	return monitor.Exit{Kind: monitor.ExitFault, Report: s.report(reason)}
}

// panicText is one line: what the library OS says itself, where it could, else what kind of end it was.
func panicText(v uint32, report string) string {
	const longest = 200
	switch v {
	case abi.PanicBug:
		why, _, _ := strings.Cut(report, "\n")
		if why == "" {
			why = "a bug"
		}
		return "the library OS gave up: " + strings.ToValidUTF8(why[:min(len(why), longest)], "")
	case abi.PanicBoot:
		return "the library OS gave up: it could not boot"
	case abi.PanicTrap:
		return "the library OS gave up: an exception in itself"
	}
	return fmt.Sprintf("the library OS gave up: code %d", v)
}

// exitText says why KVM_RUN returned.
func exitText(r *kvmabi.Run) string {
	switch r.ExitReason {
	case kvmabi.ExitMMIO:
		m := mmioOf(r)
		verb := "read from"
		if m.IsWrite != 0 {
			verb = "write to"
		}
		return fmt.Sprintf("%s guest physical address 0x%x, %d bytes, where there is no memory or none to write", verb, m.PhysAddr, m.Len)
	case kvmabi.ExitShutdown:
		return "triple fault: an exception could not be delivered"
	case kvmabi.ExitHLT:
		return "HLT instruction"
	case kvmabi.ExitIO:
		io := ioOf(r)
		return fmt.Sprintf("access to I/O port 0x%x, %d bytes", io.Port, io.Size)
	case kvmabi.ExitFailEntry:
		return fmt.Sprintf("the CPU refused the guest's state: reason 0x%x", failEntryOf(r).HardwareEntryFailureReason)
	case kvmabi.ExitInternalError:
		return internalErrorText(internalErrorOf(r))
	}
	names := map[uint32]string{
		kvmabi.ExitUnknown:       "unknown",
		kvmabi.ExitException:     "exception",
		kvmabi.ExitHypercall:     "hypercall",
		kvmabi.ExitDebug:         "debug",
		kvmabi.ExitIRQWindowOpen: "interrupt window",
		kvmabi.ExitIntr:          "interrupted",
		kvmabi.ExitSetTPR:        "set TPR",
		kvmabi.ExitTPRAccess:     "TPR access",
		kvmabi.ExitNMI:           "NMI",
		kvmabi.ExitSystemEvent:   "system event",
		kvmabi.ExitX86RDMSR:      "RDMSR",
		kvmabi.ExitX86WRMSR:      "WRMSR",
		kvmabi.ExitX86BusLock:    "bus lock",
	}
	if n, ok := names[r.ExitReason]; ok {
		return "unexpected exit: " + n
	}
	return fmt.Sprintf("unexpected exit: reason %d", r.ExitReason)
}

func internalErrorText(e kvmabi.InternalError) string {
	what := fmt.Sprintf("suberror %d", e.Suberror)
	switch e.Suberror {
	case kvmabi.InternalErrorEmulation:
		what = "it cannot emulate an instruction"
	case kvmabi.InternalErrorSimulEx:
		what = "two exceptions at once"
	case kvmabi.InternalErrorDeliveryEv:
		what = "an exit while it delivered an exception"
	case kvmabi.InternalErrorUnexpectedExitReason:
		what = "the CPU left the guest for a reason that it does not know"
	}
	return fmt.Sprintf("KVM gave up: %s; data %x", what, e.Data[:min(e.Ndata, uint32(len(e.Data)))])
}
