// SPDX-License-Identifier: Apache-2.0

// Command gofs uses files, processes and signals through Go's os packages.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		child()
	}
	dir, err := os.MkdirTemp("", "abi-")
	check("mkdirtemp", err)
	defer os.RemoveAll(dir)
	check("chdir", os.Chdir(dir))
	files()
	pipes()
	processes()
	signals()
}

func check(what string, err error) {
	var en syscall.Errno
	if errors.As(err, &en) {
		fmt.Printf("%s: %v\n", what, en)
	} else {
		fmt.Printf("%s: %v\n", what, err == nil)
	}
}

func files() {
	check("write", os.WriteFile("a.txt", []byte("line 1\nline 2\nline 3\n"), 0o640))
	b, err := os.ReadFile("a.txt")
	fmt.Printf("read: %q %v\n", b, err)
	f, err := os.OpenFile("a.txt", os.O_RDWR|os.O_APPEND, 0)
	check("open", err)
	_, err = f.WriteString("line 4\n")
	check("append", err)
	f.Seek(0, io.SeekStart)
	sc := bufio.NewScanner(f)
	n := 0
	for sc.Scan() {
		n++
	}
	fmt.Println("lines:", n)
	fi, _ := f.Stat()
	fmt.Println("stat:", fi.Size(), fi.Mode())
	check("truncate", f.Truncate(5))
	check("sync", f.Sync())
	check("close", f.Close())
	_, err = os.ReadFile("none")
	check("missing", err)
	check("mkdirall", os.MkdirAll("d/e/f", 0o755))
	check("rename", os.Rename("a.txt", "d/e/f/b.txt"))
	check("symlink", os.Symlink("e/f", "d/link"))
	check("link", os.Link("d/e/f/b.txt", "d/hard"))
	t := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	check("chtimes", os.Chtimes("d/hard", t, t))
	fi, _ = os.Stat("d/e/f/b.txt")
	fmt.Println("mtime:", fi.ModTime().UTC())
	filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		fmt.Println("walk:", p, d.Type(), err)
		return nil
	})
	target, err := os.Readlink("d/link")
	fmt.Println("readlink:", target, err)
	real, err := filepath.EvalSymlinks("d/link/b.txt")
	fmt.Println("evalsymlinks:", real, err)
	check("remove full", os.Remove("d"))
	check("removeall", os.RemoveAll("d"))
	src, _ := os.Create("src")
	src.Write(make([]byte, 300_000))
	src.Seek(0, io.SeekStart)
	dst, _ := os.Create("dst")
	c, err := io.Copy(dst, src)
	fmt.Println("copy:", c, err)
	exe, err := os.Executable()
	fmt.Println("executable:", filepath.Base(exe), err)
	root, err := os.OpenRoot(".")
	check("openroot", err)
	_, err = root.Open("../etc")
	fmt.Println("escape refused:", err != nil)
	check("statfs", syscall.Statfs(".", new(syscall.Statfs_t)))
}

func pipes() {
	r, w, err := os.Pipe()
	check("pipe", err)
	go func() {
		for i := range 1000 {
			fmt.Fprintf(w, "message %d\n", i)
		}
		w.Close()
	}()
	b, err := io.ReadAll(r)
	fmt.Println("pipe bytes:", len(b), err)
	r, _, _ = os.Pipe()
	check("deadline", r.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err = r.Read(make([]byte, 1))
	fmt.Println("timed out:", errors.Is(err, os.ErrDeadlineExceeded))
}

func child() {
	b, _ := io.ReadAll(os.Stdin)
	fmt.Printf("child got %q, %s\n", b, os.Getenv("GREETING"))
	fmt.Fprintln(os.Stderr, "child stderr")
	os.Exit(7)
}

func processes() {
	exe, _ := os.Executable()
	cmd := exec.Command(exe, "child")
	cmd.Stdin = strings.NewReader("input text")
	cmd.Env = []string{"GREETING=hello"}
	out, err := cmd.CombinedOutput()
	fmt.Printf("child: %q %v\n", out, err)
	_, err = exec.Command("/no/such/program").Output()
	check("missing program", err)
	cmd = exec.Command(exe, "child")
	in, _ := cmd.StdinPipe()
	check("start", cmd.Start())
	check("kill", cmd.Process.Kill())
	err = cmd.Wait()
	in.Close()
	fmt.Println("killed:", err)
}

func signals() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1, syscall.SIGTERM)
	check("kill self", syscall.Kill(os.Getpid(), syscall.SIGUSR1))
	fmt.Println("signal:", <-c)
	syscall.Kill(os.Getpid(), syscall.SIGTERM)
	fmt.Println("signal:", <-c)
	signal.Ignore(syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	select {
	case s := <-c:
		fmt.Println("ignored, but got", s)
	case <-time.After(20 * time.Millisecond):
		fmt.Println("ignored")
	}
}
