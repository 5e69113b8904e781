/* SPDX-License-Identifier: Apache-2.0 */
/* fs_fake.h: the rest of the library OS, as far as fs/ needs it, over the host's C library. */
#ifndef UFS_TEST_FS_FAKE_H
#define UFS_TEST_FS_FAKE_H
#include "../fs/vfs.h"
#include "fs_host.h"

/* One process with one thread; image_size as in the boot block. Mounts everything. */
void fake_boot(u64 image_size, u64 overlay_max);
void fake_layers(const struct ufs_layer *layer, u32 n, u64 overlay_max); /* and the folder, after fake_folder() */
/* Requests about files go to the folder that folder_open() named, answers come when the thread blocks, in any order. */
void fake_folder(u64 seed);
/* What every answer becomes, for tests that send nonsense; NULL: itself. */
extern void (*fake_spoil)(struct ufs_msg *m, u8 *payload);
extern bool fake_gives_up;     /* a thread that waits for an answer that does not come is ended; else the test is */
extern u64 fake_total;         /* RAM there is */
extern int fake_signal;        /* last signal sent to the thread */
extern long fake_pages;        /* pages in use */
extern long fake_fail_after;   /* allocations until they fail; -1 never */
#endif
