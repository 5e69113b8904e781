/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unifaas_abi.h: the whole contract between a guest (library OS) and a monitor.
 *
 * One self-contained header: no include, no pointer type, no implicit padding. The Go files beside it mirror it and
 * abi/abi_test.go compares the two through debug information. It also goes through cpp into assembly and the
 * linker script, so everything a C compiler needs stands behind __ASSEMBLER__.
 *
 * Guest physical memory (what the monitor installs)
 *
 *   0x00_0000_0000  RAM                 private to the instance, size in ufs_boot.ram_size, multiple of 2 MiB
 *     0x00_0020_0000  libos data, then general memory
 *     0x00_0040_0000  page tables, 2 MiB
 *   0x08_0000_0000  doorbell page       never backed: a store exits to the monitor (MMIO)
 *   0x10_0000_0000  shared area, 2 MiB  control page, clock, boot block, rings (monitor and guest both write)
 *   0x20_0000_0000  image               read-only EROFS layers, each at a multiple of 2 MiB, shared by all who use them
 *   0x30_0000_0000  files               files of a host folder, read-only; each appears when the guest asks for it (UFS_FILE_MAP)
 *
 * Guest virtual memory (what the boot page tables map; all pages U=1, the guest lives at CPL3)
 *
 *   0x0000_0000_0000  the program: ELF, heap, brk
 *   0x6000_0000_0000  libos text   -> RAM 0..2 MiB, read + execute
 *   0x6000_0020_0000  libos data   -> RAM 2..4 MiB, read + write
 *   0x6000_4000_0000  shared area  -> 0x10_0000_0000, read + write
 *   0x6000_8000_0000  doorbell     -> 0x08_0000_0000
 *   0x6100_0000_0000  physmap      -> all RAM, read + write (2 MiB pages)
 *   0x6200_0000_0000  image        -> image slot, read-only (2 MiB pages)
 *   0x6280_0000_0000  files        -> files slot, read-only; the libos maps what it was given there
 *   0x6300_0000_0000  the program: mmap area, stack, up to 0x7fff_ffff_f000
 *
 * All that a guest writes is hostile to the monitor: it copies once, checks, then uses.
 */
#ifndef UNIFAAS_ABI_H
#define UNIFAAS_ABI_H

#define UFS_ABI_MAGIC   0x53465355 /* "USFS" little-endian */
#define UFS_ABI_VERSION 4

#define UFS_RAM_GPA      0x0
#define UFS_DOORBELL_GPA 0x0800000000
#define UFS_SHARED_GPA   0x1000000000
#define UFS_IMAGE_GPA    0x2000000000
#define UFS_FILES_GPA    0x3000000000

#define UFS_LIBOS_VA      0x600000000000
#define UFS_LIBOS_DATA_VA 0x600000200000
#define UFS_SHARED_VA     0x600040000000
#define UFS_DOORBELL_VA   0x600080000000
#define UFS_PHYS_VA       0x610000000000
#define UFS_IMAGE_VA      0x620000000000
#define UFS_FILES_VA      0x628000000000
#define UFS_WINDOW_VA     0x600000000000 /* [UFS_WINDOW_VA, UFS_WINDOW_END) belongs to the libos, never to the program */
#define UFS_WINDOW_END    0x630000000000
#define UFS_USER_END      0x7ffffffff000

#define UFS_RAM_MIN   0x1000000   /* 16 MiB */
#define UFS_RAM_MAX   0x400000000 /* 16 GiB */
#define UFS_IMAGE_MAX 0x400000000 /* 16 GiB, all layers */
#define UFS_FILES_MAX 0x1000000000 /* 64 GiB */
#define UFS_LAYERS_MAX 8

/* Segment selectors of the libos's GDT, the ones 64-bit Linux programs see. */
#define UFS_KERNEL_CS 0x08
#define UFS_KERNEL_SS 0x10
#define UFS_USER_SS   0x2b
#define UFS_USER_CS   0x33
#define UFS_TSS_SEL   0x38

/* Shared area: offsets from UFS_SHARED_GPA / UFS_SHARED_VA. */
#define UFS_SHARED_SIZE    0x200000
#define UFS_CTL_OFF        0x0
#define UFS_CLOCK_OFF      0x1000
#define UFS_REPORT_OFF     0x2000  /* guest writes text for the report of its own end, NUL-terminated */
#define UFS_REPORT_SIZE    0x5000
#define UFS_CPUID_OFF      0x7000  /* struct ufs_cpuid */
#define UFS_CPUID_MAX      127
#define UFS_BOOT_OFF       0x8000  /* struct ufs_boot, then its strings */
#define UFS_BOOT_SIZE      0x38000
#define UFS_RX_OFF         0x40000 /* monitor -> guest bytes */
#define UFS_RX_SIZE        0x80000
#define UFS_TX_OFF         0xc0000 /* guest -> monitor bytes */
#define UFS_TX_SIZE        0x80000

/* Doorbells: a 4-byte store of a value at UFS_DOORBELL + offset. */
#define UFS_BELL_QUEUE 0x00 /* look at the tx ring now; value ignored */
#define UFS_BELL_IDLE  0x08 /* nothing to run until rx data or ufs_ctl.next_timer; returns then. Value: UFS_IDLE_* */
#define UFS_BELL_EXIT  0x10 /* the program ended; value = wait status as wait4() gives it */
#define UFS_BELL_PANIC 0x18 /* the libos gives up; value = UFS_PANIC_*, text in the report area */
#define UFS_BELL_OOM   0x20 /* memory limit hit and the program was ended for it; text in the report area */

/* Value of UFS_BELL_IDLE: somebody waits for a connection on a listening TCP socket, or SPAWN is waited for, and the program does
 * not want to choose the moment itself (UFS_BOOT_SNAP_MANUAL) or has chosen this one: it is initialised, a snapshot is worth taking. */
#define UFS_IDLE_READY 0x1

#define UFS_PANIC_BUG   1
#define UFS_PANIC_BOOT  2
#define UFS_PANIC_TRAP  3

/* Exception frame vector that the monitor uses when it preempts the program (no CPU exception has it). */
#define UFS_VEC_PREEMPT 0x20

/* Messages on both rings. */
#define UFS_MSG_ALIGN 16 /* each message starts at a multiple; payload is padded with anything */
#define UFS_MSG_MAX   0x10000 /* largest payload */

#define UFS_MSG_DATA      1  /* both: payload bytes of stream `conn` */
#define UFS_MSG_EOF       2  /* both: sender will send no more on `conn` (half-close) */
#define UFS_MSG_RESET     3  /* both: stream `conn` is gone, both directions; monitor -> guest for an outbound one: arg = errno, 0 for none */
#define UFS_MSG_CREDIT    4  /* both: `arg` more bytes may be sent on `conn` */
#define UFS_MSG_OPEN      16 /* monitor -> guest: new stream `conn` for the listener on port `arg` */
#define UFS_MSG_SIGNAL    17 /* monitor -> guest: send signal `arg` to process 1 */
#define UFS_MSG_LISTEN    32 /* guest -> monitor: something listens on TCP port `arg` now */
#define UFS_MSG_UNLISTEN  33 /* guest -> monitor: nothing listens on port `arg` any more */
#define UFS_MSG_ACCEPTED  34 /* guest -> monitor: stream `conn` was accepted by the program */

/* Outbound streams. The guest picks an id with UFS_CONN_GUEST set; the monitor's ids never have it. After CONNECTED with arg 0 the
 * stream is like any other. With UFS_PROTO_UDP it carries datagrams to and from one address: each DATA is one whole datagram, at most
 * UFS_DGRAM_MAX bytes; one without credit is dropped by its sender, as networks do; there is no EOF. */
#define UFS_MSG_CONNECT   36 /* guest -> monitor: arg = UFS_PROTO_*, payload struct ufs_addr */
#define UFS_MSG_CONNECTED 20 /* monitor -> guest: arg = errno of Linux, 0: connected; otherwise the stream is gone */
#define UFS_MSG_ERROR     21 /* monitor -> guest: errno `arg` is pending on stream `conn` (ECONNREFUSED of a datagram); it lives on */
#define UFS_PROTO_TCP  6
#define UFS_PROTO_UDP  17
#define UFS_DGRAM_MAX  65507
#define UFS_CONN_GUEST 0x80000000

/* Files of a host folder (UFS_BOOT_FILES). conn = a tag that the answer repeats; at most UFS_FILE_TAGS requests wait at once. A path is
 * relative to the folder, not NUL-terminated, at most UFS_FILE_PATH bytes, empty for the folder itself; no component of it is `.`,
 * `..` or, but for the last, a symbolic link: the guest walks those itself. */
#define UFS_MSG_FILE       37 /* guest -> monitor: arg = UFS_FILE_*, payload struct ufs_file_req, then the path */
#define UFS_MSG_FILE_REPLY 22 /* monitor -> guest: arg = errno of Linux, 0: the payload named below */
#define UFS_FILE_STAT  1 /* -> struct ufs_file_stat */
#define UFS_FILE_LIST  2 /* from = cookie, 0 to begin -> u64 next cookie (0: end), then struct ufs_file_entry each with its name, padded to 8 */
#define UFS_FILE_LINK  3 /* -> target of the symbolic link */
#define UFS_FILE_MAP   4 /* inode = the one that STAT gave, else ESTALE -> struct ufs_file_map: the whole file is in the files area now */
#define UFS_FILE_UNMAP 5 /* from = offset that MAP gave; no path, no reply; the guest has given up its mappings before */
#define UFS_FILE_READ  6 /* inode as for MAP, from, len -> bytes, fewer only at the end of the file */
#define UFS_FILE_READ_MAX 0xe000
#define UFS_FILE_TAGS  64
#define UFS_FILE_PATH  4095

/* Programs started by request (UFS_BOOT_SPAWN): the boot block's program, with its arguments, once for each SPAWN. */
#define UFS_MSG_SPAWN 23 /* monitor -> guest: stream `conn` is its stdin and stdout; payload: NUL-terminated K=V strings beside those of the boot block */
#define UFS_MSG_ENDED 38 /* guest -> monitor: the program of stream `conn` ended, arg = wait status; all it wrote was sent before */
/* RESET of such a stream by the monitor kills the program's whole session. */

/* After a restore. The monitor has put RAM, all but page tables, and the vCPU to the state of a snapshot, which was saved while the guest
 * was in IDLE. Before anything else the guest then finds, in this order: TABLES, any number, and one RESTORE. It handles them before any
 * thread runs and before it touches memory of a program: it stores the entries, which the monitor could not do without a
 * software KVM's going on with old translations, drops what the CPU remembers, and makes itself one of its own kind:
 * new random numbers (ufs_ctl.seed_seq has grown), MADV_WIPEONFORK memory zero, AT_RANDOM bytes new, all but WAKE; outbound streams gone
 * with ECONNRESET; the host name. Streams that the monitor opened are none: it saves no state that has any. */
#define UFS_MSG_TABLES  24 /* monitor -> guest: payload struct ufs_entry, as many as fit; none lies outside of UFS_TABLES_PA..END */
#define UFS_MSG_RESTORE 25 /* monitor -> guest: arg = UFS_RESTORE_*, payload struct ufs_restore, then the host name, not NUL-terminated */
#define UFS_RESTORE_CLONE  1 /* a new instance from a snapshot */
#define UFS_RESTORE_WAKE   2 /* the instance that was saved, after a pause */
#define UFS_RESTORE_REWIND 3 /* the instance as it was before its last request */

/* Memory that the guest does not need now. From FREE to FREED it does not touch it; afterwards it is zero. */
#define UFS_MSG_FREE  41 /* guest -> monitor: payload struct ufs_range, at most UFS_FREE_MAX of them, each of whole 2 MiB blocks of RAM */
#define UFS_MSG_FREED 26 /* monitor -> guest: the same payload */
#define UFS_FREE_MAX 64

/* A system call, for the log: the other side writes the line, since it has the names. Each takes UFS_TRACE_CREDIT of the credit of
 * stream `conn`, which is UFS_CONN_STDERR. Arguments that ufs_boot.trace tells of are followed: after struct ufs_trace come pieces
 * of number of the argument (byte), length (byte), bytes; a length of 64 is a string cut after 63 bytes, 254 the address of a
 * string that cannot be read, in eight bytes, 255 without bytes more strings than eight. */
#define UFS_MSG_TRACE 39 /* guest -> monitor: arg = UFS_TRACE_*, payload struct ufs_trace, then pieces */
#define UFS_TRACE_CALL       1 /* a call and its result */
#define UFS_TRACE_UNFINISHED 2 /* another thread goes on before it is over */
#define UFS_TRACE_RESUMED    3 /* such a call is over */
#define UFS_TRACE_SIGNAL     4 /* signal nr is delivered */
#define UFS_TRACE_ABSENT     5 /* call nr is not implemented; sent once a number, whether calls are traced or not */
#define UFS_TRACE_MAX    640 /* payload */
#define UFS_TRACE_CREDIT 512
/* ufs_boot.trace: what to follow, four bits an argument, first argument lowest; with AFTER once the call has not failed. */
#define UFS_TRACE_STRING  1
#define UFS_TRACE_STRINGS 2 /* pointers to strings, up to NULL */
#define UFS_TRACE_DATA    3 /* at most 32 bytes: as many as the next argument says; with AFTER no more than the call returned */
#define UFS_TRACE_ADDRESS 4 /* at most 63 bytes: as many as the next argument says */
#define UFS_TRACE_4       5 /* so many bytes */
#define UFS_TRACE_8       6
#define UFS_TRACE_16      7
#define UFS_TRACE_AFTER   8

/* Streams 0, 1, 2 exist from the start: console. 0: monitor -> guest stdin; 1, 2: guest -> monitor. The monitor's EOF of 0 and RESET of 1
 * and 2 have in arg the errno that reading and writing failed with on the host; 0: the end, and nobody reads any more (EPIPE). */
#define UFS_MSG_TERMINAL 40 /* both: the terminal that a console stream is; payload struct ufs_terminal. To the guest: as it is, once before anything
                             * is read, and again when its size changes. To the monitor: how input, output and editing are to be now */
#define UFS_CONN_STDIN  0
#define UFS_CONN_STDOUT 1
#define UFS_CONN_STDERR 2
#define UFS_CONN_FIRST  16      /* first id the monitor gives to an OPEN; ids are not reused within 2^16 */
#define UFS_CONN_WINDOW 0x10000 /* credit each side of a new stream starts with, console streams too */

/* ufs_boot.flags */
#define UFS_BOOT_STDIN_TTY  0x1
#define UFS_BOOT_STDOUT_TTY 0x2
#define UFS_BOOT_STDERR_TTY 0x4
#define UFS_BOOT_STRACE     0x8  /* log each system call on stderr */
#define UFS_BOOT_NOPATCH    0x10 /* leave `syscall` sites alone: tests of the trapped path */
#define UFS_BOOT_FILES      0x20 /* a host folder is served (UFS_MSG_FILE): the lowest layer of the root, below those of the image */
#define UFS_BOOT_SPAWN      0x40 /* process 1 is the libos's own and waits for SPAWN */
#define UFS_BOOT_NET        0x80 /* CONNECT is answered */
#define UFS_BOOT_LOOPBACK   0x100 /* with NET: a loopback address where nobody in the guest listens is the host's: CONNECT to it */
#define UFS_BOOT_SNAP_MANUAL 0x200 /* UFS_IDLE_READY only after the program has said so (/dev/snapshot) */
#define UFS_BOOT_READONLY   0x400 /* nobody writes to the root file system; /tmp is another one then */

/* Page tables have 2 MiB of RAM to themselves: a KVM with shadow page tables maps whatever shares a 2 MiB block with a page table
 * in 4 KiB pages. The monitor may leave the host's huge pages off there. */
#define UFS_TABLES_PA  0x400000
#define UFS_TABLES_END 0x600000
#define UFS_BOOT_TABLES 48 /* PML4, 4 PDPT, up to 16 + 16 PD for RAM and image, a few for the rest */

#ifndef __ASSEMBLER__

typedef unsigned char ufs_u8;
typedef unsigned short ufs_u16;
typedef unsigned int ufs_u32;
typedef unsigned long long ufs_u64;

/* First bytes of the libos text segment; the monitor reads it from the ELF file, never from a running guest. */
struct ufs_libos_header {
	ufs_u32 magic;      /* OUT UFS_ABI_MAGIC */
	ufs_u32 version;    /* OUT UFS_ABI_VERSION */
	ufs_u64 entry;      /* first instruction, CPL3; RSP = 0, RDI = 0 */
	ufs_u64 exc_entry;  /* CPL3 handler; takes its frame from exc_frame */
	ufs_u64 lstar;      /* target of SYSCALL, works at CPL0 and CPL3 */
	ufs_u64 text_start; /* [text_start, text_end): an RIP in here is never preempted, only flagged */
	ufs_u64 text_end;
	ufs_u64 gdt;        /* VA, limit 0x47 */
	ufs_u64 idt;        /* VA, limit 0xfff; filled by the libos */
	ufs_u64 tss;        /* VA, limit 0x67 */
	ufs_u64 exc_frame;  /* VA of the struct ufs_exc_frame that exceptions and preemption fill */
	ufs_u64 boot_tables;/* PA of the first of UFS_BOOT_TABLES pages: the monitor builds the first page tables there, PML4 first */
	ufs_u64 end;        /* PA of the first byte after bss */
};

/* What a CPL0 stub, or the monitor in its place, leaves for exc_entry. All but RAX, RIP, RSP, RFLAGS still in the registers. */
struct ufs_exc_frame {
	ufs_u64 cr2;
	ufs_u64 rax;
	ufs_u64 vector;
	ufs_u64 error;
	ufs_u64 rip;
	ufs_u64 cs;
	ufs_u64 rflags;
	ufs_u64 rsp;
	ufs_u64 ss;
};

/* Control page. Each 64-byte line has one writer. Ring indices count bytes for ever; index & (size-1) is the place. */
struct ufs_ctl {
	/* line 0: monitor writes */
	ufs_u32 preempt;     /* set to 1: give the CPU to the scheduler at the next return to the program; the guest clears it */
	ufs_u32 rx_wanted;   /* 1: monitor waits for room in the rx ring and wants a doorbell when some is made */
	ufs_u64 seed_seq;    /* grows when seed was renewed */
	ufs_u8  seed[48];    /* random bytes */
	/* line 1: guest writes */
	ufs_u64 next_timer;  /* earliest timer, CLOCK_MONOTONIC ns of the clock page; ~0 = none */
	ufs_u32 runnable;    /* threads that could run beside the current one */
	ufs_u32 tx_wanted;   /* 1: guest waits for room in the tx ring and wants to be woken from IDLE when some is made */
	ufs_u64 ram_used;    /* bytes of RAM handed out by the page allocator */
	ufs_u64 ram_libos;   /* of these, what the libos itself uses: text, data, tables, stacks, heap */
	ufs_u64 syscalls;    /* statistics: system calls in all */
	ufs_u64 traps;       /* of these, not through a patched site */
	ufs_u64 faults;      /* page faults handled */
	ufs_u64 tables_out;  /* page tables outside of UFS_TABLES_PA..END now, or other pages inside: TABLES cannot restore them */
	/* line 2, 3, 4, 5: ring indices */
	ufs_u64 rx_head;     /* monitor writes: end of the bytes put in */
	ufs_u64 rx_head_pad[7];
	ufs_u64 rx_tail;     /* guest writes: end of the bytes taken out */
	ufs_u64 rx_tail_pad[7];
	ufs_u64 tx_head;     /* guest writes */
	ufs_u64 tx_head_pad[7];
	ufs_u64 tx_tail;     /* monitor writes */
	ufs_u64 tx_tail_pad[7];
	/* line 6: guest writes: boot time stamps, TSC */
	ufs_u64 tsc_entry;   /* first instruction of the libos */
	ufs_u64 tsc_exec;    /* libos ready, program about to be loaded */
	ufs_u64 tsc_user;    /* first instruction of the program */
	ufs_u64 tsc_listen;  /* first listen() on a TCP port */
	ufs_u64 tsc_pad[4];
};

/* Clock page: read-only for the program (the vDSO reads it). seq is odd while the monitor writes.
 * Nanoseconds since the base = (rdtsc - tsc_base) * mult >> shift. The base is given twice: as seconds and nanoseconds
 * below 10^9, so that clock_gettime needs no division, and as nanoseconds. */
struct ufs_clock {
	ufs_u32 seq;
	ufs_u32 shift;
	ufs_u64 tsc_base;
	ufs_u64 mult;       /* below 2^32 */
	ufs_u64 mono_sec;   /* CLOCK_MONOTONIC at the base */
	ufs_u64 mono_nsec;
	ufs_u64 real_sec;   /* CLOCK_REALTIME at the base */
	ufs_u64 real_nsec;
	ufs_u64 mono_ns;    /* = mono_sec * 10^9 + mono_nsec */
	ufs_u64 real_off;   /* ns, CLOCK_REALTIME - CLOCK_MONOTONIC */
	ufs_u64 boot_off;   /* ns, CLOCK_BOOTTIME - CLOCK_MONOTONIC */
	ufs_u64 tsc_khz;
};

/* What CPUID tells this guest: the instruction itself exits (10 to 150 us), so patched sites look here. Filled by the
 * monitor; count 0: execute the instruction. */
struct ufs_cpuid_entry {
	ufs_u32 function;
	ufs_u32 index;
	ufs_u32 indexed;    /* 1: ECX must be index too */
	ufs_u32 eax, ebx, ecx, edx;
	ufs_u32 pad;
};
struct ufs_cpuid {
	ufs_u32 count;      /* entries, at most UFS_CPUID_MAX */
	ufs_u32 pad[7];
	struct ufs_cpuid_entry entries[UFS_CPUID_MAX];
};

/* One EROFS file system of the image. */
struct ufs_layer {
	ufs_u64 offset;     /* from UFS_IMAGE_GPA, a multiple of 2 MiB */
	ufs_u64 size;
};

/* Boot block. Strings are NUL-terminated, at offsets counted from the start of the block, inside `size`. */
struct ufs_boot {
	ufs_u32 magic;
	ufs_u32 version;
	ufs_u32 size;       /* bytes of block and strings, at most UFS_BOOT_SIZE */
	ufs_u32 flags;      /* UFS_BOOT_* */
	ufs_u64 ram_size;
	ufs_u64 image_size; /* end of the last layer; 0: no image */
	ufs_u32 argc;
	ufs_u32 envc;
	ufs_u32 argv;       /* offset of argc strings, one after the other */
	ufs_u32 envp;       /* offset of envc strings */
	ufs_u32 program;    /* path of the ELF file in the image */
	ufs_u32 cwd;
	ufs_u32 hostname;
	ufs_u32 uid;
	ufs_u32 gid;
	ufs_u32 max_files;  /* RLIMIT_NOFILE */
	ufs_u64 overlay_max;/* bytes that the writable overlay may hold */
	ufs_u32 layers;     /* EROFS file systems in the image area, lowest first */
	ufs_u32 max_procs;  /* processes and threads in all; 0: as many as memory allows */
	struct ufs_layer layer[UFS_LAYERS_MAX];
	ufs_u32 trace;      /* with UFS_BOOT_STRACE: offset of trace_calls u32, by number of the call: UFS_TRACE_STRING and so on */
	ufs_u32 trace_calls;
};

/* Header of each message on a ring. */
struct ufs_msg {
	ufs_u32 len;        /* payload bytes that follow, at most UFS_MSG_MAX */
	ufs_u16 type;       /* UFS_MSG_* */
	ufs_u16 flags;      /* 0 */
	ufs_u32 conn;
	ufs_u32 arg;
};

/* One entry of a page table (UFS_MSG_TABLES). */
struct ufs_entry {
	ufs_u64 pa;         /* of the entry, a multiple of 8 */
	ufs_u64 value;
};

/* UFS_MSG_RESTORE. */
struct ufs_restore {
	ufs_u64 generation; /* what /dev/snapshot tells programs: differs from that of every other restore and of the boot, which is 0 */
	ufs_u32 hostname;   /* bytes of the name that follows; 0: it stays */
	ufs_u32 stream;     /* id of the inbound stream that lives on, all others are reset; 0: none does */
};

/* UFS_MSG_FREE. */
struct ufs_range {
	ufs_u64 pa;
	ufs_u64 size;
};

/* UFS_MSG_TRACE. */
struct ufs_trace {
	ufs_u32 tid;
	ufs_u32 pad;
	ufs_u64 nr;
	ufs_u64 arg[6];
	ufs_u64 ret;        /* negative errno */
};

/* Where a stream goes to (UFS_MSG_CONNECT). */
struct ufs_addr {
	ufs_u16 family;     /* 4 or 6 */
	ufs_u16 port;       /* host byte order */
	ufs_u32 scope;      /* 0 */
	ufs_u8  addr[16];   /* network byte order; IPv4 in the first four, the rest 0 */
};

/* A terminal, as struct termios has it; the size is the monitor's word only. */
struct ufs_terminal {
	ufs_u32 iflag;
	ufs_u32 oflag;
	ufs_u32 lflag;
	ufs_u16 rows;
	ufs_u16 cols;
	ufs_u8  cc[19];
	ufs_u8  pad;
};

struct ufs_file_req {
	ufs_u64 inode;
	ufs_u64 from;
	ufs_u32 len;
	ufs_u32 pad;
};

struct ufs_file_stat {
	ufs_u64 inode;
	ufs_u64 size;
	ufs_u64 blocks;     /* of 512 bytes */
	ufs_u64 rdev;       /* as stat gives it */
	ufs_u64 atime_ns;   /* since 1970 */
	ufs_u64 mtime_ns;
	ufs_u64 ctime_ns;
	ufs_u32 mode;       /* type and permissions */
	ufs_u32 nlink;
	ufs_u32 uid;
	ufs_u32 gid;
};

struct ufs_file_entry {
	struct ufs_file_stat stat;
	ufs_u32 name_len;   /* 1 to 255 */
	ufs_u32 pad;
};

struct ufs_file_map {
	ufs_u64 offset;     /* from UFS_FILES_GPA: a multiple of 4 KiB, of 2 MiB for a file of at least 2 MiB */
	ufs_u64 size;       /* bytes of the file; the rest of the last page is zero */
};

#endif /* __ASSEMBLER__ */
#endif
