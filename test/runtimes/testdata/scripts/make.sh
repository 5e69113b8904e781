# SPDX-License-Identifier: Apache-2.0
# make, the compilers, assembler and linker, and what they make.
cd "$(mktemp -d)"
cat >a.c <<C
#include <stdio.h>
int f(int);
int main() { printf("hello %d\n", f(2)); return 0; }
C
echo 'int f(int x) { return x + 1; }' >b.c
printf 'all: prog\nprog: a.o b.o\n\tgcc -o $@ $^\n%%.o: %%.c\n\tgcc -c -O2 -o $@ $<\n' >Makefile
make -j2 | sort
./prog
gcc -static -o static a.c b.c
./static
musl-gcc -o musl a.c b.c
./musl
g++ -x c++ -o throw - <<C
#include <iostream>
int main() { try { throw 1; } catch (int x) { std::cout << x << std::endl; } }
C
strip throw
./throw
ar rcs lib.a b.o
nm lib.a
objdump -d b.o | tail -3
readelf -h prog | grep Type
ldd prog | sed 's/(.*//'
