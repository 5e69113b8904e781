# SPDX-License-Identifier: Apache-2.0
# perl: processes, pipes, signals, sockets.
perl - <<'P'
use strict;
use IO::Socket::INET;
use POSIX;
use Socket;
use Time::HiRes;
my %h = map { $_ => 1 } 1 .. 10;
print join(",", sort keys %h), "\n";
my $p = fork;
exit 3 if !$p;
waitpid $p, 0;
print $? >> 8, "\n";
open my $f, "-|", "echo piped";
print <$f>;
$SIG{ALRM} = sub { print "alarm\n" };
alarm 1;
select undef, undef, undef, 20;
socketpair my $l, my $r, AF_UNIX, SOCK_STREAM, 0;
syswrite $l, "over a pair\n";
print scalar <$r>;
print POSIX::strftime("%Y", gmtime 0), "\n";
Time::HiRes::sleep(0.01);
my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1");
my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $s->sockport);
my $d = $s->accept;
print $c "over TCP\n";
close $c;
print <$d>;
P
