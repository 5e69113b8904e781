// SPDX-License-Identifier: Apache-2.0

package kvmabi

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// constants pairs expressions of <linux/kvm.h> with the numbers declared here.
func constants() map[string]uint64 {
	return map[string]uint64{
		"KVM_API_VERSION":                               APIVersion,
		"KVM_GET_API_VERSION":                           GetAPIVersion,
		"KVM_CREATE_VM":                                 CreateVM,
		"KVM_CHECK_EXTENSION":                           CheckExtension,
		"KVM_GET_VCPU_MMAP_SIZE":                        GetVCPUMmapSize,
		"KVM_GET_CPUID2":                                GetCPUID2,
		"KVM_GET_SUPPORTED_CPUID":                       GetSupportedCPUID,
		"KVM_CREATE_VCPU":                               CreateVCPU,
		"KVM_SET_USER_MEMORY_REGION":                    SetUserMemoryRegion,
		"KVM_RUN":                                       RunVCPU,
		"KVM_GET_REGS":                                  GetRegs,
		"KVM_SET_REGS":                                  SetRegs,
		"KVM_GET_SREGS":                                 GetSregs,
		"KVM_SET_SREGS":                                 SetSregs,
		"KVM_GET_MSRS":                                  GetMSRs,
		"KVM_SET_MSRS":                                  SetMSRs,
		"KVM_SET_CPUID2":                                SetCPUID2,
		"KVM_GET_VCPU_EVENTS":                           GetVCPUEvents,
		"KVM_SET_VCPU_EVENTS":                           SetVCPUEvents,
		"KVM_GET_DEBUGREGS":                             GetDebugRegs,
		"KVM_SET_DEBUGREGS":                             SetDebugRegs,
		"KVM_GET_XSAVE":                                 GetXSave,
		"KVM_SET_XSAVE":                                 SetXSave,
		"KVM_GET_XCRS":                                  GetXCRs,
		"KVM_GET_DIRTY_LOG":                             GetDirtyLog,
		"KVM_CLEAR_DIRTY_LOG":                           ClearDirtyLog,
		"KVM_X86_SET_MSR_FILTER":                        SetMSRFilter,
		"KVM_MSR_FILTER_DEFAULT_DENY":                   MSRFilterDeny,
		"KVM_MSR_FILTER_READ":                           MSRFilterRead,
		"KVM_MSR_FILTER_WRITE":                          MSRFilterWrite,
		"KVM_CAP_X86_MSR_FILTER":                        CapMSRFilter,
		"sizeof(struct kvm_msr_filter)":                 uint64(reflect.TypeFor[MSRFilter]().Size()),
		"offsetof(struct kvm_msr_filter, ranges)":       uint64(field[MSRFilter]("Ranges").Offset),
		"sizeof(struct kvm_msr_filter_range)":           uint64(reflect.TypeFor[MSRFilterRange]().Size()),
		"offsetof(struct kvm_msr_filter_range, nmsrs)":  uint64(field[MSRFilterRange]("NMSRs").Offset),
		"offsetof(struct kvm_msr_filter_range, base)":   uint64(field[MSRFilterRange]("Base").Offset),
		"offsetof(struct kvm_msr_filter_range, bitmap)": uint64(field[MSRFilterRange]("Bitmap").Offset),
		"KVM_CAP_XSAVE":                                 CapXSave,
		"KVM_CAP_DEBUGREGS":                             CapDebugRegs,
		"KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2":             CapManualDirtyLog,
		"KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE":           ManualProtect,
		"KVM_VCPUEVENT_VALID_NMI_PENDING":               EventNMIPending,
		"KVM_VCPUEVENT_VALID_SHADOW":                    EventShadow,
		"KVM_GET_TSC_KHZ":                               GetTSCKHz,
		"KVM_SET_XCRS":                                  SetXCRs,
		"KVM_SET_DEVICE_ATTR":                           SetDeviceAttr,
		"KVM_ENABLE_CAP":                                EnableCap,
		"KVM_CAP_ENFORCE_PV_FEATURE_CPUID":              CapEnforcePV,
		"KVM_MEM_LOG_DIRTY_PAGES":                       MemLogDirtyPages,
		"KVM_MEM_READONLY":                              MemReadonly,
		"KVM_SYNC_X86_REGS":                             SyncRegsBit,
		"KVM_SYNC_X86_SREGS":                            SyncSregsBit,
		"KVM_SYNC_X86_EVENTS":                           SyncEventsBit,
		"KVM_VCPU_TSC_CTRL":                             VCPUTSCCtrl,
		"KVM_VCPU_TSC_OFFSET":                           VCPUTSCOffset,
		"KVM_CAP_USER_MEMORY":                           CapUserMemory,
		"KVM_CAP_READONLY_MEM":                          CapReadonlyMem,
		"KVM_CAP_XCRS":                                  CapXCRs,
		"KVM_CAP_SYNC_REGS":                             CapSyncRegs,
		"KVM_CAP_IMMEDIATE_EXIT":                        CapImmediateExit,
		"KVM_CAP_VCPU_EVENTS":                           CapVCPUEvents,
		"KVM_EXIT_UNKNOWN":                              ExitUnknown,
		"KVM_EXIT_EXCEPTION":                            ExitException,
		"KVM_EXIT_IO":                                   ExitIO,
		"KVM_EXIT_HYPERCALL":                            ExitHypercall,
		"KVM_EXIT_DEBUG":                                ExitDebug,
		"KVM_EXIT_HLT":                                  ExitHLT,
		"KVM_EXIT_MMIO":                                 ExitMMIO,
		"KVM_EXIT_IRQ_WINDOW_OPEN":                      ExitIRQWindowOpen,
		"KVM_EXIT_SHUTDOWN":                             ExitShutdown,
		"KVM_EXIT_FAIL_ENTRY":                           ExitFailEntry,
		"KVM_EXIT_INTR":                                 ExitIntr,
		"KVM_EXIT_SET_TPR":                              ExitSetTPR,
		"KVM_EXIT_TPR_ACCESS":                           ExitTPRAccess,
		"KVM_EXIT_NMI":                                  ExitNMI,
		"KVM_EXIT_INTERNAL_ERROR":                       ExitInternalError,
		"KVM_EXIT_SYSTEM_EVENT":                         ExitSystemEvent,
		"KVM_EXIT_X86_RDMSR":                            ExitX86RDMSR,
		"KVM_EXIT_X86_WRMSR":                            ExitX86WRMSR,
		"KVM_EXIT_X86_BUS_LOCK":                         ExitX86BusLock,
		"KVM_INTERNAL_ERROR_EMULATION":                  InternalErrorEmulation,
		"KVM_INTERNAL_ERROR_SIMUL_EX":                   InternalErrorSimulEx,
		"KVM_INTERNAL_ERROR_DELIVERY_EV":                InternalErrorDeliveryEv,
		"KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON":     InternalErrorUnexpectedExitReason,
		"sizeof(struct kvm_sync_regs)":                  SyncRegsSize,
		"offsetof(struct kvm_run, immediate_exit)":      1,
		"offsetof(struct kvm_run, exit_reason)":         uint64(field[Run]("ExitReason").Offset),
		"offsetof(struct kvm_run, cr8)":                 uint64(field[Run]("CR8").Offset),
		"offsetof(struct kvm_run, apic_base)":           uint64(field[Run]("APICBase").Offset),
		"offsetof(struct kvm_run, mmio)":                uint64(field[Run]("Exit").Offset),
		"offsetof(struct kvm_run, internal)":            uint64(field[Run]("Exit").Offset),
		"offsetof(struct kvm_run, kvm_valid_regs)":      uint64(field[Run]("ValidRegs").Offset),
		"offsetof(struct kvm_run, kvm_dirty_regs)":      uint64(field[Run]("DirtyRegs").Offset),
		"offsetof(struct kvm_run, s)":                   uint64(field[Run]("Sync").Offset),
		"sizeof(struct kvm_run)":                        uint64(reflect.TypeFor[Run]().Size()),
		"sizeof(((struct kvm_run *)0)->mmio)":           uint64(reflect.TypeFor[MMIO]().Size()),
		"sizeof(((struct kvm_run *)0)->internal)":       uint64(reflect.TypeFor[InternalError]().Size()),
		"sizeof(((struct kvm_run *)0)->fail_entry)":     uint64(reflect.TypeFor[FailEntry]().Size()),
		"sizeof(((struct kvm_run *)0)->io)":             uint64(reflect.TypeFor[IO]().Size()),
		"offsetof(struct kvm_run, mmio.len) - offsetof(struct kvm_run, mmio)":             uint64(field[MMIO]("Len").Offset),
		"offsetof(struct kvm_run, mmio.is_write) - offsetof(struct kvm_run, mmio)":        uint64(field[MMIO]("IsWrite").Offset),
		"offsetof(struct kvm_run, internal.data) - offsetof(struct kvm_run, internal)":    uint64(field[InternalError]("Data").Offset),
		"offsetof(struct kvm_run, io.port) - offsetof(struct kvm_run, io)":                uint64(field[IO]("Port").Offset),
		"offsetof(struct kvm_run, fail_entry.cpu) - offsetof(struct kvm_run, fail_entry)": uint64(field[FailEntry]("CPU").Offset),
		"sizeof(struct kvm_dirty_log)":                                                    uint64(reflect.TypeFor[DirtyLog]().Size()),
		"offsetof(struct kvm_dirty_log, dirty_bitmap)":                                    uint64(field[DirtyLog]("Bitmap").Offset),
		"sizeof(struct kvm_clear_dirty_log)":                                              uint64(reflect.TypeFor[ClearDirtyLogRange]().Size()),
		"offsetof(struct kvm_clear_dirty_log, num_pages)":                                 uint64(field[ClearDirtyLogRange]("NumPages").Offset),
		"offsetof(struct kvm_clear_dirty_log, first_page)":                                uint64(field[ClearDirtyLogRange]("FirstPage").Offset),
		"offsetof(struct kvm_clear_dirty_log, dirty_bitmap)":                              uint64(field[ClearDirtyLogRange]("Bitmap").Offset),
		"offsetof(struct kvm_msrs, entries)":                                              uint64(field[MSRs]("Entries").Offset),
		"offsetof(struct kvm_cpuid2, entries)":                                            uint64(field[CPUID]("Entries").Offset),
	}
}

// later are constants that the headers of Debian 12 may lack.
func later() map[string]uint64 {
	return map[string]uint64{"KVM_CAP_VCPU_ATTRIBUTES": CapVCPUAttributes, "KVM_EXIT_MEMORY_FAULT": ExitMemoryFault}
}

// structs pairs each C struct whose fields are compared one by one.
func structs() map[string]reflect.Type {
	return map[string]reflect.Type{
		"kvm_userspace_memory_region": reflect.TypeFor[UserspaceMemoryRegion](),
		"kvm_regs":                    reflect.TypeFor[Regs](),
		"kvm_segment":                 reflect.TypeFor[Segment](),
		"kvm_dtable":                  reflect.TypeFor[DTable](),
		"kvm_sregs":                   reflect.TypeFor[Sregs](),
		"kvm_vcpu_events":             reflect.TypeFor[VCPUEvents](),
		"kvm_sync_regs":               reflect.TypeFor[SyncRegs](),
		"kvm_msr_entry":               reflect.TypeFor[MSREntry](),
		"kvm_cpuid_entry2":            reflect.TypeFor[CPUIDEntry](),
		"kvm_xcr":                     reflect.TypeFor[XCR](),
		"kvm_xcrs":                    reflect.TypeFor[XCRs](),
		"kvm_debugregs":               reflect.TypeFor[DebugRegs](),
		"kvm_xsave":                   reflect.TypeFor[XSave](),
		"kvm_device_attr":             reflect.TypeFor[DeviceAttr](),
		"kvm_enable_cap":              reflect.TypeFor[Cap](),
	}
}

func field[T any](name string) reflect.StructField {
	f, ok := reflect.TypeFor[T]().FieldByName(name)
	if !ok {
		panic("no field " + name)
	}
	return f
}

// requireHeader makes the test depend on the header's text, so that an update of it is not hidden by the test cache.
func requireHeader(t *testing.T) {
	t.Helper()
	for _, h := range []string{"/usr/include/linux/kvm.h", "/usr/include/x86_64-linux-gnu/asm/kvm.h"} {
		if _, err := os.ReadFile(h); err != nil {
			t.Skipf("%v: install linux-libc-dev", err)
		}
	}
}

func TestConstants(t *testing.T) {
	requireHeader(t)
	var src strings.Builder
	src.WriteString("#include <stdio.h>\n#include <stddef.h>\n#include <linux/kvm.h>\nint main(void) {\n")
	all := constants()
	for k, v := range later() {
		fmt.Fprintf(&src, "#ifdef %s\nprintf(\"%s=%%llu\\n\", (unsigned long long)(%s));\n#else\nprintf(\"%s=%d\\n\");\n#endif\n", k, k, k, k, v)
		all[k] = v
	}
	for k := range constants() {
		fmt.Fprintf(&src, "printf(\"%s=%%llu\\n\", (unsigned long long)(%s));\n", k, k)
	}
	src.WriteString("}\n")
	bin := filepath.Join(t.TempDir(), "constants")
	cc(t, src.String(), "-x", "c", "-w", "-o", bin, "-")
	out, err := exec.Command(bin).Output()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(out)) {
		i := strings.LastIndexByte(line, '=')
		v, err := strconv.ParseUint(strings.TrimSpace(line[i+1:]), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		// Some constants are of type int or unsigned int in C: the ioctl argument is 32 bits wide.
		if want := all[line[:i]]; want != v {
			t.Errorf("%s is 0x%x, declared 0x%x", line[:i], v, want)
		}
		n++
	}
	if n != len(all) {
		t.Errorf("compared %d constants of %d", n, len(all))
	}
}

func TestStructs(t *testing.T) {
	requireHeader(t)
	d := compile(t)
	want := structs()
	found := 0
	r := d.Reader()
	for {
		e, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e == nil {
			break
		}
		if e.Tag != dwarf.TagStructType {
			continue
		}
		name, _ := e.Val(dwarf.AttrName).(string)
		mirror, ok := want[name]
		if !ok {
			continue
		}
		typ, err := d.Type(e.Offset)
		if err != nil {
			t.Fatal(err)
		}
		found++
		compareStruct(t, name, typ.(*dwarf.StructType), mirror)
	}
	if found != len(want) {
		t.Errorf("found %d of %d structs in <linux/kvm.h>", found, len(want))
	}
}

func compareStruct(t *testing.T, name string, c *dwarf.StructType, g reflect.Type) {
	t.Helper()
	if c.ByteSize != int64(g.Size()) {
		t.Errorf("struct %s: %d bytes, Go %d", name, c.ByteSize, g.Size())
	}
	fields := c.Field
	for len(fields) > 0 && fields[len(fields)-1].Type.Size() <= 0 {
		fields = fields[:len(fields)-1] // a flexible array at the end
	}
	if len(fields) != g.NumField() {
		t.Errorf("struct %s: %d fields, Go %d", name, len(fields), g.NumField())
		return
	}
	for i, cf := range fields {
		gf := g.Field(i)
		if cf.ByteOffset != int64(gf.Offset) || cf.Type.Size() != int64(gf.Type.Size()) {
			t.Errorf("%s.%s: offset %d, size %d; Go %s: %d, %d", name, cf.Name, cf.ByteOffset, cf.Type.Size(), gf.Name, gf.Offset, gf.Type.Size())
		}
		if !strings.EqualFold(strings.ReplaceAll(cf.Name, "_", ""), gf.Name) {
			t.Errorf("%s.%s is called %s in Go", name, cf.Name, gf.Name)
		}
		if cs, ok := cf.Type.(*dwarf.StructType); ok && gf.Type.Kind() == reflect.Struct {
			compareStruct(t, name+"."+cf.Name, cs, gf.Type)
		}
	}
}

func compile(t *testing.T) *dwarf.Data {
	t.Helper()
	obj := filepath.Join(t.TempDir(), "kvm.o")
	cc(t, "#include <linux/kvm.h>\n", "-x", "c", "-g", "-fno-eliminate-unused-debug-types", "-c", "-o", obj, "-")
	f, err := elf.Open(obj)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := f.DWARF()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func cc(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.Command("cc", args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("cc %v: %v\n%s", args, err, &stderr)
	}
}
