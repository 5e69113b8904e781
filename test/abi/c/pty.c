/* SPDX-License-Identifier: Apache-2.0 */
/* pty.c: pseudo terminals: pairs, line discipline, sessions, job control, hangup. */
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static char buf[9000], name[64];
static int m, s;

static void text(const char *what, const char *p, ssize_t n)
{
	printf("%s:", what);
	if (n < 0)
		printf(" %s", ename(errno));
	for (ssize_t i = 0; i < n; i++)
		printf(p[i] < 32 || p[i] == 127 ? " %02x" : " %c", (unsigned char)p[i]);
	printf("\n");
}

/* What there is on a side, after what is on its way has come. */
static void see(const char *what, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n = 0, r;

	while (poll(&p, 1, 50) == 1 && (p.revents & POLLIN) && n < (ssize_t)sizeof(buf)) {
		r = read(fd, buf + n, sizeof(buf) - n);
		if (r <= 0) {
			text(what, buf, n ? n : r);
			return;
		}
		n += r;
	}
	text(what, buf, n);
}

static void type(const char *t) { if (write(m, t, strlen(t)) != (ssize_t)strlen(t)) printf("short type\n"); }
static void print(const char *t) { if (write(s, t, strlen(t)) != (ssize_t)strlen(t)) printf("short print\n"); }

/* What was typed reaches the line discipline when it gets there: n bytes of it can be read. */
static void arrived(int n)
{
	int have = 0;

	for (int i = 0; i < 2000 && !ioctl(s, FIONREAD, &have) && have != n; i++)
		msleep(1);
}

static void pair(void)
{
	int unlock = 0, locked = -1, n = -1;
	struct stat st;

	m = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	OK("ptmx", m >= 0);
	T("number", ioctl(m, TIOCGPTN, &n));
	snprintf(name, sizeof(name), "/dev/pts/%d", n);
	T("lock is told", ioctl(m, TIOCGPTLCK, &locked));
	V("locked", locked);
	T("open locked", open(name, O_RDWR | O_NOCTTY));
	T("unlock", ioctl(m, TIOCSPTLCK, &unlock));
	s = open(name, O_RDWR | O_NOCTTY);
	OK("slave", s >= 0);
	T("fstat", fstat(s, &st));
	OK("is a device", S_ISCHR(st.st_mode) && st.st_rdev >> 8 == 136);
	OK("name of slave", !strcmp(ttyname(s) ? ttyname(s) : "", name));
	T("isatty slave", isatty(s));
	T("isatty master", isatty(m));
	T("TIOCGPTN of slave", ioctl(s, TIOCGPTN, &n));
	T("seek", lseek(s, 0, SEEK_SET));
	T("pread", pread(s, buf, 1, 0));
}

static void settings(void)
{
	struct termios t;
	struct winsize w = { 0 };
	int n;

	T("tcgetattr", tcgetattr(s, &t));
	printf("iflag: %o oflag %o cflag %o lflag %o\n", t.c_iflag, t.c_oflag, t.c_cflag & CSIZE, t.c_lflag);
	printf("cc: %d %d %d %d %d %d %d\n", t.c_cc[VINTR], t.c_cc[VQUIT], t.c_cc[VERASE], t.c_cc[VKILL], t.c_cc[VEOF], t.c_cc[VMIN], t.c_cc[VSUSP]);
	OK("speed", cfgetospeed(&t) == B38400);
	T("winsize", ioctl(s, TIOCGWINSZ, &w));
	printf("size: %d %d\n", w.ws_row, w.ws_col);
	w.ws_row = 40;
	w.ws_col = 132;
	T("set size", ioctl(m, TIOCSWINSZ, &w));
	memset(&w, 0, sizeof(w));
	ioctl(s, TIOCGWINSZ, &w);
	printf("size: %d %d\n", w.ws_row, w.ws_col);
	T("bad size", ioctl(s, TIOCSWINSZ, BAD));
	T("bad termios", ioctl(s, TCGETS, BAD));
	T("discipline", ioctl(s, TIOCGETD, &n));
	V("N_TTY", n);
	T("unknown", ioctl(s, 0x54ff, &n));
	T("flush bad", tcflush(s, 9));
	T("flow bad", tcflow(s, 9));
	T("sid", ioctl(s, TIOCGSID, &n));
	T("pgrp", ioctl(s, TIOCGPGRP, &n));
	T("sid of master", ioctl(m, TIOCGSID, &n));
	T("pgrp of master", ioctl(m, TIOCGPGRP, &n));
	V("no group", n);
	T("not its terminal", tcsetpgrp(s, getpgrp()));
	T("break", tcsendbreak(s, 0));
	T("drain", tcdrain(s));
}

static void lines(void)
{
	struct pollfd p = { .fd = s, .events = POLLIN | POLLOUT };
	int n;

	print("out\n");
	see("output", m);
	type("hel");
	V("no line yet", (poll(&p, 1, 0), p.revents));
	see("echo", m);
	type("lo\r");
	poll(&p, 1, 1000);
	V("line", p.revents);
	see("echo end", m);
	T("ready", (ioctl(s, FIONREAD, &n), n));
	T("part", read(s, buf, 3));
	see("rest", s);
	type("ab\177c\n");
	see("erase", m);
	see("erased", s);
	type("one two\027three\n");
	see("word", m);
	see("word erased", s);
	type("nothing\025some\n");
	see("kill", m);
	see("killed", s);
	type("a\026\003b\n");
	see("literal", m);
	see("literal read", s);
	type("xy\022z\n");
	see("reprint", m);
	see("reprinted", s);
	type("\001\033[A\t\n");
	see("control", m);
	see("control read", s);
	type("a\nb\n");
	T("one line", read(s, buf, 100));
	T("next line", read(s, buf, 100));
	see("two lines", m);
	type("part\004");
	see("eof after part", s);
	type("\004");
	T("eof", read(s, buf, 100));
	type("abc\004");
	T("exactly", read(s, buf, 3));
	type("d\n");
	T("no eof after it", read(s, buf, 100));
	see("cleanup", m);
	type("\023");
	fcntl(s, F_SETFL, O_NONBLOCK);
	p.events = POLLOUT;
	for (int i = 0; i < 2000 && poll(&p, 1, 0) == 1; i++)
		msleep(1);
	T("stopped", write(s, "x", 1));
	type("\021");
	poll(&p, 1, 5000);
	T("started", write(s, "y", 1));
	see("after start", m);
	T("no input", read(s, buf, 10));
	fcntl(s, F_SETFL, 0);
	memset(buf, 'l', 5000);
	T("long line", write(m, buf, 5000) > 4000);
	type("\n");
	T("at most", read(s, buf, sizeof(buf)));
	tcflush(m, TCIFLUSH);
	see("flushed", m);
	type("gone\nand this");
	arrived(5);
	see("echoed before", m);
	T("flush input", tcflush(s, TCIFLUSH));
	fcntl(s, F_SETFL, O_NONBLOCK);
	T("nothing left", read(s, buf, 10));
	fcntl(s, F_SETFL, 0);
	see("echoed", m);
}

static void modes(void)
{
	struct termios t, old;
	int n;

	tcgetattr(s, &old);
	t = old;
	t.c_lflag &= ~ECHO;
	T("no echo", tcsetattr(s, TCSANOW, &t));
	type("secret\n");
	see("unseen", m);
	see("secret", s);
	t.c_lflag |= ECHONL;
	tcsetattr(s, TCSANOW, &t);
	type("x\n");
	see("only the end", m);
	see("x", s);
	t = old;
	cfmakeraw(&t);
	T("raw", tcsetattr(s, TCSANOW, &t));
	type("a\r\n\003\004");
	see("raw echo", m);
	see("raw read", s);
	print("x\ny\r");
	see("raw output", m);
	t.c_cc[VMIN] = 0;
	tcsetattr(s, TCSANOW, &t);
	T("min 0", read(s, buf, 10));
	t.c_cc[VTIME] = 1;
	tcsetattr(s, TCSANOW, &t);
	T("min 0 time 1", read(s, buf, 10));
	t.c_cc[VMIN] = 3;
	tcsetattr(s, TCSANOW, &t);
	type("q");
	T("min 3 time 1", read(s, buf, 10));
	t.c_cc[VTIME] = 0;
	tcsetattr(s, TCSANOW, &t);
	type("qw");
	struct pollfd p = { .fd = s, .events = POLLIN };
	T("poll below min", poll(&p, 1, 0));
	T("available", (ioctl(s, FIONREAD, &n), n));
	type("e");
	T("poll at min", poll(&p, 1, 1000));
	T("min 3", read(s, buf, 10));
	t.c_cc[VMIN] = 1;
	t.c_oflag = OPOST | OCRNL;
	t.c_iflag = INLCR | ISTRIP;
	tcsetattr(s, TCSANOW, &t);
	print("x\ry\n");
	see("ocrnl", m);
	type("\n\341");
	see("inlcr istrip", s);
	t.c_iflag = IGNCR;
	tcsetattr(s, TCSANOW, &t);
	type("a\rb");
	see("igncr", s);
	type("pending");
	arrived(7);
	tcsetattr(s, TCSANOW, &old);
	see("pending is a line", s);
	type("flush me\n");
	arrived(9);
	T("tcsaflush", tcsetattr(s, TCSAFLUSH, &old));
	fcntl(s, F_SETFL, O_NONBLOCK);
	T("was flushed", read(s, buf, 10));
	fcntl(s, F_SETFL, 0);
	T("master sets", tcsetattr(m, TCSANOW, &old));
	see("rest", m);
}

static void ends(void)
{
	struct pollfd p = { .fd = m, .events = POLLIN | POLLOUT };
	int unlock = 0, fd;

	print("last words");
	close(s);
	poll(&p, 1, 1000);
	V("hangup is polled", p.revents & POLLHUP);
	T("what was written", read(m, buf, 100));
	T("then", read(m, buf, 100));
	T("write still", write(m, "x\n", 2));
	s = open(name, O_RDWR | O_NOCTTY);
	fcntl(m, F_SETFL, O_NONBLOCK);
	p.events = POLLIN;
	poll(&p, 1, 0);
	V("open again", p.revents & POLLHUP);
	see("was waiting", s);
	see("its echo", m);
	T("nothing", read(m, buf, 1));
	fd = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	OK("peer", fd >= 0);
	OK("peer is the same", ttyname(fd) && !strcmp(ttyname(fd), name));
	close(fd);
	T("exclusive", ioctl(s, TIOCEXCL));
	T("not exclusive", ioctl(s, TIOCNXCL));
	close(m);
	p.fd = s;
	p.events = POLLIN | POLLOUT;
	poll(&p, 1, 0);
	V("slave polled", p.revents);
	T("slave reads", read(s, buf, 10));
	T("slave writes", write(s, "x", 1));
	T("slave ioctl", ioctl(s, TCGETS, buf));
	T("slave isatty", isatty(s));
	T("name is gone", access(name, F_OK));
	close(s);
	m = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
	T("before any slave", read(m, buf, 10));
	T("early input", write(m, "early\n", 6));
	ioctl(m, TIOCSPTLCK, &unlock);
	s = open(ptsname(m), O_RDWR | O_NOCTTY);
	see("early", s);
	fcntl(s, F_SETFL, O_NONBLOCK);
	memset(buf, 'w', sizeof(buf));
	long total = 0, n;
	while ((n = write(s, buf, 1000)) > 0)
		total += n;
	OK("full at some time", n == -1 && errno == EAGAIN && total >= 4096);
	close(m);
	close(s);
}

static volatile int got[65];
static void on(int sig) { got[sig]++; }

static void wait_for(volatile int *what)
{
	for (int i = 0; i < 2000 && !*what; i++)
		msleep(5);
}

/* In a session of its own: the terminal, its groups, its signals. */
static void session(void)
{
	int unlock = 0, n, st, p[2];
	char c;
	pid_t pid, bg;
	struct winsize w = { 30, 90, 0, 0 };

	m = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	ioctl(m, TIOCSPTLCK, &unlock);
	strcpy(name, ptsname(m));
	T("no terminal yet", open("/dev/tty", O_RDWR));
	s = open(name, O_RDWR | O_NOCTTY);
	T("not by O_NOCTTY", open("/dev/tty", O_RDWR));
	T("take", ioctl(s, TIOCSCTTY, 0));
	T("take again", ioctl(s, TIOCSCTTY, 0));
	n = open("/dev/tty", O_RDWR);
	OK("tty", n >= 0);
	T("tty works", write(n, "via tty\n", 8));
	close(n);
	see("seen", m);
	OK("session", tcgetsid(s) == getsid(0));
	OK("group", tcgetpgrp(s) == getpgrp());
	OK("group from master", (ioctl(m, TIOCGPGRP, &n), n) == getpgrp());
	T("set group", tcsetpgrp(s, getpgrp()));
	T("set missing group", tcsetpgrp(s, 999999));
	T("set foreign group", tcsetpgrp(s, getppid()));
	T("set negative", tcsetpgrp(s, -5));
	signal(SIGINT, on);
	signal(SIGQUIT, on);
	signal(SIGTSTP, on);
	signal(SIGWINCH, on);
	signal(SIGHUP, on);
	signal(SIGCONT, on);
	type("junk\003");
	wait_for(&got[SIGINT]);
	V("interrupt", got[SIGINT]);
	see("shown", m);
	type("\034");
	wait_for(&got[SIGQUIT]);
	V("quit", got[SIGQUIT]);
	see("shown next", m);
	type("\032");
	wait_for(&got[SIGTSTP]);
	V("stop", got[SIGTSTP]);
	see("shown too", m);
	ioctl(m, TIOCSWINSZ, &w);
	wait_for(&got[SIGWINCH]);
	V("size changed", got[SIGWINCH]);
	ioctl(m, TIOCSWINSZ, &w);
	V("same size", got[SIGWINCH]);
	T("signal from master", ioctl(m, TIOCSIG, SIGINT));
	V("interrupt again", got[SIGINT]);
	/* a background group */
	pipe(p);
	fflush(stdout);
	bg = fork();
	if (!bg) {
		signal(SIGTTIN, SIG_DFL);
		setpgid(0, 0);
		read(p[0], &c, 1);
		n = read(s, buf, 10);
		_exit(n);
	}
	setpgid(bg, bg);
	write(p[1], "x", 1);
	T("background read stops", waitpid(bg, &st, WUNTRACED) == bg && WIFSTOPPED(st) ? WSTOPSIG(st) : -2);
	T("give it the terminal", tcsetpgrp(s, bg));
	type("for it\n");
	kill(-bg, SIGCONT);
	T("it reads", waitpid(bg, &st, 0) == bg && WIFEXITED(st) ? WEXITSTATUS(st) : -2);
	signal(SIGTTOU, SIG_IGN);
	T("take it back", tcsetpgrp(s, getpgrp()));
	signal(SIGTTOU, SIG_DFL);
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		signal(SIGTTIN, SIG_IGN);
		n = read(s, buf, 10);
		int e = errno;
		n = n == -1 && e == EIO;
		n |= (write(s, "bg", 2) == 2) << 1;
		n |= (tcsetpgrp(s, getpgrp()) == 0) << 2; /* stops here */
		_exit(n);
	}
	setpgid(pid, pid);
	T("background set stops", waitpid(pid, &st, WUNTRACED) == pid && WIFSTOPPED(st) ? WSTOPSIG(st) : -2);
	signal(SIGTTOU, SIG_IGN);
	tcsetpgrp(s, pid);
	kill(-pid, SIGCONT);
	T("then it ends", waitpid(pid, &st, 0) == pid && WIFEXITED(st) ? WEXITSTATUS(st) : -2);
	tcsetpgrp(s, getpgrp());
	signal(SIGTTOU, SIG_DFL);
	pid = fork();
	if (!pid) {
		struct termios t;
		setpgid(0, 0);
		tcgetattr(s, &t);
		t.c_lflag |= TOSTOP;
		signal(SIGTTOU, SIG_IGN);
		n = tcsetattr(s, TCSANOW, &t) == 0;
		signal(SIGTTOU, SIG_DFL);
		write(s, "stopped", 7);
		_exit(n);
	}
	setpgid(pid, pid);
	T("background write stops", waitpid(pid, &st, WUNTRACED) == pid && WIFSTOPPED(st) ? WSTOPSIG(st) : -2);
	kill(-pid, SIGKILL);
	waitpid(pid, &st, 0);
	see("background output", m);
	/* the end of the master */
	close(m);
	wait_for(&got[SIGHUP]);
	V("hangup", got[SIGHUP]);
	wait_for(&got[SIGCONT]);
	OK("continue", got[SIGCONT] > 0);
	T("no terminal any more", open("/dev/tty", O_RDWR));
	T("read after hangup", read(s, buf, 10));
	close(s);
	/* by opening, and given up */
	m = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	ioctl(m, TIOCSPTLCK, &unlock);
	s = open(ptsname(m), O_RDWR);
	OK("by opening", (n = open("/dev/tty", O_RDWR)) >= 0);
	close(n);
	T("give up", ioctl(s, TIOCNOTTY));
	T("given up", open("/dev/tty", O_RDWR));
	T("give up again", ioctl(s, TIOCNOTTY));
	T("of nobody", tcgetpgrp(s));
}

/* The end of a session's leader frees its terminal. */
static void leader_ends(void)
{
	int unlock = 0, p[2];
	pid_t pid;
	char c = 0;

	m = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	ioctl(m, TIOCSPTLCK, &unlock);
	strcpy(name, ptsname(m));
	pipe(p);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		setsid();
		s = open(name, O_RDWR);
		if (fork() == 0) { /* in the foreground group */
			signal(SIGHUP, on);
			write(p[1], "r", 1);
			wait_for(&got[SIGHUP]);
			c = got[SIGHUP] ? 'h' : 'n';
			write(p[1], &c, 1);
			c = write(s, "still", 5) == 5 && ioctl(s, TIOCGSID, &unlock) ? 'w' : 'x';
			write(p[1], &c, 1);
			_exit(0);
		}
		read(p[0], &c, 1);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	read(p[0], &c, 1);
	printf("group of the leader: %c\n", c);
	read(p[0], &c, 1);
	printf("its writes: %c\n", c);
	T("master reads", read(m, buf, 10));
	T("then none is open", read(m, buf, 10));
	s = open(name, O_RDWR | O_NOCTTY);
	OK("can be opened again", s >= 0);
	T("and used", write(s, "new", 3));
	see("new", m);
	close(s);
	close(m);
}

int main(void)
{
	start();
	signal(SIGALRM, SIG_DFL);
	alarm(40);
	pair();
	settings();
	lines();
	modes();
	ends();
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		T("setsid", setsid() == getpid());
		session();
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	leader_ends();
	int fds[300], n = 0;
	while (n < 20 && (fds[n] = open("/dev/ptmx", O_RDWR | O_NOCTTY)) >= 0)
		n++;
	V("many", n);
	int a = -1, b = -1;
	ioctl(fds[3], TIOCGPTN, &a);
	close(fds[3]);
	fds[3] = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY);
	if (fds[3] >= 0) {
		ioctl(fds[3], TIOCGPTN, &b);
		OK("lowest number again", a == b);
	}
	return 0;
}
