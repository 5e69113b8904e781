/* SPDX-License-Identifier: Apache-2.0 */
/* mm_fake.h: a fake machine and a fake file system for the tests of mm/. */
#ifndef UFS_TEST_MM_FAKE_H
#define UFS_TEST_MM_FAKE_H

#define FAKE_IMAGE_SIZE (16UL << 20)
#define FAKE_LIBOS_END 0x280000UL /* RAM that the libos itself has: text, data, the boot PML4 */
#define FAKE_PML4 0x270000UL

void host_memory(unsigned long ram);
/* fn(arg) in a child process; its wait status. mm/ keeps state in static variables. */
int host_run(void (*fn)(unsigned long), unsigned long arg);
/* 1 if fn panicked. */
int expect_panic(void (*fn)(void *), void *arg);

#define CHECK(c) do { if (!(c)) { \
	fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #c); abort(); } } while (0)

#ifdef UFS_MM_INTERNAL_H
#include "fs.h"

/* Files: in the image, in RAM, and one that can only be read by copy. */
struct file *fake_image(u64 first_page, u64 size);
struct file *fake_memory(u64 size);
struct file *fake_stream(u64 size);
u64 fake_value(u64 page);                /* what a page of image or stream starts with */
extern unsigned fake_sleep;              /* one page request in this many changes the mappings meanwhile; 0: none */
extern void (*fake_meanwhile)(void);     /* done once while a page request sleeps: what another thread does */
extern struct mm *fake_mm;               /* the current address space */

void machine_start(u64 ram);

/* A clock with timers, and what was given back. */
extern u64 fake_now;
void fake_timers(void);                  /* runs what is due */
extern struct ufs_range fake_given[UFS_FREE_MAX];
extern unsigned fake_ngiven;             /* ranges of the last message, 0 none since this was set to 0 */
extern bool fake_full;                   /* the ring takes nothing */

/* The program's side: 8 bytes at va through a software MMU with a TLB. 0, or the signal, or -ENOMEM. */
int user_read(u64 va, u64 *val);
int user_write(u64 va, u64 val);
int user_exec(u64 va);
void user_switch(struct mm *mm);

/* Every invariant of internal.h, over all address spaces. */
void check_all(void);
u64 count_tables(struct mm *mm);
#endif
#endif
