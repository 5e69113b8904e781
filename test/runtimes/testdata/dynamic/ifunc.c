/* SPDX-License-Identifier: Apache-2.0 */
/* ifunc.c: a function that the loader chooses. */
static int chosen(void) { return 42; }
static void *resolve(void) { return chosen; }
int indirect(void) __attribute__((ifunc("resolve")));
