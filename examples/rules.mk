# SPDX-License-Identifier: Apache-2.0
# How the examples are built: as anybody would build a static Linux program, or fetch a program's packages. Those that are
# folders with unifaas.yaml and need nothing are deployed as they are.

EXAMPLES := $(B)/examples/c-hello $(B)/examples/go-hello $(B)/examples/thumbnail $(B)/examples/lambda-go
# Without npm, one example less: only scripts/setup.sh test installs it.
EXAMPLES += $(if $(shell command -v npm),$(B)/examples/node-json/node_modules)

examples: $(EXAMPLES)

# musl makes 45 KiB of it, glibc 700, which cost a few milliseconds at every start.
STATIC_CC := $(if $(shell command -v musl-gcc),musl-gcc,$(CC))

$(B)/examples/c-hello: examples/c-hello/hello.c
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(STATIC_CC) -std=gnu11 -O2 -Wall -Wextra -Werror -static -s $< -o $@

$(B)/examples/go-hello $(B)/examples/thumbnail $(B)/examples/lambda-go: $(B)/examples/%: FORCE
	@mkdir -p $(@D)
	@echo "  GO    $@"
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags='-s -w' -o $@ ./examples/$*

NODE_JSON := $(addprefix examples/node-json/,package.json package-lock.json server.js unifaas.yaml)

$(B)/examples/node-json/node_modules: $(NODE_JSON)
	@mkdir -p $(@D)
	@echo "  NPM   $(@D)"
	@cp $(NODE_JSON) $(@D)/
	@cd $(@D) && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error >npm.log 2>&1 || { cat npm.log; exit 1; }
	@rm -f $(@D)/npm.log $@/.package-lock.json
	@touch $@
