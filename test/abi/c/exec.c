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

static void ran(const char *name, pid_t pid)
{
	int st = -1;

	waitpid(pid, &st, 0);
	printf("%s: status %d\n", name, WEXITSTATUS(st));
}

/* Through interpreter lines, each naming the next; how deep that may go. */
static void chain(char **env)
{
	char *args[] = { "s", NULL }, line[64], path[16];
	pid_t pid;

	put("s0", "#!/proc/self/exe child\n");
	chmod("s0", 0755);
	for (int i = 1; i < 8; i++) {
		snprintf(path, sizeof(path), "s%d", i);
		snprintf(line, sizeof(line), "#!./s%d\n", i - 1);
		put(path, line);
		chmod(path, 0755);
		fflush(stdout);
		if (!(pid = fork())) {
			execve(path, args, env);
			_exit(errno == ELOOP ? 77 : 78);
		}
		ran(path, pid);
	}
}

static void at(char **args, char **env)
{
	int dir = open("/", O_RDONLY | O_DIRECTORY), file = open("text", O_RDONLY), here = open(".", O_RDONLY | O_DIRECTORY);
	pid_t pid;

#define AT(name, fd, path, flags) T("execveat " name, syscall(SYS_execveat, fd, path, args, env, flags))
	symlink("/proc/self/exe", "self");
	AT("missing", here, "none", 0);
	AT("bad descriptor", -5, "text", 0);
	AT("bad descriptor, empty", -5, "", AT_EMPTY_PATH);
	AT("file", file, "x", 0);
	AT("empty path", dir, "", 0);
	AT("folder itself", dir, "", AT_EMPTY_PATH);
	AT("flags", here, "self", 0x4);
	AT("link not followed", here, "self", AT_SYMLINK_NOFOLLOW);
	fflush(stdout);
	if (!(pid = fork())) {
		syscall(SYS_execveat, dir, "proc/self/exe", args, env, 0);
		_exit(97);
	}
	ran("execveat from a folder", pid);
	if (!(pid = fork())) {
		syscall(SYS_execveat, -5, "/proc/self/exe", args, env, 0);
		_exit(97);
	}
	ran("execveat absolute", pid);
	close(dir);
	close(file);
	close(here);
}

static void many_arguments(char **env)
{
	char **v = calloc(30002, sizeof(*v));
	pid_t pid;

	for (int i = 0; i < 30000; i++)
		v[i] = "count";
	fflush(stdout);
	if (!(pid = fork())) {
		execve("/proc/self/exe", v, env);
		_exit(97);
	}
	ran("many arguments", pid);
	free(v);
}

int main(int argc, char **argv)
{
	char *args[] = { "name", "child", "with space", "", NULL }, *env[] = { "A=1", "B=", NULL };
	sigset_t m;
	pid_t pid;
	int st;

	if (argc > 1 && !strcmp(argv[1], "child"))
		return child(argc, argv);
	if (argc > 1 && !strcmp(argv[1], "count"))
		return argc == 30000 ? 22 : 23;
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
	mkfifo("fifo", 0777);
	T("exec fifo", execve("fifo", args, env));
	T("exec device", execve("/dev/null", args, env));
	chain(env);
	at(args, env);
	many_arguments(env);
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
