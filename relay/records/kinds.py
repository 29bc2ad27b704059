"""The closed set of record kinds, and the shape of a record.

A record says what happened, when, to whom (as digests, with the address
sealed beside each) and under which policy set.  Bodies, subjects and
passwords are never recorded (compliance note 0.6: secrecy of correspondence).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What happened. `docs/records.md` lists the fields of each."""

    RECEIVED = "received"  # a message was judged; written before its first byte goes upstream
    JUDGED = "judged"  # what is held was judged again before another try, and the decision or its ground is new
    FINISHED = "finished"  # every outcome of a received message is known, or is recorded as indeterminate
    HELD = "held"  # the relay keeps a message that cannot leave now, and answers for it; written before the client's 250
    REFUSED = "refused"  # a client was refused at MAIL or RCPT, or for octets that are no message or too many
    REPORTED = "reported"  # a report (DSN) on a submission was delivered
    UNREPORTED = "unreported"  # refused recipients of which nobody was told: null reverse-path or NOTIFY forbids it
    LATE = "late"  # the upstream's answer came after the client had been answered
    HANDLED = "handled"  # a person let held copies leave, had them tried at once, or dropped them
    SUPPRESSED = "suppressed"  # a mailbox was put on the suppression list; also the journal of refusals
    APPLIED = "applied"  # the store has brought a suppression in force: its number, and what was on its way
    COLLECTED = "collected"  # a mail in a watched mailbox told of a refusal, a bounce or a complaint
    LIFTED = "lifted"  # a suppression was lifted, by whom and on what consent
    CONSENT = "consent"  # an event was added to the consent ledger, or a file of them
    PAUSED = "paused"  # a stream was paused: its complaints or hard bounces are over a threshold, or a person did it
    RESUMED = "resumed"  # a paused stream was resumed, by whom and why
    PROBED = "probed"  # a canary left by an upstream, to see what the provider makes of it
    ADAPTED = "adapted"  # something is done for a time because of an upstream's reply, or ended
    THRESHOLD = "threshold"  # so many persons' data left the country that a recorded ground is nearly, or wholly, used up
    POLICY = "policy"  # a policy set came into force
    KEYS = "keys"  # a ring got a new generation, or the store was opened with keys for the first time
    OPENED = "opened"  # a store was created, or restored from a backup


@dataclass(frozen=True, slots=True)
class Person:
    """A mailbox in a record: digests to find it by, sealed to show it to who may see it."""

    digest: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened. `id` is the submission's id, or the event's own ULID.

    `people` are found by `records search`; `facts` is plain JSON data without
    addresses, referring to people by their index.  `marks` are further keyed
    digests that the record is found by: of a Message-ID, of a collected mail,
    of a mailbox that is not there.
    """

    kind: Kind
    id: str
    at: float
    people: tuple[Person, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    marks: tuple[bytes, ...] = ()

    @property
    def digests(self) -> tuple[bytes, ...]:
        """Everything that the index finds it by, each once."""
        return tuple(dict.fromkeys([*[person.digest for person in self.people], *self.marks]))
