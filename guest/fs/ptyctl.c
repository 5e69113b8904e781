/* SPDX-License-Identifier: Apache-2.0 */
/* ptyctl.c: ioctls of pseudo terminals; controlling terminals, foreground groups. */
#include "pty.h"

#define TERMIOS_SIZE 36 /* struct termios; struct termios2 has the speeds behind it */

static bool mine(const struct pty *p) { return p->sid && curproc()->sid == p->sid; }

int pty_background(const struct pty *p, int sig)
{
	return mine(p) && p->pgrp ? job_background(p->pgrp, sig) : 0;
}

void pty_take(struct pty *p)
{
	p->sid = curproc()->sid;
	p->pgrp = curproc()->pgid;
}

static bool leader(void) { return curproc()->sid == curproc()->pid; }

static long take_control(struct pty *p, struct file *f, u64 force)
{
	if (leader() && mine(p))
		return 0;
	if (!leader() || pty_of_session(curproc()->sid) || console_is_ctty())
		return -EPERM;
	if (p->sid && !(force == 1 && capable(CAP_SYS_ADMIN)))
		return -EPERM;
	if (!file_readable(f) && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	pty_take(p);
	return 0;
}

static long give_up(struct pty *p)
{
	int pgrp = p->pgrp;

	if (!mine(p))
		return -ENOTTY;
	if (!leader()) { /* that one process alone has no terminal any more cannot be said */
		unsupported_once("TIOCNOTTY of another than the session leader", TIOCNOTTY);
		return -EPERM;
	}
	p->sid = p->pgrp = 0;
	if (pgrp) {
		signal_send_group(pgrp, SIGHUP);
		signal_send_group(pgrp, SIGCONT);
	}
	return 0;
}

static long set_foreground(struct pty *p, u64 arg)
{
	int pgrp, sid, r = pty_background(p, SIGTTOU);

	if (r)
		return r == -EIO ? -ENOTTY : r;
	if (!mine(p))
		return -ENOTTY;
	if (get_user(pgrp, arg))
		return -EFAULT;
	if (pgrp < 0)
		return -EINVAL;
	sid = pgrp_session(pgrp);
	if (sid < 0)
		return sid;
	if (sid != p->sid)
		return -EPERM;
	p->pgrp = pgrp;
	return 0;
}

static long set_size(struct pty *p, u64 arg)
{
	u16 w[4];

	if (copy_from_user(w, (void *)arg, sizeof(w)))
		return -EFAULT;
	if (memcmp(w, p->winsize, sizeof(w))) {
		memcpy(p->winsize, w, sizeof(w));
		if (p->pgrp)
			signal_send_group(p->pgrp, SIGWINCH);
	}
	return 0;
}

static long set_termios(struct pty *p, u64 arg, size_t size, bool flush)
{
	struct termios2 t = p->t;

	if (copy_from_user(&t, (void *)arg, size))
		return -EFAULT;
	if (flush)
		ldisc_flush(p, true, false);
	ldisc_set(p, &t);
	return 0;
}

static long flush(struct pty *p, int master, u32 which)
{
	if (which > 2)
		return -EINVAL;
	ldisc_flush(p, (int)which != 1 - master, (int)which != master); /* the master's input is the slave's output */
	return 0;
}

static long flow(struct pty *p, u64 what)
{
	if (what > 3)
		return -EINVAL;
	if (what < 2) { /* TCOOFF, TCOON; the others would send STOP and START to the typist */
		p->stopped = !what;
		pty_wake(p);
	}
	return 0;
}

static long peer(struct pty *p, u32 flags)
{
	struct file *f = pty_peer(p, flags);
	int fd;

	if (IS_ERR(f))
		return PTR_ERR(f);
	fd = fd_install(f, 0, flags & O_CLOEXEC);
	if (fd < 0)
		file_put(f);
	return fd;
}

static long master_ioctl(struct pty *p, u64 cmd, u64 arg)
{
	int on;

	switch (cmd) {
	case TIOCGPTN: return put_user(p->index, arg);
	case TIOCGPTLCK: return put_user((int)p->locked, arg);
	case TIOCGPTPEER: return peer(p, arg);
	case TIOCSPTLCK:
		if (get_user(on, arg))
			return -EFAULT;
		p->locked = on;
		return 0;
	case TIOCSIG:
		if (arg != SIGINT && arg != SIGQUIT && arg != SIGTSTP)
			return -EINVAL;
		if (p->pgrp)
			signal_send_group(p->pgrp, arg);
		return 0;
	}
	return -ENOTTY;
}

long pty_ioctl(struct file *f, u64 cmd, u64 arg)
{
	struct pty *p = f->priv;
	bool master = pty_is_master(f);
	int r;

	if (!master && pty_hung(f))
		return cmd == TIOCSPGRP ? -ENOTTY : -EIO;
	switch (cmd) {
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
	case TCSETS2:
	case TCSETSW2:
	case TCSETSF2:
	case TCSBRK:
	case TCSBRKP:
	case TCFLSH:
	case TCXONC:
		r = master ? 0 : pty_background(p, SIGTTOU);
		if (r)
			return r;
	}
	switch (cmd) {
	case TCGETS: return copy_to_user((void *)arg, &p->t, TERMIOS_SIZE);
	case TCGETS2: return copy_to_user((void *)arg, &p->t, sizeof(p->t));
	case TCSETS:
	case TCSETSW: return set_termios(p, arg, TERMIOS_SIZE, false);
	case TCSETSF: return set_termios(p, arg, TERMIOS_SIZE, true);
	case TCSETS2:
	case TCSETSW2: return set_termios(p, arg, sizeof(p->t), false);
	case TCSETSF2: return set_termios(p, arg, sizeof(p->t), true);
	case TCSBRK:
	case TCSBRKP: return 0; /* what was written has arrived; a break means nothing here */
	case TCFLSH: return flush(p, master, arg);
	case TCXONC: return flow(p, arg);
	case TIOCGWINSZ: return copy_to_user((void *)arg, p->winsize, sizeof(p->winsize));
	case TIOCSWINSZ: return set_size(p, arg);
	case FIONREAD: return put_user((int)(master ? p->ohead - p->otail : (p->t.c_lflag & ICANON ? p->canon : p->head) - p->tail), arg);
	case TIOCOUTQ: return put_user(master ? 0 : (int)(p->ohead - p->otail), arg);
	case TIOCGETD: return put_user(0, arg);
	case TIOCEXCL:
	case TIOCNXCL: p->exclusive = cmd == TIOCEXCL; return 0;
	case TIOCGEXCL: return put_user((int)p->exclusive, arg);
	case TIOCSCTTY: return take_control(p, f, arg);
	case TIOCNOTTY: return master ? -ENOTTY : give_up(p);
	case TIOCGPGRP: return master || mine(p) ? put_user(p->pgrp, arg) : -ENOTTY;
	case TIOCSPGRP: return set_foreground(p, arg);
	case TIOCGSID: return (master || mine(p)) && p->sid ? put_user(p->sid, arg) : -ENOTTY;
	case TIOCVHANGUP:
		if (!capable(26 /* CAP_SYS_TTY_CONFIG */))
			return -EPERM;
		pty_hangup(p);
		return 0;
	}
	return master ? master_ioctl(p, cmd, arg) : -ENOTTY;
}
