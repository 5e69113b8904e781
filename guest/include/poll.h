/* SPDX-License-Identifier: Apache-2.0 */
/* poll.h: how readiness is asked for and announced: the table a file's poll operation fills. */
#ifndef UFS_POLL_H
#define UFS_POLL_H
#include "fs.h"

/* Passed to file_ops.poll; NULL there: only ask. queue() registers a waiter on q. */
struct poll_table { void (*queue)(struct poll_table *pt, struct waitq *q); };
#define POLL_IN (POLLIN | POLLRDNORM)
#define POLL_OUT (POLLOUT | POLLWRNORM)
/* Readiness of f; a file without a poll operation never blocks. */
static inline u32 file_poll(struct file *f, struct poll_table *pt)
{
	return f->ops->poll ? f->ops->poll(f, pt) : POLL_IN | POLL_OUT;
}

/* For file_ops.seek of files that have no position but do not mind. */
long noop_seek(struct file *f, s64 off, int whence);
/* Relative user timespec (NULL: none) to deadline; zero stays zero, so that nothing blocks. 0, -EFAULT, -EINVAL. */
int poll_deadline(const void *uts, u64 *deadline);
#endif
