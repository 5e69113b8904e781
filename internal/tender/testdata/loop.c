/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c: says so, then never makes a system call again. */
#include <stdio.h>

int main(void)
{
	puts("looping");
	fflush(stdout);
	for (;;)
		;
}
