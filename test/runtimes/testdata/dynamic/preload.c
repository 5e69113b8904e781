/* SPDX-License-Identifier: Apache-2.0 */
/* preload.c: takes the place of a function of the C library. */
#include <stdio.h>

int puts(const char *s) { return printf("preloaded: %s\n", s); }
