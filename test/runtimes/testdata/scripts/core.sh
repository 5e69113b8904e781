# SPDX-License-Identifier: Apache-2.0
# A shell with pipes, jobs and signals, and the tools that every script uses.
cd "$(mktemp -d)"
echo a b c | tr ' ' '\n' | sort -r | paste -sd,
seq 1 100000 | sort -rn | head -3
yes | head -100000 | wc -l
for i in 1 2 3; do echo $i; done | tac | cat -n
find /usr/share/perl -name 'C*.pm' -print0 | xargs -0 -P4 -n3 md5sum | sort | md5sum
mkdir d
for i in $(seq 1 50); do echo $i >d/f$i; done
tar cf d.tar d
tar czf d.tgz d
mkdir e
tar xzf d.tgz -C e
diff -r d e/d && echo the same
tar tf d.tar | sort | md5sum
rm -rf d
ls
seq 1 300000 >big
gzip -k big
gzip -dc big.gz | cmp - big && echo gzip
xz -T4 -1 -k big
xz -dc big.xz | cmp - big && echo xz
split -n 3 big part
cat part* | sha256sum
ln -s big link
basename "$(readlink -f link)"
mv big large
test -e link || echo dangling
touch -d '2020-01-01 00:00:00 UTC' old
stat -c %Y old
chmod 4755 old
stat -c '%A %F %s' old
mkfifo fifo
echo through a fifo >fifo &
cat fifo
awk 'BEGIN { for (i = 0; i < 5; i++) printf "%d ", i * i; print ""; "echo 6" | getline y; print y }'
echo 'int main' | sed 's/int/void/'
dd if=/dev/zero of=zero bs=1M count=5 2>&1 | head -2
cp --sparse=always zero sparse
cmp zero sparse && echo sparse
truncate -s 10 old
od -c old | head -3
id
uname -sm
tty
timeout 0.2 sleep 50
echo $?
trap 'echo USR1' USR1
kill -USR1 $$
(exit 7)
echo $?
(kill -TERM $BASHPID)
echo $?
exec 3<>file
echo on descriptor 3 >&3
cat file
diff <(echo a) <(echo b)
coproc cat
echo to the coprocess >&${COPROC[1]}
read -r -u ${COPROC[0]} line
echo "$line"
exec {COPROC[1]}>&-
set -o pipefail
false | true
echo $?
shuf -i 1-10 | sort -n | paste -sd' '
factor 1234567890
nice -n 5 nice
flock lock echo locked
tee copy <file
install -m 640 copy copy2
stat -c %a copy2
sleep 0.3 &
jobs
wait
echo end
