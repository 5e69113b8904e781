/* SPDX-License-Identifier: Apache-2.0 */
/* stdio.c: arguments, environment, standard input and output. */
#include "check.h"

extern char **environ;

int main(int argc, char **argv)
{
	char buf[65536];
	size_t n, total = 0;
	unsigned sum = 0;

	start();
	V("argc", argc);
	for (int i = 1; i < argc; i++)
		S("argument", argv[i]);
	S("ABI_TEST", getenv("ABI_TEST") ? getenv("ABI_TEST") : "unset");
	OK("no such variable", !getenv("NO_SUCH_VARIABLE"));
	while ((n = fread(buf, 1, sizeof(buf), stdin)) > 0) {
		for (size_t i = 0; i < n; i++)
			sum = sum * 31 + (unsigned char)buf[i];
		total += n;
	}
	V("input bytes", total);
	V("input sum", sum);
	OK("end of file", feof(stdin));
	fprintf(stderr, "to stderr\n");
	/* Much output at once: more than any queue holds. */
	for (int i = 0; i < 20000; i++)
		printf("line %d of the output, long enough to fill the queues between program and monitor\n", i);
	T("write to stdin", write(0, "x", 1) > 0 ? 0 : -1);
	return 17;
}
