/* SPDX-License-Identifier: Apache-2.0 */
/* list.c: lists, for the files that are compiled for size. */
#ifndef UFS_SMALL
#define UFS_SMALL
#endif
#include "ufs.h"

void list_insert(struct list *n, struct list *prev, struct list *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}

void list_add(struct list *n, struct list *head)
{
	struct list *next = head->next;
	n->prev = head;
	n->next = next;
	head->next = n;
	next->prev = n;
}

void list_add_tail(struct list *n, struct list *head)
{
	struct list *prev = head->prev;
	n->prev = prev;
	n->next = head;
	prev->next = n;
	head->prev = n;
}

void list_del(struct list *n)
{
	struct list *prev = n->prev, *next = n->next;
	prev->next = next;
	next->prev = prev;
	n->next = n->prev = n;
}
