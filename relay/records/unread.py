"""Upstreams' replies that no entry of a dictionary fits, out of the records: what a profile can learn."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from relay.records.kinds import Kind, Record

KINDS = frozenset({Kind.FINISHED, Kind.LATE})
_REPLY = re.compile(r"(\d{3})(?: ([245]\.\d{1,3}\.\d{1,3}))? ?(.*)")
_VARYING = re.compile(r"\S*\d\S*\d\S*\d\S*")  # a queue id, a time, an address of the network
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class UnreadReply:
    """A reply as it was said, what differs each time left out."""

    upstream: str
    code: int
    enhanced: str
    text: str


def unread_replies(
    records: Iterable[Record], is_read: Callable[[str, int, str, str], bool], most: int
) -> list[tuple[UnreadReply, int]]:
    """The replies of refused and deferred recipients that the dictionary knows by their number only, the most frequent first.

    `is_read` says whether an entry fits an upstream's reply: its name, code, enhanced status code, text.
    """
    counts: Counter[UnreadReply] = Counter()
    for record in records:
        for outcome in record.facts.get("outcomes", ()):
            match = _REPLY.fullmatch(outcome["upstream_text"])
            if match is None or outcome["earlier"] or match[1] < "400":
                continue
            name, code, enhanced, text = outcome["upstream"], int(match[1]), match[2] or "", match[3]
            if not is_read(name, code, enhanced, f"{enhanced} {text}".strip()):
                counts[UnreadReply(name, code, enhanced, _VARYING.sub("#", text)[:_LONGEST])] += 1
    return counts.most_common(most)
