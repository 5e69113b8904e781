/* SPDX-License-Identifier: Apache-2.0 */
/* platform.h: all that differs between monitors (kvm, process): doorbell, page tables in force, TLS base, FPU state. */
#ifndef UFS_PLATFORM_H
#define UFS_PLATFORM_H
#include "ufs.h"
#include "proc.h"

#define CTL ((volatile struct ufs_ctl *)(ufs_shared + UFS_CTL_OFF))
#define CLOCK ((volatile const struct ufs_clock *)(ufs_shared + UFS_CLOCK_OFF))
#define BOOT ((const struct ufs_boot *)(ufs_shared + UFS_BOOT_OFF))

static inline u64 rdtsc(void) { u32 lo, hi; __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)); return (u64)hi << 32 | lo; }
void doorbell(u32 off, u32 value);                 /* exits to the monitor */
void platform_idle(u64 next_timer);                /* UFS_BELL_IDLE */
_Noreturn void platform_exit(int wait_status);
/* Drop stale translations after a live entry was changed: [va, va+len) of the current tables. */
void platform_flush(u64 va, u64 len);
void platform_switch_mm(u64 cr3);                  /* make other page tables current */
void platform_switch(struct thread *prev, struct thread *next); /* FPU, FS/GS base, kernel stack: switch.S */
/* Prepare t (stack set, regs or NULL) to start in fn(arg) when first switched to. */
void platform_thread_init(struct thread *t, void (*fn)(void *), void *arg);
u64 platform_fsbase(void); void platform_set_fsbase(u64 v);
u64 platform_gsbase(void); void platform_set_gsbase(u64 v);
u32 platform_hwcap(void);                          /* CPUID leaf 1, EDX: AT_HWCAP */
extern u32 xsave_size;                             /* bytes of one XSAVE area with the features in XCR0 */
extern u64 xsave_mask;
void fpu_save(void *area); void fpu_restore(const void *area); void fpu_init(void *area);
#endif
