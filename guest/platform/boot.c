/* SPDX-License-Identifier: Apache-2.0 */
/* boot.c: from the first instruction to the first program. */
#include "internal.h"
#include "boot_hooks.h"
#include "errno.h"
#include "fs.h"
#include "net.h"
#include "time.h"

extern char rodata_end[], boot_stack_top[];
extern const struct ufs_libos_header libos_header;

/* How many of the pages set aside for them the monitor used for page tables: in order, none of them empty. Looking at one costs a
 * shadow fault, so no more are looked at than needed. */
static unsigned tables_used(void)
{
	unsigned n = 1;
	for (; n < UFS_BOOT_TABLES; n++) {
		const u64 *p = phys_to_virt(UFS_TABLES_PA + n * PAGE_SIZE);
		unsigned i = 0;
		while (i < 512 && !p[i])
			i++;
		if (i == 512)
			break;
	}
	return n;
}

static void check_boot_block(void)
{
	if (BOOT->magic != UFS_ABI_MAGIC || BOOT->version != UFS_ABI_VERSION)
		panic("boot block has magic 0x%x version %u, this libos speaks 0x%x version %u", BOOT->magic, BOOT->version, UFS_ABI_MAGIC, UFS_ABI_VERSION);
}

/* RAM as the monitor laid it out: text block, data block, page-table block, the rest. The allocator's books come after the data,
 * or, if they are too large, after the page tables. */
static void memory_init(void)
{
	u64 text_end_pa = ALIGN_UP((u64)rodata_end - UFS_LIBOS_VA, PAGE_SIZE), data_end_pa = libos_header.end;
	if (data_end_pa + page_books_size(BOOT->ram_size) <= UFS_TABLES_PA) {
		page_init(data_end_pa, BOOT->ram_size);
	} else {
		page_init(UFS_TABLES_END, BOOT->ram_size);
		page_add_range(data_end_pa, UFS_TABLES_PA);
	}
	page_reserve_tables(UFS_TABLES_PA + tables_used() * PAGE_SIZE, UFS_TABLES_PA, UFS_TABLES_END);
	page_add_range(text_end_pa, UFS_LIBOS_DATA_VA - UFS_LIBOS_VA);
	mm_boot_adopt(UFS_TABLES_PA);
}

char **boot_strings(u32 off, u32 n)
{
	char **v = kmalloc((n + 1) * sizeof(char *));
	char *s = (char *)BOOT + off;
	if (!v)
		return NULL;
	for (u32 i = 0; i < n; i++) {
		v[i] = s;
		s += strlen(s) + 1;
	}
	v[n] = NULL;
	return v;
}

/* Becomes process 1: runs on its kernel stack and returns into the program. */
static void first_thread(void *arg)
{
	console_open_std(curproc()->files);
	if (BOOT->flags & UFS_BOOT_SPAWN) {
		CTL->tsc_exec = rdtsc();
		spawn_init();
	}
	char **argv = boot_strings(BOOT->argv, BOOT->argc), **envp = boot_strings(BOOT->envp, BOOT->envc);
	const char *program = (const char *)BOOT + BOOT->program;
	if (!argv || !envp)
		panic("no memory for the program's arguments");
	CTL->tsc_exec = rdtsc();
	long r = exec_program(program, argv, BOOT->argc, envp, BOOT->envc);
	if (r) {
		exec_failed(program, r);
	}
	kfree(argv);
	kfree(envp);
	CTL->tsc_user = rdtsc();
	thread_start_user();
}

void boot_main(void)
{
	CTL->tsc_entry = rdtsc();
	check_boot_block();
	platform_init();
	memory_init();
	sched_init();
	current()->kstack_top = (u64)boot_stack_top; /* for reports of faults during boot */
	queue_init();
	net_init();
	fs_init(); /* before process 1, which has a working directory */
	process_start_init(first_thread);
	panic("the scheduler came back");
}
