# SPDX-License-Identifier: Apache-2.0
# Programs that tests and benchmarks run, natively and in the guest.

# ---- Linux ABI programs: each C file with glibc and with musl ----

ABI_C     := $(patsubst test/abi/c/%.c,%,$(wildcard test/abi/c/*.c))
ABI_GO    := $(notdir $(patsubst %/,%,$(dir $(wildcard test/abi/go/*/main.go))))
# -w: the programs do on purpose what compilers warn of.
ABI_FLAGS := -std=gnu11 -O1 -w -static -pthread
ABI_PROGRAMS := $(ABI_C:%=$(B)/abi/glibc/%) $(ABI_C:%=$(B)/abi/musl/%) $(ABI_GO:%=$(B)/abi/go/%)

abi-programs: $(ABI_PROGRAMS)

$(B)/abi/glibc/%: test/abi/c/%.c test/abi/c/check.h
	@mkdir -p $(@D)
	@$(CC) $(ABI_FLAGS) $< -o $@

# The kernel's headers come after musl's own.
$(B)/abi/musl/%: test/abi/c/%.c test/abi/c/check.h
	@mkdir -p $(@D)
	@musl-gcc $(ABI_FLAGS) -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu $< -o $@

$(ABI_GO:%=$(B)/abi/go/%): $(B)/abi/go/%: FORCE
	@mkdir -p $(@D)
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -o $@ ./test/abi/go/$*

# ---- programs of `unifaas bench` ----

BENCH_PROGRAMS := $(patsubst test/bench/%.c,$(B)/bench/%,$(wildcard test/bench/*.c))

bench-programs: $(BENCH_PROGRAMS)

$(BENCH_PROGRAMS): $(B)/bench/%: test/bench/%.c $(wildcard test/bench/*.h)
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -static -pthread $< -o $@

# ---- the function of the end-to-end tests ----

e2e-programs: $(B)/e2e/lambda $(B)/e2e/misbehave $(B)/e2e/client $(B)/e2e/unique $(B)/e2e/state

$(B)/e2e/lambda: FORCE
	@mkdir -p $(@D)
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags='-s -w' -o $@ ./test/lambda/program

$(B)/e2e/misbehave: test/e2e/program/misbehave.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -O1 -Wall -Wextra -Werror -static $< -o $@

$(B)/e2e/unique: test/rewind/program/unique.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -O1 -Wall -Wextra -Wno-unused-parameter -Werror -static $< -o $@

$(B)/e2e/state: test/snapshots/testdata/state.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -O1 -Wall -Wextra -Werror -Wno-unused-result -static $< -o $@

# With musl, whose resolver is in the program.
$(B)/e2e/client: test/e2e/program/client.c
	@mkdir -p $(@D)
	@musl-gcc -std=gnu11 -O1 -Wall -Wextra -Werror -static $< -o $@
