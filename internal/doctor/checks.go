// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/cgroup"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/units"
)

const (
	oldestMajor, oldestMinor = 5, 11 // FSGSBASE for user space, close_range, KVM's immediate exit and synced registers
	guestMemory              = 32 << 20
	littleMemory             = 512 << 20
	fewFiles                 = 1024
	fewMaps                  = 65530
)

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func kernel() Check {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return bad("kernel", Warn, "", "uname: %v", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err == nil &&
		(major < oldestMajor || major == oldestMajor && minor < oldestMinor) {
		return bad("kernel", Warn, fmt.Sprintf("use Linux %d.%d or newer", oldestMajor, oldestMinor), "Linux %s is older than what is tested", release)
	}
	return ok("kernel", "Linux %s", release)
}

// cpu looks for what the library OS cannot do without: it runs at CPL3 and switches thread-local data with WRFSBASE.
func cpu(root string) Check {
	b, err := os.ReadFile(filepath.Join(root, "proc/cpuinfo"))
	if err != nil {
		return bad("cpu", Warn, "mount /proc", "cannot tell: %v", err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if k, v, found := strings.Cut(line, ":"); found && fields[strings.TrimSpace(k)] == "" {
			fields[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	flags := " " + fields["flags"] + " "
	var missing []string
	for _, f := range []string{"fsgsbase", "xsave", "rdtscp"} {
		if !strings.Contains(flags, " "+f+" ") {
			missing = append(missing, f)
		}
	}
	model := fields["model name"]
	switch {
	case len(missing) > 0:
		return bad("cpu", Fail, "use a CPU of 2013 or later, or have the hypervisor pass these features on", "%s lacks %s", model, strings.Join(missing, ", "))
	case !strings.Contains(flags, " constant_tsc ") && !strings.Contains(flags, " tsc_known_freq "):
		return bad("cpu", Warn, "have the hypervisor offer an invariant TSC", "%s: its time stamp counter may change its rate, clocks in guests may drift", model)
	}
	return ok("cpu", "%s", model)
}

// device looks at /dev/kvm itself.
func device(o Options) Check {
	const name = "/dev/kvm"
	path := filepath.Join(o.Root, "dev/kvm")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad(name, Fail, "load kvm_intel or kvm_amd (modprobe), enable virtualization in the firmware, or nested virtualization in the hypervisor", "is not there")
	case errors.Is(err, fs.ErrPermission):
		group := "kvm"
		if fi, err := os.Stat(path); err == nil && fi.Sys().(*syscall.Stat_t).Gid == 0 {
			group = ""
		}
		fix := "run as root, or give your user access: setfacl -m u:$USER:rw /dev/kvm"
		if group != "" {
			fix = "add your user to its group: usermod -aG kvm $USER, then log in again"
		}
		return bad(name, Fail, fix, "no permission to open it")
	case err != nil:
		return bad(name, Fail, "look at dmesg for what KVM says", "cannot be opened: %v", cause(err))
	}
	f.Close()
	return ok(name, "can be opened")
}

// machine makes a virtual machine and throws it away.
func machine(o Options) Check {
	const name = "virtual machine"
	if o.Monitor == nil {
		return bad(name, Fail, "", "no monitor was built in")
	}
	if err := o.Monitor.Probe(); err != nil {
		return bad(name, Fail, "", "%v", err)
	}
	start := time.Now()
	s, err := o.Monitor.Create(monitor.Config{
		Memory: guestMemory, Libos: o.Libos,
		Boot: monitor.Boot{Program: "/none", Args: []string{"none"}, Cwd: "/", Hostname: "doctor", MaxFiles: 64},
	})
	took := time.Since(start)
	if err != nil {
		return bad(name, Fail, "", "cannot be made: %v", err)
	}
	defer s.Close()
	return ok(name, "made by monitor %s in %.1f ms", o.Monitor.Name(), float64(took.Microseconds())/1000)
}

func memory(root string) Check {
	b, err := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return bad("memory", Warn, "mount /proc", "cannot tell: %v", err)
	}
	total, avail := kib(b, "MemTotal:"), kib(b, "MemAvailable:")
	if avail < littleMemory {
		return bad("memory", Warn, "end something else, or deploy functions with a smaller --memory",
			"%s of %s available", units.HumanBytes(avail), units.HumanBytes(total))
	}
	return ok("memory", "%s of %s available", units.HumanBytes(avail), units.HumanBytes(total))
}

// kib is a value of /proc/meminfo in bytes.
func kib(meminfo []byte, key string) int64 {
	for line := range bytes.Lines(meminfo) {
		if f := strings.Fields(string(line)); len(f) >= 2 && f[0] == key {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

func hugePages(root string) Check {
	const name = "huge pages"
	b, err := os.ReadFile(filepath.Join(root, "sys/kernel/mm/transparent_hugepage/enabled"))
	if err != nil {
		return bad(name, Warn, "use a kernel with CONFIG_TRANSPARENT_HUGEPAGE", "none: guests start slower")
	}
	_, after, _ := strings.Cut(string(b), "[")
	mode, _, _ := strings.Cut(after, "]")
	if mode == "never" {
		return bad(name, Warn, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled", "switched off: guests start slower")
	}
	return ok(name, "transparent (%s)", mode)
}

func overcommit(root string) Check {
	b, _ := os.ReadFile(filepath.Join(root, "proc/sys/vm/overcommit_memory"))
	if strings.TrimSpace(string(b)) == "2" {
		return bad("overcommit", Warn, "sysctl vm.overcommit_memory=0", "strict: each instance counts with its whole memory limit")
	}
	return ok("overcommit", "memory is given when it is touched")
}

func maps(root string) Check {
	b, _ := os.ReadFile(filepath.Join(root, "proc/sys/vm/max_map_count"))
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err == nil && n < fewMaps {
		return bad("mappings", Warn, fmt.Sprintf("sysctl vm.max_map_count=%d", fewMaps), "at most %d a process: few instances at once", n)
	}
	return ok("mappings", "at most %d a process", n)
}

func files() Check {
	const name = "open files"
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return bad(name, Warn, "", "cannot tell: %v", err)
	}
	// Go raises the soft limit to the hard one by itself.
	if l.Max < fewFiles {
		return bad(name, Warn, "raise the hard limit: ulimit -Hn, LimitNOFILE= of systemd", "at most %d: few connections and instances at once", l.Max)
	}
	return ok(name, "at most %d", l.Max)
}

func cgroups(root string) Check {
	const name = "cgroups"
	const without = "functions share CPUs as all processes do, and only their virtual machines bound their memory"
	const fix = "run the node as root or as a service with Delegate=yes if functions are to have weights"
	r, err := cgroup.Open(root)
	if err != nil {
		return bad(name, Warn, fix, "%s: %s", strings.Join(strings.Fields(err.Error()), " "), without)
	}
	defer r.Close()
	g, err := r.Make("doctor", 0, cgroup.Limits{Weight: cgroup.DefaultWeight})
	if err != nil {
		return bad(name, Warn, fix, "%s: %s", strings.Join(strings.Fields(err.Error()), " "), without)
	}
	defer g.Remove()
	return ok(name, "%v", r)
}

func dataDir(dir string) Check {
	const name = "data folder"
	if dir == "" {
		return bad(name, Warn, "set HOME or give --data", "there is no default")
	}
	// The nearest folder above that exists already: nothing is made here.
	at := dir
	for {
		fi, err := os.Stat(at)
		if err == nil && !fi.IsDir() {
			return bad(name, Fail, "give another one with --data", "%s: %s is not a folder", dir, at)
		}
		if err == nil || at == "/" || at == "." {
			break
		}
		at = filepath.Dir(at)
	}
	if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		return bad(name, Fail, "give another one with --data", "%s: cannot write to %s: %v", dir, at, err)
	}
	var sf unix.Statfs_t
	if err := unix.Statfs(at, &sf); err == nil {
		free := int64(sf.Bavail) * sf.Bsize
		if free < 64<<20 {
			return bad(name, Warn, "free some space, or give another one with --data", "%s: only %s free", dir, units.HumanBytes(free))
		}
		return ok(name, "%s, %s free", dir, units.HumanBytes(free))
	}
	return ok(name, "%s", dir)
}

func tool(name, why string) Check {
	p, err := exec.LookPath(name)
	if err != nil {
		return bad(name, Warn, "apt-get install "+name, "not installed: %s", why)
	}
	return ok(name, "%s", p)
}

// cause is the error without the path that the line names already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
