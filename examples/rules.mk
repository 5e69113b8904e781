# SPDX-License-Identifier: Apache-2.0
# How the examples are built: as anybody would build a static Linux program.

EXAMPLES := $(B)/examples/c-hello $(B)/examples/go-hello $(B)/examples/thumbnail

examples: $(EXAMPLES)

# musl makes 45 KiB of it, glibc 700, which cost a few milliseconds at every start.
STATIC_CC := $(if $(shell command -v musl-gcc),musl-gcc,$(CC))

$(B)/examples/c-hello: examples/c-hello/hello.c
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(STATIC_CC) -std=gnu11 -O2 -Wall -Wextra -Werror -static -s $< -o $@

$(B)/examples/go-hello $(B)/examples/thumbnail: $(B)/examples/%: FORCE
	@mkdir -p $(@D)
	@echo "  GO    $@"
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags='-s -w' -o $@ ./examples/$*
