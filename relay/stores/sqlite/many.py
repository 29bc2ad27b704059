"""Questions about many digests, some of them in each statement."""

from collections.abc import Iterable, Iterator, Sequence

from relay.policy.suppressions.suppression import Digest

AT_ONCE = 200


def all_of(recipients: Iterable[Sequence[Digest]]) -> list[Digest]:
    """The digests of all recipients, each once."""
    return list({digest for generations in recipients for digest in generations})


def in_parts(digests: Sequence[Digest]) -> Iterator[tuple[str, Sequence[Digest]]]:
    """Some digests at a time, and the marks that stand for them in a statement."""
    for start in range(0, len(digests), AT_ONCE):
        part = digests[start : start + AT_ONCE]
        yield ",".join("?" * len(part)), part
