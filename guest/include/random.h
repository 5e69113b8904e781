/* SPDX-License-Identifier: Apache-2.0 */
/* random.h: the libos's generator (fs/random.c), seeded and reseeded by the monitor. */
#ifndef UFS_RANDOM_H
#define UFS_RANDOM_H
#include "ufs.h"
void random_bytes(void *buf, size_t n);
#endif
