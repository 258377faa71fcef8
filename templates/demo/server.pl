# The demo's app for machines without node: answers with its version; a release may be told to fail some
# seconds after its start.
use strict;
use warnings;
use IO::Socket::INET;
use Time::HiRes qw(time);

sub slurp { open my $file, '<', $_[0] or die "$_[0]: $!"; local $/; return scalar <$file> }

my ($version) = slurp('package.json') =~ /"version":\s*"([^"]+)"/;
my $fails_after = slurp('fails-after-ms') + 0;
my $started = time;
my $socket = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT}, Listen => 16, ReuseAddr => 1,
) or die "cannot listen: $!";
$SIG{TERM} = sub { exit 0 };
while (my $client = $socket->accept) {
    while (defined(my $line = <$client>)) { last if $line =~ /^\r?\n$/ }
    my $failing = $fails_after && (time - $started) * 1000 > $fails_after;
    my $body = sprintf qq({"status":"%s","version":"%s"}\n), $failing ? 'failing' : 'healthy', $version;
    printf $client "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s",
        $failing ? '500 Internal Server Error' : '200 OK', length $body, $body;
    close $client;
}
