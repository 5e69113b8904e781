// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is where a result comes from: figures of two machines are not compared.
type Machine struct {
	CPU    string    `json:"cpu"`
	Cores  int       `json:"cores"`
	Memory int64     `json:"memory"` // bytes
	Kernel string    `json:"kernel"`
	KVM    string    `json:"kvm"` // software: privileged guest code is emulated; hardware; none
	Time   time.Time `json:"time"`
}

func machine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Time: time.Now().UTC().Truncate(time.Second), KVM: "none"}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	var si unix.Sysinfo_t
	if unix.Sysinfo(&si) == nil {
		m.Memory = int64(si.Totalram) * int64(si.Unit)
	}
	b, _ := os.ReadFile("/proc/cpuinfo")
	flags := ""
	for line := range strings.Lines(string(b)) {
		switch k, v, _ := strings.Cut(line, ":"); strings.TrimSpace(k) {
		case "model name":
			m.CPU = strings.TrimSpace(v)
		case "flags":
			flags = " " + strings.TrimSpace(v) + " "
		}
	}
	if _, err := os.Stat("/dev/kvm"); err == nil {
		m.KVM = "software"
		if strings.Contains(flags, " vmx ") || strings.Contains(flags, " svm ") {
			m.KVM = "hardware"
		}
	}
	return m
}
