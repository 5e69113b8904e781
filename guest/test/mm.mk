# SPDX-License-Identifier: Apache-2.0
# mm.mk: tests of lib/ and mm/. The library OS's memory stands on a fake physmap, see mm_env.h.

TESTS += lib_test mm_page_test mm_map_test mm_random_test mm_uaccess_test

# lib/ has the names of libc's functions.
LIB_NAMES := memcpy memmove memset memcmp memchr strlen strnlen strcmp strncmp strchr strrchr strlcpy snprintf vsnprintf
LIB_RENAME := $(foreach n,$(LIB_NAMES),-D$(n)=ufs_$(n)) -ffreestanding

$(OUT)/lib_test: lib_test.c ../lib/string.c ../lib/printf.c
	@mkdir -p $(@D)
	@$(CC) $(TEST_CFLAGS) $(LIB_RENAME) $^ -o $@

MM_SRC  := $(filter-out ../mm/syscalls.c ../mm/sysvshm.c,$(wildcard ../mm/*.c))
MM_OBJ  := $(MM_SRC:../mm/%.c=$(OUT)/mm/%.o) $(OUT)/mm/mm_host.o $(OUT)/mm/mm_fake.o
MM_CFLAGS := $(TEST_CFLAGS) -include mm_env.h

$(OUT)/mm/%.o: ../mm/%.c mm.mk
	@mkdir -p $(@D)
	@$(CC) $(MM_CFLAGS) -c $< -o $@

$(OUT)/mm/mm_%.o: mm_%.c mm.mk
	@mkdir -p $(@D)
	@$(CC) $(MM_CFLAGS) -c $< -o $@

$(OUT)/mm_%: $(OUT)/mm/mm_%.o $(MM_OBJ) ../mm/uaccess.S
	@$(CC) $(TEST_CFLAGS) $^ -o $@

.SECONDARY: $(MM_OBJ) $(TESTS:%=$(OUT)/mm/%.o)
