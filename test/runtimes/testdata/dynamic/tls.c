/* SPDX-License-Identifier: Apache-2.0 */
/* tls.c: thread-local variables of three models, a large one among them. */
__thread int early __attribute__((tls_model("initial-exec"))) = 5;
__thread int general = 7;
__thread char large[100000];
static __thread int local1 = 1, local2 = 2;

int *general_addr(void) { return &general; }

int tls_sum(void)
{
	local1++;
	return general + local1 + local2 + large[sizeof(large) - 1];
}
