// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"unifaas.dev/guest"
	"unifaas.dev/internal/hostfolder"
	"unifaas.dev/internal/tender"
	"unifaas.dev/internal/testkit"
)

// counted counts what a guest asks its host.
type counted struct {
	tender.Files
	n atomic.Int64
}

func (c *counted) Do(r hostfolder.Request) hostfolder.Reply {
	c.n.Add(1)
	return c.Files.Do(r)
}

// questions runs a program as Run does and counts what it asks about files of the host.
func questions(t *testing.T, program string, args ...string) int64 {
	t.Helper()
	s := setup{o: &Options{Memory: 64 << 20, Root: "/", Program: program, Args: append([]string{program}, args...), Libos: guest.Libos()}}
	defer s.close()
	var files counted
	tn, err := tender.Start(t.Context(), tender.StartOptions{Name: "test", Monitor: "kvm", Libos: guest.Libos(), Memory: 64 << 20,
		Prepare: func(to *tender.StartOptions) error {
			err := s.prepare(to)
			files.Files = to.Files
			to.Files = &files
			return err
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer tn.Close()
	i, err := tn.Boot(t.Context(), "test", "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := wait(t.Context(), i); e.Kind != tender.Exited || e.Status != 0 {
		t.Errorf("%s: %+v", program, e)
	}
	return files.n.Load()
}

// TestStaticAsksNothing: a static program that opens no file starts, and knows where it is, without the host.
func TestStaticAsksNothing(t *testing.T) {
	testkit.NeedKVM(t)
	source := filepath.Join(t.TempDir(), "p.c")
	const text = `#include <stdio.h>
#include <unistd.h>
int main(int c, char **v) { char b[4096]; if (c > 1) return access(v[1], R_OK); return !getcwd(b, sizeof(b)) || readlink("/proc/self/exe", b, sizeof(b)) < 0; }`
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(filepath.Dir(source), "p")
	if out, err := exec.Command(testkit.NeedTool(t, "gcc"), "-static", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if n := questions(t, program); n != 0 {
		t.Errorf("%d questions", n)
	}
	if n := questions(t, program, source); n == 0 {
		t.Error("a file of the host without a question: nothing is counted")
	}
}
