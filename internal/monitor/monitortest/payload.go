// SPDX-License-Identifier: Apache-2.0

// Package monitortest is the suite that every monitor passes: sandboxes of a tiny guest that does one thing each,
// friendly or hostile. It tests monitors, not the library OS.
package monitortest

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"unifaas.dev/abi"
)

//go:embed payload/payload.S
var payloadSource []byte

//go:embed payload/payload.ld
var payloadScript []byte

// PayloadEnv names an assembled payload: for machines without a C compiler.
const PayloadEnv = "UNIFAAS_TEST_PAYLOAD"

// Numbers of the payload's tests, the order of `table` in payload.S.
const (
	doExit = iota
	doBells
	doLoop
	doPanic
	doOOM
	doPreempt
	doFlagged
	doException
	doTriple
	doSyscall
	doBadBell
	doHole
	doStorm
	doScribble
	doLie
	doEcho
	doTouch
	doImage
	doCPU
	doClock
	doFaults
	doKernel
	doFiles
	doState
	doCR3
	doRemap
	doWrite
	doRead
	doTaint
)

// Faults of doException and doTriple, the order of `faults` in payload.S.
const (
	faultUD2 = iota
	faultHLT
	faultCR3
	faultOUT
	faultJump
	faultWrite
	faultText
	faultINT3
	faultDiv
	faultRDMSR
	faultNonCanonical
	faultCLI
)

// deeds is the number of things that doKernel can do at CPL0, the length of `deeds` in payload.S; one of them is honest.
const (
	deeds     = 19
	deedBell  = 13
	deedLSTAR = 18
)

// Where the payload leaves its results in the shared area.
const (
	notes     = 0x140000
	noteCount = notes
	noteFrame = notes + 8
	noteRegs  = notes + 80
	noteData  = notes + 256
	noteIn    = notes + 0x1000
	noteOut   = notes + 0x2000
)

// Build assembles the payload into file.
func Build(file string) error {
	dir, err := os.MkdirTemp("", "payload")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, b := range map[string][]byte{"payload.S": payloadSource, "payload.ld": payloadScript, "unifaas_abi.h": []byte(abi.Header)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	cmd := exec.Command("cc", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-T,payload.ld", "-I.", "-o", "payload.elf", "payload.S")
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(dir, "payload.elf"))
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

// Guest is the assembled payload, for tests of one monitor's own.
func Guest(t testing.TB) []byte {
	t.Helper()
	file := os.Getenv(PayloadEnv)
	if file == "" {
		file = filepath.Join(t.TempDir(), "payload.elf")
		if err := Build(file); err != nil {
			t.Fatalf("assemble the test guest: %v", err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
