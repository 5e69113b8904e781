# SPDX-License-Identifier: Apache-2.0
#
# rules.mk: modules for language runtimes that images carry. They have no C library and no dependency, and are loaded by
# programs of any age: nothing of the build machine goes into them.

HOOKS := internal/image/hooks
HOOKS_BUILT := $(HOOKS)/build/openssl.so $(HOOKS)/build/python.so $(HOOKS)/build/node.node

.PHONY: hooks
hooks: $(HOOKS_BUILT)

$(HOOKS)/build/%.so $(HOOKS)/build/%.node: $(HOOKS)/native/%.c $(wildcard $(HOOKS)/native/*.h) $(HOOKS)/rules.mk
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(CC) -std=gnu11 -ffreestanding -O2 -fPIC -fvisibility=hidden -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
	  -Wall -Wextra -Wno-unused-parameter -Werror -shared -nostdlib -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,now \
	  -Wl,--hash-style=gnu -s $< -o $@
