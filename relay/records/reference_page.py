"""The running text of docs/records.md, around what `reference` says of each kind."""

RECIPE = """\
import hashlib, sqlite3, sys
database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
(chain,) = database.execute("SELECT value FROM meta WHERE name = 'chain'").fetchone()
number, last = 0, hashlib.sha256(chain.encode()).digest()
for seq, body, stored in database.execute("SELECT seq, body, hash FROM records ORDER BY seq"):
    number, last = number + 1, hashlib.sha256(last + body.encode()).digest()
    if (seq, stored) != (number, last):
        sys.exit(f"record {number} is not what was written")
print(f"{number}:{last.hex()}")
"""

PAGE = """\
# Records

What happened, written down on the node where it happened: `data_dir/records.db`, an SQLite file that is only ever added
to. A record is on disk before the first byte of its message goes upstream; when it cannot be written, the client gets a
451 and nothing leaves. `relay records search` finds records, `relay records verify` proves that nobody changed one,
`relay evidence` makes a ZIP of them for a letter, `relay records report --month 2026-11` a page (HTML) and a table (CSV)
of a month, without addresses.

This page is made by `relay.records.reference`; a test keeps it true.

## Kinds

{kinds}

## Shape

```json
{shape}
```

- `id`: the submission's id (in the reply to the client, in every log line and in the help page's address), or the event's own.
- `at`: epoch seconds.
- `people`: everybody the record names. `digest` finds a mailbox (HMAC-SHA-256 under the `records` ring, the first 16
  octets; in `suppressed` and `lifted` under the `addresses` ring, because a refusal by link knows no address), `sealed` is
  the mailbox itself (AES-256-GCM under the `records` ring). Facts name people by their number here.
- `facts`: as below. The client's IP address is the only address in them. Subjects, bodies and passwords are never recorded.

## Facts of each kind

{chapters}
## The chain

Every record is kept as the JSON text that was hashed: sorted keys, no blanks, UTF-8. Its hash is SHA-256 over the 32
octets of the hash before and this text; the first record follows the SHA-256 of the chain's id. Triggers forbid changes;
whoever lifts them breaks the chain. `relay records verify` walks it, compares every index with the texts, and names the
first record that is not what was written. By hand (Python, as `verify.py`; the relay may run meanwhile):

```python
{recipe}
```

`python3 verify.py /var/lib/relay/records.db` prints the number and hash of the last record. Keep that line somewhere
else, on paper or in a mail to yourself: `relay records verify --head NUMBER:HASH` then also proves that nobody cut the
end off, or wrote the whole file anew.

`data_dir/records.id` remembers the chain's id. When `records.db` is gone or is another file, the relay defers all mail
until the backup is restored; it never starts a fresh chain by itself. A backup is both files together with the keys.

## Journal of refusals

A recipient's refusal is written here first, with its record and in one transaction, and answered only then. It binds
every process of this node from that moment; it is applied to the store as soon as the store answers, and applied again
for a day after every outage of the store. The table `effects` counts how soon the store had it, for the monthly report.

The same refusal said again has no record of its own: its row in the journal and its entry in the store remember the last
time, and only a consent after that lifts it. So one link, however often it is posted, adds two records to a node (`suppressed`
and `applied`); two more after each lifting, after a day of silence, and for each outage of the store in which it is posted.

## Numbers

The store counts its steps. One that lets the copies of one transaction leave takes a number (`cleared` in an outcome), one
that brings suppressions in force takes one too (`applied`; an import shares one among some hundred rows). So whether a copy
was cleared before or after a refusal needs no clock: no copy is cleared under a number above that of a refusal that binds it.
A copy that was cleared below it, and had no outcome yet, is among the submissions `in_flight`.

A refusal binds the node that wrote it down from that moment, all nodes from its number on. When a store comes back without
its last steps (an old backup, a fail-over of Redis), its numbers go on from there; a refusal that it has lost is carried over
again and has a second `applied` with its new number.

## Retention

Nothing is ever deleted by the relay, so `[retention] records` and `network_log` are what you promise, not what is
carried out by this version: keep the file for three years at least, where the law of evidence asks for it. A message to
one recipient takes about 2 KB in its two records: a million of them are about 2 GB. Mail is deferred when the disk has
less than `[records] min_free` left; refusals and outcomes are still written then. Whoever has the `records` ring
can read the addresses; without it they stay sealed for ever, which is how to forget them all at once.
"""
