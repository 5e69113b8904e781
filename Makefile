# SPDX-License-Identifier: Apache-2.0
#
# make build      bin/unifaas, with the library OS inside
# make demo       set up what is missing, build, start a node, deploy two functions and call them
# make test       set up what is missing and run every test
# make libos      only the library OS, guest/libos.elf
# make bench      measure: every suite of unifaas bench, into build/results
# make examples   the example functions, into build/examples/
# make clean      remove everything that was built

SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif

GO ?= go
CC := gcc
B  := build

# What the guest's code is compiled with. It shares an address space with the program at CPL3: no red zone (exceptions
# land on the same stack), only general registers (the program's vector state stays in place), no stack protector (TLS is the program's).
# No alignment: it costs 20 KiB and made no call measurably faster. -Oz but for what each system call, fault or message
# goes through: -O2 everywhere is 50 KiB more. Of that, hot is what bench syscall and proc tell -Os and -O2 apart in.
GUEST_CFLAGS := -std=gnu11 -ffreestanding -g -fPIE -fvisibility=hidden -mno-red-zone -mgeneral-regs-only \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-strict-aliasing \
	-falign-jumps=1 -falign-loops=1 -falign-labels=1 \
	-ffile-prefix-map=$(CURDIR)=. -Wall -Wextra -Wno-unused-parameter -Werror -Iguest/include
GUEST_DIRS := lib platform mm proc fs net time sys
GUEST_SRC  := $(sort $(wildcard $(GUEST_DIRS:%=guest/%/*.c) $(GUEST_DIRS:%=guest/%/*.S)))
GUEST_OBJ  := $(GUEST_SRC:guest/%=$(B)/guest/%.o)
GUEST_HOT  := sys/dispatch proc/sched mm/uaccess mm/iter mm/page fs/rw fs/fdtable net/ring
GUEST_WARM := proc/futex mm/fault mm/pgtable mm/fork mm/family fs/pipe net/queue net/stream mm/heap lib/string proc/wait proc/rseq proc/robust proc/signal platform/kvm
GUEST_COLD_OPT := -Oz -fno-jump-tables -falign-functions=1 -Wno-maybe-uninitialized -DUFS_SMALL -fno-expensive-optimizations -fno-caller-saves \
	-fno-shrink-wrap -fno-tree-dominator-opts -fno-tree-tail-merge
GUEST_WARM_OPT := -Os -fno-jump-tables -falign-functions=4
GUEST_HOT_OPT  := -O2 -falign-functions=4
$(GUEST_SRC:guest/%=$(B)/guest/%.o): GUEST_OPT = $(GUEST_COLD_OPT)
$(GUEST_WARM:%=$(B)/guest/%.c.o): GUEST_OPT = $(GUEST_WARM_OPT)
$(GUEST_HOT:%=$(B)/guest/%.c.o): GUEST_OPT = $(GUEST_HOT_OPT)
LIBOS_MAX  := 262144 # bytes of text + data that the library OS may have

.PHONY: build libos examples bench-programs abi-programs e2e-programs setup demo test bench lint docs clean FORCE
.DELETE_ON_ERROR:

build: bin/unifaas bench-programs

include internal/image/hooks/rules.mk
include internal/image/bridge/rules.mk

# The tender is a program of its own, and inside the other one: what a process is made of it pays for at each start.
TENDER := internal/tender/program/tender

$(TENDER): FORCE
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags='-s -w' -o $@ ./cmd/tender

bin/unifaas: guest/libos.elf $(TENDER) $(HOOKS_BUILT) $(BRIDGE_BUILT) FORCE
	@mkdir -p bin
	@echo "  GO    $@"
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags='-s -w' -o $@ ./cmd/unifaas

# ---- the library OS ----

libos: guest/libos.elf

# Files that change with the flags and with the list of sources, so that a stale object is never used.
$(B)/guest/flags $(B)/guest/objects: FORCE
	@mkdir -p $(@D)
	@echo '$($(@F)_text)' | cmp -s - $@ || echo '$($(@F)_text)' > $@
flags_text   := $(GUEST_CFLAGS) $(GUEST_COLD_OPT) $(GUEST_WARM_OPT) $(GUEST_WARM) $(GUEST_HOT_OPT) $(GUEST_HOT)
objects_text := $(GUEST_OBJ)

$(B)/guest/%.c.o: guest/%.c $(B)/guest/flags
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(GUEST_CFLAGS) $(GUEST_OPT) -MMD -MP -c $< -o $@

$(B)/guest/%.S.o: guest/%.S $(B)/guest/flags
	@mkdir -p $(@D)
	@echo "  AS    $<"
	@$(CC) $(GUEST_CFLAGS) $(GUEST_OPT) -MMD -MP -c $< -o $@

# The vDSO is code of the program's side: an ELF shared object of its own that the library OS carries as bytes.
VDSO_SRC := $(sort $(wildcard guest/vdso/*.c guest/vdso/*.S))
guest/vdso/vdso.so: $(VDSO_SRC) guest/vdso/vdso.lds $(wildcard guest/include/*.h) abi/unifaas_abi.h
	@echo "  VDSO  $@"
	@$(CC) -std=gnu11 -ffreestanding -O2 -fPIC -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
	  -mno-red-zone -Wall -Wextra -Werror -Iguest/include -shared -nostdlib -Wl,-soname=linux-vdso.so.1 -Wl,--hash-style=sysv \
	  -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096 -Wl,-Bsymbolic -s -T guest/vdso/vdso.lds $(VDSO_SRC) -o $@
	@truncate -s $$(($$(readelf -lW $@ | awk '$$1 == "LOAD" {print $$5}'))) $@ # nobody looks at its section headers
$(filter $(B)/guest/platform/%.S.o,$(GUEST_OBJ)): guest/vdso/vdso.so

$(B)/guest/libos.ld: guest/platform/libos.ld abi/unifaas_abi.h
	@mkdir -p $(@D)
	@$(CC) -E -P -x assembler-with-cpp -Iguest/include $< -o $@

guest/libos.elf: $(GUEST_OBJ) $(B)/guest/libos.ld $(B)/guest/objects
	@echo "  LD    $@"
	@$(CC) -nostdlib -static -no-pie -Wl,-T,$(B)/guest/libos.ld -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096 \
	  -Wl,--no-warn-rwx-segments -Wl,-Map,$(B)/guest/libos.map $(GUEST_OBJ) -o $(B)/guest/libos.debug.elf
	@objcopy --strip-debug $(B)/guest/libos.debug.elf $@
	@scripts/libos-size.sh $@ $(LIBOS_MAX)

-include $(GUEST_OBJ:.o=.d)

# ---- examples and programs that tests and benchmarks run in the guest ----

include examples/rules.mk
include test/rules.mk

# ---- the rest ----

setup:
	@scripts/setup.sh build

demo:
	@scripts/setup.sh build
	@$(MAKE) --no-print-directory build $(B)/examples/thumbnail
	@scripts/demo.sh

test:
	@scripts/test.sh

lint:
	@scripts/test.sh lint

# Every suite of unifaas bench, into build/results. Best as root, with nothing else running.
bench: build examples
	@scripts/bench.sh

docs: docs/syscalls.md internal/calltrace/names.go

docs/syscalls.md: $(wildcard guest/sys/*.def) FORCE
	@$(GO) run ./test/tools/syscalldoc -o $@ guest/sys

internal/calltrace/names.go: $(wildcard guest/sys/*.def) FORCE
	@$(GO) run ./test/tools/syscalldoc -names -o $@ guest/sys

clean:
	rm -rf bin $(B) $(TENDER) $(HOOKS)/build $(BRIDGE)/build guest/libos.elf guest/vdso/vdso.so
	@$(MAKE) --no-print-directory -C guest/test clean 2>/dev/null || true
