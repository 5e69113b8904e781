/* SPDX-License-Identifier: Apache-2.0 */
/* rusage.h: struct rusage as programs see it. */
#ifndef UFS_RUSAGE_H
#define UFS_RUSAGE_H
#include "internal.h"
struct rusage_k { struct ktv utime, stime; s64 maxrss, unused[13]; };
/* Of a process and the children it has waited for, as wait4 reports it. */
void rusage_of(struct process *p, struct rusage_k *ru);
#endif
