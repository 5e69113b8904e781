/* SPDX-License-Identifier: Apache-2.0 */
/* fs_fake.h: the rest of the library OS, as far as fs/ needs it, over the host's C library. */
#ifndef UFS_TEST_FS_FAKE_H
#define UFS_TEST_FS_FAKE_H
#include "../fs/vfs.h"
#include "fs_host.h"

/* One process with one thread; image_size as in the boot block. Mounts everything. */
void fake_boot(u64 image_size, u64 overlay_max);
extern int fake_signal;        /* last signal sent to the thread */
extern long fake_pages;        /* pages in use */
extern long fake_fail_after;   /* allocations until they fail; -1 never */
#endif
