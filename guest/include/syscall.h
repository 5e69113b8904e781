/* SPDX-License-Identifier: Apache-2.0 */
/* syscall.h: how system calls are declared. sys/table.def has one line a call; docs/syscalls.md is made from it. */
#ifndef UFS_SYSCALL_H
#define UFS_SYSCALL_H
#include "ufs.h"
#include "errno.h"
/* Defines handler sys_NAME(a, b, c, d, e, f): the six arguments as they are in the registers. Returns value or negative errno. */
#define SYSCALL(name) long sys_##name(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
/* Logs once for each value: "unifaas: WHAT (value) is not supported". For absent options of implemented calls. */
void unsupported_once(const char *what, u64 val);
#endif
