/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.c: the files by which programs find names and addresses: /etc/resolv.conf, hosts, hostname, nsswitch.conf.
 *
 * The first three are this instance's own and stand over what the image or the host's folder has there, as container
 * engines do; the last is there for those who have none. They are made when somebody first goes to /etc.
 */
#include "sock.h"
#include "snapshot.h"
#include "../fs/tmpfs.h"

#define RESOLVER "169.254.169.253" /* the node's */

static struct inode *named[2]; /* hosts, hostname */

static int named_text(int i, char text[256])
{
	static const char *const format[] = { "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.2.15\t%.64s\n", "%.64s\n" };
	return snprintf(text, 256, format[i], boot_hostname());
}

/* Gives dir a file of this name, whatever is below. Out of memory or space: what is below stays. */
static struct inode *supply(struct tnode *dir, const char *name, const char *text)
{
	struct tfs *fs = tfs_of(dir);
	struct tnode *t = tnode_create(fs, dir, S_IFREG | 0644, 0);
	struct tent *e = IS_ERR(t) ? NULL : tent_new(dir, name, strlen(name));
	struct iter it;
	size_t len = strlen(text);
	if (IS_ERR(t))
		return NULL;
	t->i.uid = t->i.gid = 0;
	iter_kernel(&it, (void *)text, len);
	if (!e || t->i.ops->write(&t->i, &it, 0) != (long)len || !tfs_charge(fs, CHARGE_ENTRY)) {
		kfree(e);
		inode_put(&t->i);
		return NULL;
	}
	struct tent *none = tent_find(dir, name, strlen(name));
	if (none && !none->node)
		tent_remove(none); /* somebody looked before */
	tent_link(e, ENT_UPPER, t);
	tnode_dirty(dir);
	return &t->i;
}

/* etc: what the root directory has under that name, referenced, or an error. */
struct tnode *names_supply(struct tnode *root, struct tnode *etc)
{
	static bool done;
	char text[256];
	if (done || &root->i != root_inode || (IS_ERR(etc) && PTR_ERR(etc) != -ENOENT))
		return etc;
	done = true;
	if (IS_ERR(etc)) {
		struct inode *made = root->i.ops->create(&root->i, "etc", 3, S_IFDIR | 0755, 0);
		if (IS_ERR(made))
			return (void *)made;
		made->uid = made->gid = 0;
		etc = tnode_of(made);
	}
	if (!S_ISDIR(etc->i.mode))
		return etc;
	for (int i = 0; i < 2; i++) {
		named_text(i, text);
		named[i] = supply(etc, i ? "hostname" : "hosts", text);
		if (named[i])
			inode_get(named[i]);
	}
	supply(etc, "resolv.conf", outbound_allowed() ? "nameserver " RESOLVER "\n" : "# this function has no network\n");
	struct inode *nss = etc->i.ops->lookup(&etc->i, "nsswitch.conf", 13);
	if (!IS_ERR(nss))
		inode_put(nss);
	else if (PTR_ERR(nss) == -ENOENT)
		supply(etc, "nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
	return etc;
}

/* The files that have the name in them follow, unless the program has written to them. */
void host_rename(const char *name, u32 n)
{
	char old[2][256], text[256];
	int len[2];
	if (strlen(boot_hostname()) == n && !memcmp(boot_hostname(), name, n))
		return;
	for (int i = 0; i < 2; i++)
		len[i] = named_text(i, old[i]);
	set_hostname(name, n);
	for (int i = 0; i < 2; i++) {
		struct inode *ino = named[i];
		struct iter it;
		iter_kernel(&it, text, sizeof(text));
		if (!ino || ino->ops->read(ino, &it, 0) != len[i] || memcmp(text, old[i], len[i]))
			continue;
		int now = named_text(i, text);
		iter_kernel(&it, text, now);
		if (ino->ops->write(ino, &it, 0) == now && now < len[i])
			ino->ops->truncate(ino, now);
	}
}
