"""What a sampled profile of the SMTP workers says of the budget: pure, from py-spy's raw stacks to CPU seconds.

A sample belongs to the innermost frame whose module has a group in `GROUP_OF`.  What works on behalf of whoever calls it
(`ON_BEHALF`), the standard library and C belong to their caller.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

RECEIVE, JUDGE, RENDER, RSA = "receive", "judge", "render without RSA", "RSA"
STORE, FORWARD, RECORDS, LOOP = "store", "forward", "records, metrics, logs", "event loop, unaccounted"

BUDGET: Mapping[str, int | None] = {
    RECEIVE: 100, JUDGE: 60, RENDER: 80, RSA: None, STORE: 80, FORWARD: 80, RECORDS: 60, LOOP: None,
}  # fmt: skip
"""CPU microseconds for one message of 4 KB with one copy, where a signature takes `SIGNATURE`."""
SIGNATURE = 750
RSA_GOAL = 0.60
"""RSA's share of the workers' CPU."""

GROUP_OF: Mapping[str, str] = {
    "relay.doors": RECEIVE,
    "aiosmtpd": RECEIVE,
    "relay.pipeline": JUDGE,
    "relay.reading": JUDGE,
    "relay.domains": JUDGE,
    "relay.gathering": JUDGE,
    "relay.warming": JUDGE,
    "relay.overtaken": JUDGE,
    "relay.carrying.resender": JUDGE,
    "relay.tries": JUDGE,
    "relay.judging": JUDGE,
    "relay.routing": JUDGE,
    "relay.answer": JUDGE,
    "relay.failing": JUDGE,
    "relay.policy": JUDGE,
    "relay.consignment": RENDER,
    "relay.reporting": RENDER,
    "relay.render": RENDER,
    "relay.render.signing:Signer.signature": RSA,
    "relay.stores": STORE,
    "redis": STORE,
    "relay.holding": STORE,
    "relay.clearing": FORWARD,
    "relay.crossing": FORWARD,
    "relay.dispatch": FORWARD,
    "relay.adapting": FORWARD,
    "relay.carrying": FORWARD,
    "relay.upstream": FORWARD,
    "aiosmtplib": FORWARD,
    "relay.records": RECORDS,
    "relay.bounced": RECORDS,
    "relay.refusing": RECORDS,
    "relay.telemetry": RECORDS,
    "relay.loglines": RECORDS,
    "relay.service.metrics": RECORDS,
}
"""The longest name that fits: a package, a module, or a function as `module:qualified name`."""

ON_BEHALF: Mapping[str, str] = {
    "relay.mail": LOOP,
    "relay.keys": LOOP,
    "relay.accounts": LOOP,
    "relay.config": LOOP,
    "relay.data_files": LOOP,
    "relay.errors": LOOP,
    "relay.hosts": LOOP,
    "relay.logins": LOOP,
    "relay.lazy": LOOP,
    "relay.ids": LOOP,
    "relay.tasks": LOOP,
    "relay.toml": LOOP,
    "relay.service": LOOP,
    "relay.commits": STORE,
    "relay.files": STORE,
    "relay.writeahead": STORE,
    "thread:records writer": RECORDS,
}
"""What belongs to its caller; without one, in a callback of the event loop or a thread of its own, to this group.

The outermost of a stack decides then; a thread is outside all its frames, as the function with its name in the module `thread`.
"""
RECORDS_ALONE: Mapping[str, str] = {**ON_BEHALF, "relay.commits": RECORDS, "relay.files": RECORDS, "relay.writeahead": RECORDS}
"""`ON_BEHALF` where the store is not a file of this node, and only the records commit."""

_FRAME = re.compile(r"(?P<function>.*?) \((?P<path>[^()]*?)(?::\d+)?\)")
_THREAD = re.compile(r"thread \((?P<id>\d+)\):? ?(?P<name>.*)")
_PATH = re.compile(r"(?:.*/site-packages/|.*/lib/python3\.\d+/)?(?P<module>.*?)(?:/__init__)?\.py")


@dataclass(frozen=True, slots=True)
class Frame:
    """A function on a stack."""

    module: str
    function: str

    def __str__(self) -> str:
        return f"{self.module}:{self.function}"


@dataclass(frozen=True, slots=True)
class Profile:
    """CPU seconds by group and by (group, innermost function), and how many samples of the busiest thread tell it."""

    groups: Counter[str] = field(default_factory=Counter)
    functions: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: int = 0

    def __add__(self, other: "Profile") -> "Profile":
        return Profile(self.groups + other.groups, self.functions + other.functions, self.samples + other.samples)


def fold(raw: str, root: str, cpu: Mapping[int, float], total: float, on_behalf: Mapping[str, str] = ON_BEHALF) -> Profile:
    """Share out the CPU seconds of one process.

    `raw` are lines of `py-spy record --format raw --threads --full-filenames`, `root` the folder that holds the package
    `relay`, `cpu` the seconds of each thread while it was sampled, `total` those of the process.  A thread's samples
    share its own seconds, so that one that only waits for a processor while it is sampled counts for no more.

    Raises ValueError for a line that is not one of those.
    """
    samples: dict[int, Counter[tuple[str, str]]] = {}
    for thread, stack, count in _stacks(raw, root):
        samples.setdefault(thread, Counter())[group_of(stack, on_behalf), _innermost(stack)] += count
    groups: Counter[str] = Counter()
    functions: Counter[tuple[str, str]] = Counter()
    for thread, counted in samples.items():
        for (group, function), count in counted.items():
            seconds = cpu.get(thread, 0.0) * count / counted.total()
            groups[group] += seconds  # type: ignore[assignment]
            functions[group, function] += seconds  # type: ignore[assignment]
    groups[LOOP] += max(0.0, total - groups.total())  # type: ignore[assignment]
    busiest = max(samples, key=lambda thread: cpu.get(thread, 0.0), default=None)
    return Profile(groups, functions, samples[busiest].total() if busiest is not None else 0)


def group_of(stack: Sequence[Frame], on_behalf: Mapping[str, str]) -> str:
    """The group that a stack's time belongs to; the outermost frame comes first."""
    for frame in reversed(stack):
        if (group := _longest(GROUP_OF, frame)) is not None:
            return group
    otherwise = (_longest(on_behalf, frame) for frame in stack)
    return next((group for group in otherwise if group not in (None, LOOP)), LOOP)


def is_known(module: str) -> bool:
    """Whether the tables say where the module's time belongs."""
    frame = Frame(module, "")
    return _longest(GROUP_OF, frame) is not None or _longest(ON_BEHALF, frame) is not None


def _longest(table: Mapping[str, str], frame: Frame) -> str | None:
    if (found := table.get(str(frame))) is not None:
        return found
    name = frame.module
    while name:
        if (found := table.get(name)) is not None:
            return found
        name = name.rpartition(".")[0]
    return None


def _innermost(stack: Sequence[Frame]) -> str:
    """The last frame that has a file: not the generated code of a dataclass."""
    return next((str(frame) for frame in reversed(stack) if not frame.module.startswith("<")), "")


def _stacks(raw: str, root: str) -> Iterator[tuple[int, list[Frame], int]]:
    """Thread, stack and samples of each line."""
    for line in raw.splitlines():
        text, _, count = line.rpartition(" ")
        first, *rest = text.split(";")
        thread = _THREAD.match(first)
        if thread is None or not count.isdecimal():
            raise ValueError(f"not a stack with its thread and number of samples: {line[:200]}")
        frames = (_FRAME.fullmatch(frame) for frame in rest)
        stack = [Frame(_module(found["path"], root), found["function"]) for found in frames if found]
        yield int(thread["id"]), [Frame("thread", thread["name"]), *stack], int(count)


def _module(path: str, root: str) -> str:
    """The module of a file: ours below `root`, else below site-packages or the standard library."""
    found = _PATH.fullmatch(path.removeprefix(f"{root}/"))
    return found["module"].strip("/").replace("/", ".") if found else path
