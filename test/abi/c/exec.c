/* SPDX-License-Identifier: Apache-2.0 */
/* exec.c: execve of itself: arguments, environment, what survives, and errors. */
#include "check.h"
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static int child(int argc, char **argv)
{
	sigset_t m;
	struct sigaction sa;

	printf("child argc %d:", argc);
	for (int i = 0; i < argc; i++)
		printf(" %s", argv[i]);
	printf("\n");
	for (char **e = environ; *e; e++)
		printf("env %s\n", *e);
	printf("fd 10: %s\n", fcntl(10, F_GETFD) < 0 ? ename(errno) : "open");
	printf("fd 11: %s\n", fcntl(11, F_GETFD) < 0 ? ename(errno) : "open");
	sigprocmask(SIG_BLOCK, NULL, &m);
	printf("USR1 blocked %d\n", sigismember(&m, SIGUSR1));
	sigaction(SIGUSR2, NULL, &sa);
	printf("USR2 %s\n", sa.sa_handler == SIG_IGN ? "ignored" : "default");
	sigaction(SIGTERM, NULL, &sa);
	printf("TERM %s\n", sa.sa_handler == SIG_DFL ? "default" : "not default");
	printf("umask %o\n", umask(0));
	return 21;
}

static void on(int s) {}

int main(int argc, char **argv)
{
	char *args[] = { "name", "child", "with space", "", NULL }, *env[] = { "A=1", "B=", NULL };
	sigset_t m;
	pid_t pid;
	int st;

	if (argc > 1 && !strcmp(argv[1], "child"))
		return child(argc, argv);
	if (argc > 1 && !strcmp(argv[1], "self")) {
		start();
		/* exec in process 1 itself. */
		execve("/proc/self/exe", args, env);
		return 98;
	}
	scratch();
	T("exec missing", execve("none", args, env));
	put("text", "no program");
	T("exec no permission", execve("text", args, env));
	chmod("text", 0755);
	T("exec text", execve("text", args, env));
	put("empty", "");
	chmod("empty", 0755);
	T("exec empty", execve("empty", args, env));
	put("badelf", "\177ELF\2\1\1");
	chmod("badelf", 0755);
	T("exec truncated ELF", execve("badelf", args, env));
	T("exec dir", execve(".", args, env));
	T("exec through file", execve("text/x", args, env));
	T("exec bad pointer", execve(BAD, args, env));
	T("exec bad argv", execve("/proc/self/exe", BAD, env));
	put("script", "#!/none/such\n");
	chmod("script", 0755);
	T("exec script without interpreter", execve("script", args, env));
	/* Too many arguments. */
	char *big = malloc(200000), *many[40];
	memset(big, 'x', 199999);
	big[199999] = 0;
	for (int i = 0; i < 39; i++)
		many[i] = big;
	many[39] = NULL;
	T("exec too large", execve("/proc/self/exe", many, env));

	dup2(1, 10);
	dup2(1, 11);
	fcntl(10, F_SETFD, FD_CLOEXEC);
	sigemptyset(&m);
	sigaddset(&m, SIGUSR1);
	sigprocmask(SIG_BLOCK, &m, NULL);
	signal(SIGUSR2, SIG_IGN);
	signal(SIGTERM, on);
	umask(033);
	if (!(pid = vfork())) {
		execve("/proc/self/exe", args, env);
		_exit(99);
	}
	OK("started", waitpid(pid, &st, 0) == pid);
	printf("status %d\n", WEXITSTATUS(st));

	posix_spawn_file_actions_t fa;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 1, "out", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	P("posix_spawn", posix_spawn(&pid, "/proc/self/exe", &fa, NULL, args, env));
	waitpid(pid, &st, 0);
	printf("status %d\n", WEXITSTATUS(st));
	char buf[1000];
	int fd = open("out", O_RDONLY);
	OK("output in the file", read(fd, buf, sizeof(buf)) > 50);
	P("posix_spawn missing", posix_spawn(&pid, "/none", NULL, NULL, args, env));
	return 0;
}
