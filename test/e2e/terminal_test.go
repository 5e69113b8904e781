// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/testkit"
)

// pty is a terminal and the program that runs on it.
type pty struct {
	*testing.T
	master *os.File
	lines  chan string
	cmd    *exec.Cmd
}

func onTerminal(t *testing.T, args ...string) *pty {
	t.Helper()
	testkit.NeedKVM(t)
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{T: t, master: os.NewFile(uintptr(fd), "/dev/ptmx"), lines: make(chan string, 1000)}
	t.Cleanup(func() { p.master.Close() })
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 77})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	p.cmd = exec.Command(testkit.Unifaas(t), append([]string{"run", "--"}, args...)...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(p.master); s.Scan(); {
			p.lines <- strings.TrimSpace(s.Text())
		}
	}()
	return p
}

func (p *pty) expect(want string) {
	p.Helper()
	limit := time.After(time.Minute)
	var said []string
	for {
		select {
		case l, ok := <-p.lines:
			if said = append(said, l); l == want {
				return
			}
			if !ok {
				p.Fatalf("it ended without %q: %q", want, said)
			}
		case <-limit:
			p.Fatalf("it never says %q: %q", want, said)
		}
	}
}

func (p *pty) modes() string {
	p.Helper()
	is, err := unix.IoctlGetTermios(int(p.master.Fd()), unix.TCGETS)
	if err != nil {
		p.Fatal(err)
	}
	return fmt.Sprintf("%x %x %x", is.Iflag, is.Oflag, is.Lflag)
}

const terminalProgram = `#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
static void size(int s) { struct winsize w; ioctl(0, TIOCGWINSZ, &w); printf("%d %d\r\n", w.ws_row, w.ws_col); fflush(stdout); }
int main(int argc, char **argv)
{
	struct termios t;
	char c;
	signal(SIGWINCH, size);
	tcgetattr(0, &t);
	printf("echo %d\r\n", !!(t.c_lflag & ECHO));
	size(0);
	cfmakeraw(&t);
	tcsetattr(0, TCSADRAIN, &t);
	printf("ready\r\n");
	fflush(stdout);
	while (read(0, &c, 1) != 1 || c != 'q') {
		if (c == 3) {
			printf("interrupt as a byte\r\n");
			fflush(stdout);
		}
		c = 0;
	}
	return 0;
}
`

// TestTerminal: the program has the size and the modes of the terminal that it runs on, may change the modes, and what it changed is
// changed back, however it ends.
func TestTerminal(t *testing.T) {
	testkit.NeedTool(t, "gcc")
	dir := t.TempDir()
	prog := dir + "/prog"
	if err := os.WriteFile(dir+"/prog.c", []byte(terminalProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-static", "-O1", "-o", prog, dir+"/prog.c").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, how := range []string{"exits", "is killed", "loses its tender"} {
		t.Run(how, func(t *testing.T) {
			p := onTerminal(t, prog)
			before := p.modes()
			p.expect("echo 1")
			p.expect("33 77")
			p.expect("ready")
			for deadline := time.Now().Add(time.Minute); p.modes() == before; time.Sleep(2 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the terminal is never raw")
				}
			}
			if err := unix.IoctlSetWinsize(int(p.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 10, Col: 99}); err != nil {
				t.Fatal(err)
			}
			p.expect("10 99")
			p.master.Write([]byte{3})
			p.expect("interrupt as a byte")
			switch how {
			case "exits":
				p.master.Write([]byte("q"))
			case "is killed":
				p.cmd.Process.Signal(unix.SIGTERM)
			case "loses its tender":
				children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.cmd.Process.Pid))
				tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.cmd.Process.Pid))
				for _, task := range tasks {
					more, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", p.cmd.Process.Pid, task.Name()))
					children = append(children, more...)
				}
				if err != nil || len(strings.Fields(string(children))) == 0 {
					t.Fatalf("no tender: %v", err)
				}
				for _, pid := range strings.Fields(string(children)) {
					n, _ := strconv.Atoi(pid)
					unix.Kill(n, unix.SIGKILL)
				}
			}
			p.cmd.Wait()
			if now := p.modes(); now != before {
				t.Errorf("the terminal was %s and is %s", before, now)
			}
		})
	}
}
