# SPDX-License-Identifier: Apache-2.0
# multiprocessing with spawn and forkserver needs a script of its own.
cd "$(mktemp -d)"
cat >pools.py <<'P'
import multiprocessing as mp
def f(x): return x + 1
if __name__ == "__main__":
    for how in "spawn", "forkserver":
        with mp.get_context(how).Pool(2) as p:
            print(how, p.map(f, [1, 2, 3]))
P
/usr/bin/python3 pools.py
