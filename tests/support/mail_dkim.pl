# Verify messages with Mail::DKIM, without DNS.
# stdin: one JSON object a line, {"keys": {NAME: TXT}} first, then {"message": BASE64} each.
# stdout: one JSON array a line for each message: [[domain, algorithm, result, detail], ...], one entry a signature, top first.
use strict;
use warnings;
use JSON::PP;
use MIME::Base64;
use Mail::DKIM::Verifier;

my $keys = decode_json(scalar <STDIN>)->{keys};

{
    no warnings 'redefine';
    *Mail::DKIM::PublicKey::fetch_async = sub {
        my ($class, %named) = @_;
        my $success = $named{Callbacks}{Success} || sub { $_[0] };
        my $record = $keys->{lc "$named{Selector}._domainkey.$named{Domain}"};
        return sub { $success->() } unless defined $record;
        my $key = $class->parse($record);
        $key->{Selector} = $named{Selector};
        $key->{Domain} = $named{Domain};
        $key->check;
        return sub { $success->($key) };
    };
}

while (my $line = <STDIN>) {
    my $verifier = Mail::DKIM::Verifier->new;
    $verifier->PRINT(decode_base64(decode_json($line)->{message}));
    $verifier->CLOSE;
    my @results = map { [$_->domain, $_->algorithm, $_->result, $_->result_detail] } $verifier->signatures;
    print encode_json(\@results), "\n";
}
