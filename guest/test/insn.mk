# SPDX-License-Identifier: Apache-2.0
# insn.mk: the instruction decoder against the disassembler of binutils.

TESTS += insn_test

$(OUT)/insn_test: insn_test.c ../proc/insn.c ../proc/insn.h
	@mkdir -p $(@D)
	@$(CC) $(TEST_CFLAGS) insn_test.c ../proc/insn.c -o $@
