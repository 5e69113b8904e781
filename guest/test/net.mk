# SPDX-License-Identifier: Apache-2.0
# net.mk: tests of net/ and of polling. net_fake.c is the rest of the libos and a monitor.

TESTS += ring_test stream_test socket_test outbound_test epoll_test restore_test

$(OUT)/ring_test: ring_test.c ../net/ring.c ../net/ring.h net.mk
	@mkdir -p $(@D)
	@$(CC) $(TEST_CFLAGS) -I../net ring_test.c ../net/ring.c -o $@

NET_SRC := $(filter-out ../net/names.c,$(wildcard ../net/*.c)) $(addprefix ../fs/,poll.c epoll.c eventfd.c timerfd.c) ../mm/iter.c ../proc/wait.c ../fs/text.c
NET_OBJ := $(NET_SRC:../%.c=$(OUT)/net/up/%.o) $(OUT)/net/net_fake.o
NET_CFLAGS := $(TEST_CFLAGS) -I../net -include net_env.h

$(OUT)/net/up/%.o: ../%.c net.mk net_env.h
	@mkdir -p $(@D)
	@$(CC) $(NET_CFLAGS) $(if $(findstring /up/,$@),-ffreestanding) -c $< -o $@

$(OUT)/net/%.o: %.c net.mk net_env.h net_fake.h
	@mkdir -p $(@D)
	@$(CC) $(NET_CFLAGS) $(if $(findstring /up/,$@),-ffreestanding) -c $< -o $@

$(OUT)/stream_test $(OUT)/socket_test $(OUT)/outbound_test $(OUT)/epoll_test $(OUT)/restore_test: $(OUT)/%: $(OUT)/net/%.o $(NET_OBJ)
	@$(CC) $(TEST_CFLAGS) $^ -o $@

.SECONDARY: $(NET_OBJ)
