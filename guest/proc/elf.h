/* SPDX-License-Identifier: Apache-2.0 */
/* elf.h: the parts of ELF-64 that the loader reads (System V ABI, AMD64 supplement). */
#ifndef UFS_ELF_H
#define UFS_ELF_H
#include "ufs.h"
#include "fs.h"

struct elf_ehdr {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf_phdr {
	u32 type, flags;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};
#define ET_EXEC 2
#define ET_DYN 3
#define EM_X86_64 62
#define PT_LOAD 1
#define PT_INTERP 3
#define PT_GNU_STACK 0x6474e551
#define PF_X 1
#define PF_W 2
#define PF_R 4
#define ELF_MAX_PHDRS 64

/* A checked ELF file, ready to be mapped. */
struct elf {
	struct file *file;
	struct elf_ehdr eh;
	struct elf_phdr ph[ELF_MAX_PHDRS];
	u64 lo, hi;          /* page-rounded extent of the segments, before the bias */
	char interp[256];    /* "" for a static program */
	bool exec_stack;
};
/* What a mapped one looks like. */
struct elf_image { u64 bias, entry, phdr, end; };

int elf_read(struct file *f, struct elf *e);                                      /* 0, -ENOEXEC, -ENOMEM, ... */
int elf_map(struct mm *mm, const struct elf *e, u64 hint, struct elf_image *img); /* 0 or negative errno */
#endif
