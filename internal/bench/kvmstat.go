// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/binary"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// kvmEvents are what the kernel can count of virtual machines, as far as it explains a start, by the names that rows have. Guest instructions are
// emulated, and shadow entries exist, with a software KVM.
var kvmEvents = []struct{ name, event string }{
	{"exits", "kvm/kvm_userspace_exit"},
	{"emulated", "kvm/kvm_emulate_insn"},
	{"guest_faults", "kvm/kvm_inj_exception"},
	{"shadow_faults", "kvmmmu/kvm_mmu_spte_requested"},
	{"shadow_entries", "kvmmmu/kvm_mmu_set_spte"},
	{"shadow_tables", "kvmmmu/kvm_mmu_get_page"},
}

// eventCounter counts an event on all CPUs, whoever causes it: nothing else may use virtual machines meanwhile.
type eventCounter struct {
	name string
	fds  []int // one a CPU
}

// openCounters gives nothing where the kernel does not let us count.
func openCounters() (all []eventCounter) {
	for _, e := range kvmEvents {
		text, err := os.ReadFile("/sys/kernel/tracing/events/" + e.event + "/id")
		if err != nil {
			continue
		}
		id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			continue
		}
		c := eventCounter{name: e.name}
		for cpu := range runtime.NumCPU() {
			attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Size: unix.PERF_ATTR_SIZE_VER5, Config: id, Bits: unix.PerfBitDisabled}
			if fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC); err == nil {
				c.fds = append(c.fds, fd)
			}
		}
		if len(c.fds) > 0 {
			all = append(all, c)
		}
	}
	return all
}

func (c *eventCounter) each(request uint) {
	for _, fd := range c.fds {
		unix.IoctlSetInt(fd, request, 0)
	}
}

func (c *eventCounter) value() (sum float64) {
	var b [8]byte
	for _, fd := range c.fds {
		if n, err := unix.Read(fd, b[:]); n == len(b) && err == nil {
			sum += float64(binary.NativeEndian.Uint64(b[:]))
		}
	}
	return sum
}

func (c *eventCounter) close() {
	for _, fd := range c.fds {
		unix.Close(fd)
	}
}

// count takes some more turns of lanes whose system is a virtual machine, with counters on. Counting costs time: none of these turns is a measurement of it.
func count(ctx context.Context, o *Options, lanes []*lane) error {
	counters := openCounters()
	for i := range counters {
		defer counters[i].close()
	}
	if len(counters) == 0 {
		return nil
	}
	for range o.rounds(5, 1) {
		for _, l := range lanes {
			if l.system != KVM || l.skip != "" {
				continue
			}
			if err := l.ready(ctx); err != nil {
				return err
			}
			for _, c := range counters {
				c.each(unix.PERF_EVENT_IOC_RESET)
				c.each(unix.PERF_EVENT_IOC_ENABLE)
			}
			_, err := l.once(ctx)
			var got []Step
			for _, c := range counters {
				c.each(unix.PERF_EVENT_IOC_DISABLE)
				got = append(got, Step{c.name, c.value()})
			}
			if err != nil {
				return err
			}
			l.counts.add(got)
		}
	}
	return nil
}
