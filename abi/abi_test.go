// SPDX-License-Identifier: Apache-2.0

package abi

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// structs pairs each C struct with its Go mirror. The test fails if the header has one that is not here.
func structs() map[string]reflect.Type {
	return map[string]reflect.Type{
		"ufs_libos_header": reflect.TypeFor[LibosHeader](),
		"ufs_exc_frame":    reflect.TypeFor[ExcFrame](),
		"ufs_ctl":          reflect.TypeFor[Ctl](),
		"ufs_clock":        reflect.TypeFor[Clock](),
		"ufs_cpuid":        reflect.TypeFor[CPUID](),
		"ufs_cpuid_entry":  reflect.TypeFor[CPUIDEntry](),
		"ufs_boot":         reflect.TypeFor[Boot](),
		"ufs_msg":          reflect.TypeFor[Msg](),
		"ufs_layer":        reflect.TypeFor[Layer](),
		"ufs_trace":        reflect.TypeFor[Trace](),
		"ufs_terminal":     reflect.TypeFor[Terminal](),
		"ufs_addr":         reflect.TypeFor[Addr](),
		"ufs_file_req":     reflect.TypeFor[FileReq](),
		"ufs_file_stat":    reflect.TypeFor[FileStatReply](),
		"ufs_file_entry":   reflect.TypeFor[FileEntry](),
		"ufs_file_map":     reflect.TypeFor[FileMapReply](),
		"ufs_entry":        reflect.TypeFor[Entry](),
		"ufs_restore":      reflect.TypeFor[Restore](),
		"ufs_range":        reflect.TypeFor[Range](),
	}
}

// constants pairs each number of the header with its Go mirror, both ways.
func constants() map[string]uint64 {
	return map[string]uint64{
		"ABI_MAGIC": Magic, "ABI_VERSION": Version,
		"RAM_GPA": RAMGPA, "DOORBELL_GPA": DoorbellGPA, "SHARED_GPA": SharedGPA, "IMAGE_GPA": ImageGPA,
		"LIBOS_VA": LibosVA, "LIBOS_DATA_VA": LibosDataVA, "SHARED_VA": SharedVA, "DOORBELL_VA": DoorbellVA,
		"PHYS_VA": PhysVA, "IMAGE_VA": ImageVA, "WINDOW_VA": WindowVA, "WINDOW_END": WindowEnd, "USER_END": UserEnd,
		"RAM_MIN": RAMMin, "RAM_MAX": RAMMax, "IMAGE_MAX": ImageMax,
		"KERNEL_CS": KernelCS, "KERNEL_SS": KernelSS, "USER_SS": UserSS, "USER_CS": UserCS, "TSS_SEL": TSSSel,
		"SHARED_SIZE": SharedSize, "CTL_OFF": CtlOff, "CLOCK_OFF": ClockOff, "REPORT_OFF": ReportOff, "CPUID_OFF": CPUIDOff, "TABLES_PA": TablesPA, "TABLES_END": TablesEnd, "CPUID_MAX": CPUIDMax,
		"REPORT_SIZE": ReportSize, "BOOT_OFF": BootOff, "BOOT_SIZE": BootSize,
		"RX_OFF": RxOff, "RX_SIZE": RxSize, "TX_OFF": TxOff, "TX_SIZE": TxSize,
		"BELL_QUEUE": BellQueue, "BELL_IDLE": BellIdle, "BELL_EXIT": BellExit, "BELL_PANIC": BellPanic, "BELL_OOM": BellOOM,
		"PANIC_BUG": PanicBug, "PANIC_BOOT": PanicBoot, "PANIC_TRAP": PanicTrap,
		"VEC_PREEMPT": VecPreempt,
		"MSG_ALIGN":   MsgAlign, "MSG_MAX": MsgMax,
		"MSG_DATA": MsgData, "MSG_EOF": MsgEOF, "MSG_RESET": MsgReset, "MSG_CREDIT": MsgCredit, "MSG_OPEN": MsgOpen,
		"MSG_SIGNAL": MsgSignal, "MSG_LISTEN": MsgListen, "MSG_UNLISTEN": MsgUnlisten, "MSG_ACCEPTED": MsgAccepted,
		"MSG_TRACE": MsgTrace, "MSG_TERMINAL": MsgTerminal, "TRACE_CALL": TraceCall, "TRACE_UNFINISHED": TraceUnfinished, "TRACE_RESUMED": TraceResumed,
		"TRACE_SIGNAL": TraceSignal, "TRACE_ABSENT": TraceAbsent, "TRACE_MAX": TraceMax, "TRACE_CREDIT": TraceCredit,
		"TRACE_STRING": TraceString, "TRACE_STRINGS": TraceStrings, "TRACE_DATA": TraceData, "TRACE_ADDRESS": TraceAddress,
		"TRACE_4": Trace4, "TRACE_8": Trace8, "TRACE_16": Trace16, "TRACE_AFTER": TraceAfter,
		"CONN_STDIN": ConnStdin, "CONN_STDOUT": ConnStdout, "CONN_STDERR": ConnStderr,
		"CONN_FIRST": ConnFirst, "CONN_WINDOW": ConnWindow,
		"BOOT_STDIN_TTY": BootStdinTTY, "BOOT_STDOUT_TTY": BootStdoutTTY, "BOOT_STDERR_TTY": BootStderrTTY,
		"BOOT_STRACE": BootStrace, "BOOT_NOPATCH": BootNoPatch,
		"BOOT_FILES": BootFiles, "BOOT_SPAWN": BootSpawn, "BOOT_NET": BootNet, "BOOT_LOOPBACK": BootLoopback,
		"FILES_GPA": FilesGPA, "FILES_VA": FilesVA, "FILES_MAX": FilesMax, "LAYERS_MAX": LayersMax,
		"MSG_CONNECT": MsgConnect, "MSG_CONNECTED": MsgConnected, "MSG_ERROR": MsgError,
		"PROTO_TCP": ProtoTCP, "PROTO_UDP": ProtoUDP, "DGRAM_MAX": DgramMax, "CONN_GUEST": ConnGuest,
		"MSG_FILE": MsgFile, "MSG_FILE_REPLY": MsgFileReply, "MSG_SPAWN": MsgSpawn, "MSG_ENDED": MsgEnded,
		"FILE_STAT": FileStat, "FILE_LIST": FileList, "FILE_LINK": FileLink, "FILE_MAP": FileMap, "FILE_UNMAP": FileUnmap,
		"FILE_READ": FileRead, "FILE_READ_MAX": FileReadMax, "FILE_TAGS": FileTags, "FILE_PATH": FilePath,
		"BOOT_TABLES": BootTables, "IDLE_READY": IdleReady, "BOOT_SNAP_MANUAL": BootSnapManual, "BOOT_READONLY": BootReadOnly,
		"MSG_TABLES": MsgTables, "MSG_RESTORE": MsgRestore, "MSG_FREE": MsgFree, "MSG_FREED": MsgFreed, "FREE_MAX": FreeMax,
		"RESTORE_CLONE": RestoreClone, "RESTORE_WAKE": RestoreWake, "RESTORE_REWIND": RestoreRewind,
	}
}

// header is read, not embedded, so that the test cache notices a change.
func header(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("unifaas_abi.h")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func cc(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("cc", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cc %v: %v\n%s", args, err, &stderr)
	}
	return out
}

// compile gives the debug information of the header.
func compile(t *testing.T) *dwarf.Data {
	t.Helper()
	obj := filepath.Join(t.TempDir(), "abi.o")
	cc(t, header(t), "-x", "c", "-std=gnu11", "-g", "-fno-eliminate-unused-debug-types", "-Wpadded", "-Werror", "-c", "-o", obj, "-")
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

func TestStructs(t *testing.T) {
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
		typ, err := d.Type(e.Offset)
		if err != nil {
			t.Fatal(err)
		}
		st := typ.(*dwarf.StructType)
		if !strings.HasPrefix(st.StructName, "ufs_") {
			continue
		}
		found++
		mirror, ok := want[st.StructName]
		if !ok {
			t.Errorf("struct %s has no Go mirror", st.StructName)
			continue
		}
		compareStruct(t, st, mirror)
	}
	if found != len(want) {
		t.Errorf("found %d structs in the header, expected %d", found, len(want))
	}
}

// compareStruct checks names, order, offsets and sizes, and that no byte is implicit on either side.
func compareStruct(t *testing.T, c *dwarf.StructType, g reflect.Type) {
	t.Helper()
	if uint64(c.ByteSize) != uint64(g.Size()) {
		t.Errorf("struct %s: %d bytes, Go %d", c.StructName, c.ByteSize, g.Size())
	}
	if len(c.Field) != g.NumField() {
		t.Errorf("struct %s: %d fields, Go %d", c.StructName, len(c.Field), g.NumField())
		return
	}
	end := int64(0)
	for i, cf := range c.Field {
		gf := g.Field(i)
		name := c.StructName + "." + cf.Name
		if plain(cf.Name) != strings.ToLower(gf.Name) {
			t.Errorf("%s is called %s in Go", name, gf.Name)
		}
		if cf.ByteOffset != int64(gf.Offset) || cf.Type.Size() != int64(gf.Type.Size()) {
			t.Errorf("%s: offset %d, size %d; Go %d, %d", name, cf.ByteOffset, cf.Type.Size(), gf.Offset, gf.Type.Size())
		}
		if cf.ByteOffset != end {
			t.Errorf("%s: implicit padding before it, offset %d after %d", name, cf.ByteOffset, end)
		}
		end = cf.ByteOffset + cf.Type.Size()
	}
	if end != c.ByteSize {
		t.Errorf("struct %s: implicit padding at its end", c.StructName)
	}
}

// plain is a C name as Go names are compared.
func plain(s string) string { return strings.ReplaceAll(s, "_", "") }

// number parses what cpp leaves of an integer constant.
var number = regexp.MustCompile(`^#define UFS_(\w+) (\w+)$`)

func TestConstants(t *testing.T) {
	want := constants()
	found := map[string]bool{}
	for line := range strings.Lines(string(cc(t, header(t), "-x", "c", "-dM", "-E", "-"))) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "#define UFS_") {
			continue
		}
		m := number.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not a plain number: %s", line)
			continue
		}
		v, err := strconv.ParseUint(m[2], 0, 64)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		found[m[1]] = true
		if g, ok := want[m[1]]; !ok {
			t.Errorf("UFS_%s has no Go mirror", m[1])
		} else if g != v {
			t.Errorf("UFS_%s is 0x%x, Go has 0x%x", m[1], v, g)
		}
	}
	for name := range want {
		if !found[name] {
			t.Errorf("UFS_%s is not in the header", name)
		}
	}
}

// TestAssembler checks that the header is fit for assembly and linker scripts, which know no C.
func TestAssembler(t *testing.T) {
	out := cc(t, header(t), "-x", "c", "-D__ASSEMBLER__", "-E", "-P", "-")
	if s := strings.TrimSpace(string(out)); s != "" {
		t.Errorf("C outside of #ifndef __ASSEMBLER__:\n%s", s)
	}
}

// TestCacheLines checks that no 64-byte line of the control page has two writers.
func TestCacheLines(t *testing.T) {
	for _, line := range []struct {
		writer string
		fields []string
	}{
		{"monitor", []string{"Preempt", "RxWanted", "SeedSeq", "Seed"}},
		{"guest", []string{"NextTimer", "Runnable", "TxWanted", "RAMUsed", "RAMLibos", "Syscalls", "Traps", "Faults", "TablesOut"}},
		{"monitor", []string{"RxHead", "RxHeadPad"}},
		{"guest", []string{"RxTail", "RxTailPad"}},
		{"guest", []string{"TxHead", "TxHeadPad"}},
		{"monitor", []string{"TxTail", "TxTailPad"}},
		{"guest", []string{"TSCEntry", "TSCExec", "TSCUser", "TSCListen", "TSCPad"}},
	} {
		first, err := fieldRange(line.fields)
		if err != nil {
			t.Error(err)
			continue
		}
		if first[0]%64 != 0 || first[1]-first[0] != 64 {
			t.Errorf("line of %s (%s): bytes %d to %d", line.fields[0], line.writer, first[0], first[1])
		}
	}
}

func fieldRange(names []string) ([2]uintptr, error) {
	typ := reflect.TypeFor[Ctl]()
	var r [2]uintptr
	for i, n := range names {
		f, ok := typ.FieldByName(n)
		if !ok {
			return r, fmt.Errorf("no field %s", n)
		}
		if i == 0 {
			r[0] = f.Offset
		}
		r[1] = f.Offset + f.Type.Size()
	}
	return r, nil
}

// TestMap checks that the areas of guest memory do not overlap and that rings are powers of two.
func TestMap(t *testing.T) {
	at := uint64(0)
	for _, a := range []struct {
		name      string
		off, size uint64
	}{
		{"ctl", CtlOff, CtlSize}, {"clock", ClockOff, ClockSize}, {"report", ReportOff, ReportSize},
		{"boot", BootOff, BootSize}, {"rx", RxOff, RxSize}, {"tx", TxOff, TxSize},
	} {
		if a.off < at {
			t.Errorf("%s at 0x%x overlaps what is before it", a.name, a.off)
		}
		at = a.off + a.size
	}
	if at > SharedSize {
		t.Errorf("shared area ends at 0x%x", at)
	}
	for _, n := range []uint64{RxSize, TxSize, MsgAlign} {
		if n&(n-1) != 0 {
			t.Errorf("0x%x is not a power of two", n)
		}
	}
	if MsgSize != MsgAlign {
		t.Errorf("headers of %d bytes at multiples of %d could wrap", MsgSize, MsgAlign)
	}
}
