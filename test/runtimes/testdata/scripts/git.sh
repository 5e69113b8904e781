# SPDX-License-Identifier: Apache-2.0
# A repository: commits, branches, a stash, a rebase, packs, clones.
cd "$(mktemp -d)"
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='2020-01-01 00:00:00 +0000' GIT_COMMITTER_DATE='2020-01-01 00:00:00 +0000'
git init -q -b main r
cd r
for i in 1 2 3; do
	echo $i >f$i
	git add .
	git commit -q -m "c$i"
done
git log --oneline
echo x >>f1
git diff | cat
git stash -q
git stash pop -q
git checkout -q -b br
git commit -qam br
git checkout -q main
git merge -q br
git gc -q 2>&1
git fsck 2>&1 | tail -1
cd ..
git clone -q r r2
git clone -q "file://$PWD/r" r3
cd r3
git log --oneline | wc -l
git grep x
git rebase -q HEAD~1
git blame f1 | cat
git archive HEAD | tar t
