# SPDX-License-Identifier: Apache-2.0
#
# rules.mk: the program that serves the Lambda Runtime API in instances. With musl, static: it runs in images of any age.

BRIDGE := internal/image/bridge
BRIDGE_BUILT := $(BRIDGE)/build/lambda

.PHONY: bridge
bridge: $(BRIDGE_BUILT)

$(BRIDGE_BUILT): $(wildcard $(BRIDGE)/native/*.c $(BRIDGE)/native/*.h) $(BRIDGE)/rules.mk
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(STATIC_CC) -std=gnu11 -Os -fno-asynchronous-unwind-tables -Wall -Wextra -Werror -static -s -Wl,--build-id=none $(filter %.c,$^) -o $@
