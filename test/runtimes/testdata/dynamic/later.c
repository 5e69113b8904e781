/* SPDX-License-Identifier: Apache-2.0 */
/* later.c: loaded while the program runs. */
int puts(const char *);
__thread int counter = 9;
__thread long table[1000] = { 1 };

int count(void) { return ++counter + table[0]; }
__attribute__((constructor)) static void begin(void) { puts("later: constructor"); }
__attribute__((destructor)) static void end(void) { puts("later: destructor"); }
