# SPDX-License-Identifier: Apache-2.0
# proc.mk: tests of proc/ and time/. proc_fake.c is the rest of the libos, proc_host.c a CPU made of coroutines.

TESTS += proc_test signal_test timer_test

PROC_SRC := $(addprefix ../proc/,sched.c schedcalls.c wait.c process.c clone.c exit.c waitpid.c signal.c stop.c deliver.c sigframe.c \
	sigcalls.c futex.c futexkey.c futexpi.c robust.c rseq.c rlimit.c session.c) $(wildcard ../time/*.c)
PROC_OBJ := $(PROC_SRC:../%.c=$(OUT)/proc/up/%.o) $(OUT)/proc/proc_fake.o $(OUT)/proc/proc_host.o
PROC_CFLAGS := $(TEST_CFLAGS) -include proc_env.h -ffreestanding

$(OUT)/proc/up/%.o: ../%.c proc.mk proc_env.h
	@mkdir -p $(@D)
	@$(CC) $(PROC_CFLAGS) -c $< -o $@

$(OUT)/proc/%.o: %.c proc.mk proc_env.h proc_fake.h
	@mkdir -p $(@D)
	@$(CC) $(PROC_CFLAGS) -c $< -o $@

$(OUT)/proc_test $(OUT)/signal_test $(OUT)/timer_test: $(OUT)/%: $(OUT)/proc/%.o $(PROC_OBJ)
	@$(CC) $(TEST_CFLAGS) $^ -o $@

.SECONDARY: $(PROC_OBJ)
