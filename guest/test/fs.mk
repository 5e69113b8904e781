# SPDX-License-Identifier: Apache-2.0
# fs.mk: tests of fs/: the image reader on images of mkfs.erofs, whole and damaged; all calls against the host's own.

TESTS += fs_erofs_test fs_calls_test fs_pipe_test fs_random_test fs_limits_test fs_folder_test fs_snapshot_test

FS_SKIP   := poll epoll eventfd timerfd signalfd mqueue
FS_SRC    := $(filter-out $(FS_SKIP:%=../fs/%.c),$(wildcard ../fs/*.c))
FS_OBJ    := $(FS_SRC:../fs/%.c=$(OUT)/fs/%.o) $(OUT)/fs/fs_fake.o $(OUT)/fs/fs_host.o $(OUT)/fs/fs_folder.o $(OUT)/fs/fs_calls.o
FS_CFLAGS := $(TEST_CFLAGS) -ffreestanding -include fs_env.h

$(OUT)/fs/%.o: ../fs/%.c fs.mk
	@mkdir -p $(@D)
	@$(CC) $(FS_CFLAGS) -c $< -o $@

$(OUT)/fs/fs_host.o $(OUT)/fs/fs_folder.o: $(OUT)/fs/%.o: %.c fs.mk
	@mkdir -p $(@D)
	@$(CC) $(filter-out -I../include,$(TEST_CFLAGS)) -include fs_env.h -c $< -o $@

$(OUT)/fs/fs_%.o: fs_%.c fs.mk
	@mkdir -p $(@D)
	@$(CC) $(FS_CFLAGS) -c $< -o $@

$(OUT)/fs_%: $(OUT)/fs/fs_%.o $(FS_OBJ)
	@$(CC) $(TEST_CFLAGS) $^ -o $@

# Not part of check: runs until it is stopped, or for ARG 1 seconds. make -C guest/test fs_fuzz
.PHONY: fs_fuzz
fs_fuzz: $(OUT)/fs_fuzz

.SECONDARY: $(FS_OBJ) $(TESTS:%=$(OUT)/fs/%.o)
