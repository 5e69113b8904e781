// SPDX-License-Identifier: Apache-2.0

package calltrace

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"unifaas.dev/abi"
)

// bit is a flag and its name.
type bit struct {
	value uint64
	name  string
}

/*
kindText says what the arguments are. d number, u unsigned, x bits, p address, s string, D directory or AT_FDCWD, O open flags, o octal, P protection,
M mapping flags, S signal, v strings, i two numbers the call writes, t seconds and nanoseconds, a socket address (its size follows),
b data the call reads into (its size follows), B data it takes, z status of a child, l pointer to a file size.
*/
const kindText = `
read=dbu write=dBu pread64=dbux pwrite64=dBux open=sOo openat=DsOo close=d stat=sp lstat=sp fstat=dp newfstatat=Dspx
statx=Dsxxp lseek=ddd mmap=puPMdx mprotect=puP munmap=pu brk=p mremap=puuxp madvise=pud access=so faccessat=Dso
faccessat2=Dsox execve=svp execveat=Dsvpx chdir=s mkdir=so mkdirat=Dso rmdir=s unlink=s unlinkat=Dsx rename=ss renameat=DsDs
renameat2=DsDsx link=ss linkat=DsDsx symlink=ss symlinkat=sDs readlink=sbu readlinkat=Dsbu chmod=so fchmod=do fchmodat=Dso
chown=sdd fchownat=Dsddx truncate=su ftruncate=du mknod=sox mknodat=Dsox statfs=sp creat=so utimensat=Dspx getxattr=sspu
setxattr=sspux memfd_create=sx getcwd=bu getdents64=dpu dup=d dup2=dd dup3=ddO pipe=i pipe2=iO fcntl=ddx ioctl=dxp flock=dd
socket=dxd socketpair=dxdi bind=dad connect=dad listen=dd accept=dpp accept4=dppx sendto=dBuxad recvfrom=dbuxpp sendmsg=dpx
recvmsg=dpx shutdown=dd setsockopt=dddpd getsockopt=dddpp getsockname=dpp poll=pud ppoll=putp select=dpppp pselect6=dppptp
epoll_ctl=dddp epoll_wait=dpdd epoll_pwait=dpddp epoll_create1=x eventfd2=ux rt_sigaction=Sppu rt_sigprocmask=dppu kill=dS
tkill=dS tgkill=ddS rt_sigreturn= pause= futex=pxutpu nanosleep=tp clock_nanosleep=dxtp clock_gettime=dp clone=xpppp
clone3=pu fork= vfork= exit=d exit_group=d wait4=dzxp waitid=ddpxp getpid= gettid= getppid= getuid= geteuid= getgid= getegid=
sched_yield= setsid= umask=o prctl=dxxxx arch_prctl=xp prlimit64=ddpp getrandom=pux set_tid_address=p set_robust_list=pu
rseq=pudx uname=p sysinfo=p sendfile=ddlu splice=dlldux copy_file_range=dlldux fallocate=dxuu fsync=d fdatasync=d readv=dpu
writev=dpu setpgid=dd getpgid=d sigaltstack=pp umount2=sx mount=sssxp`

const errnoText = `
1=PERM 2=NOENT 3=SRCH 4=INTR 5=IO 6=NXIO 7=2BIG 8=NOEXEC 9=BADF 10=CHILD 11=AGAIN 12=NOMEM 13=ACCES 14=FAULT 16=BUSY 17=EXIST
18=XDEV 19=NODEV 20=NOTDIR 21=ISDIR 22=INVAL 23=NFILE 24=MFILE 25=NOTTY 26=TXTBSY 27=FBIG 28=NOSPC 29=SPIPE 30=ROFS 31=MLINK
32=PIPE 33=DOM 34=RANGE 35=DEADLK 36=NAMETOOLONG 38=NOSYS 39=NOTEMPTY 40=LOOP 61=NODATA 75=OVERFLOW 88=NOTSOCK 89=DESTADDRREQ
90=MSGSIZE 92=NOPROTOOPT 93=PROTONOSUPPORT 94=SOCKTNOSUPPORT 95=OPNOTSUPP 97=AFNOSUPPORT 98=ADDRINUSE 99=ADDRNOTAVAIL
101=NETUNREACH 103=CONNABORTED 104=CONNRESET 106=ISCONN 107=NOTCONN 110=TIMEDOUT 111=CONNREFUSED 114=ALREADY 115=INPROGRESS
512=RESTARTSYS 513=RESTARTNOINTR 514=RESTARTNOHAND`

const signalText = `
1=HUP 2=INT 3=QUIT 4=ILL 5=TRAP 6=ABRT 7=BUS 8=FPE 9=KILL 10=USR1 11=SEGV 12=USR2 13=PIPE 14=ALRM 15=TERM 17=CHLD 18=CONT
19=STOP 20=TSTP 21=TTIN 22=TTOU 23=URG 24=XCPU 26=VTALRM 27=PROF 28=WINCH 29=IO 31=SYS`

func openBits() []bit {
	return []bit{
		{1, "WRONLY"}, {2, "RDWR"}, {64, "CREAT"}, {128, "EXCL"}, {256, "NOCTTY"}, {512, "TRUNC"}, {1024, "APPEND"},
		{2048, "NONBLOCK"}, {65536, "DIRECTORY"}, {131072, "NOFOLLOW"}, {524288, "CLOEXEC"}, {2097152, "PATH"},
		{4194304, "TMPFILE"},
	}
}

func protBits() []bit {
	return []bit{
		{1, "READ"}, {2, "WRITE"}, {4, "EXEC"},
	}
}

func mapBits() []bit {
	return []bit{
		{1, "SHARED"}, {2, "PRIVATE"}, {16, "FIXED"}, {32, "ANONYMOUS"}, {256, "GROWSDOWN"}, {2048, "DENYWRITE"},
		{16384, "NORESERVE"}, {32768, "POPULATE"}, {131072, "STACK"}, {1048576, "FIXED_NOREPLACE"},
	}
}

// fetch is what the guest shall do with an argument of this kind.
func fetch(kind byte) uint32 {
	switch kind {
	case 's':
		return abi.TraceString
	case 'v':
		return abi.TraceStrings
	case 'B':
		return abi.TraceData
	case 'b':
		return abi.TraceData | abi.TraceAfter
	case 'a':
		return abi.TraceAddress
	case 'z':
		return abi.Trace4 | abi.TraceAfter
	case 'i':
		return abi.Trace8 | abi.TraceAfter
	case 'l':
		return abi.Trace8
	case 't':
		return abi.Trace16
	}
	return 0
}

// Table tells the guest what to fetch, by number of the call: four bits an argument, the first lowest.
func Table() []uint32 {
	t := make([]uint32, 0, 480)
	for nr, name := range names() {
		kinds, _ := kindsOf(name)
		for uint64(len(t)) <= nr {
			t = append(t, 0)
		}
		for i := range len(kinds) {
			t[nr] |= fetch(kinds[i]) << (4 * i)
		}
	}
	return t
}

// numbered parses words NUMBER=NAME.
func numbered(text string) map[uint64]string {
	m := map[uint64]string{}
	for _, w := range strings.Fields(text) {
		number, name, _ := strings.Cut(w, "=")
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			panic(fmt.Sprintf("calltrace: %q in a table", w))
		}
		m[n] = name
	}
	return m
}

// tableSet is all that is found by number or name.
type tableSet struct {
	names, errnos, signals map[uint64]string
	kinds                  map[string]string
}

// tables are made when the first line is.
var tables = sync.OnceValue(func() *tableSet {
	t := &tableSet{names: numbered(nameText), errnos: numbered(errnoText), signals: numbered(signalText), kinds: map[string]string{}}
	for _, w := range strings.Fields(kindText) {
		name, kinds, _ := strings.Cut(w, "=")
		t.kinds[name] = kinds
	}
	return t
})

func names() map[uint64]string       { return tables().names }
func signalNames() map[uint64]string { return tables().signals }

func errnoName(ret int64) (string, bool) {
	if ret >= 0 {
		return "", false
	}
	name, ok := tables().errnos[uint64(-ret)]
	return name, ok
}

func kindsOf(name string) (string, bool) {
	kinds, ok := tables().kinds[name]
	return kinds, ok
}
