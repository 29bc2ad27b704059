"""6. Rules: what 10, 100 and 1,000 rules of an admin cost each message."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Figures, Section
from benchmarks.cost import cpu_per_message, growth_rows
from benchmarks.figures import Claim, slope, table
from benchmarks.load import Sink
from benchmarks.peers.relay import BenchRelay
from benchmarks.plot import lines

COUNTS = [10, 100, 1000]
NOTE = """\
CPU of the workers for a 4 KB message, signature and all, by the number of rules in the stream: half are ready checks (`size`,
`domains`, `subject-words`), half CEL expressions, of which some name the recipient and some only the message. None objects."""
KINDS = [
    'check = "size"\nabove_mb = {number}',
    'when = "message.recipients > {number}000"',
    'check = "domains"\ndeny = ["domain-{number}.example"]',
    "when = \"recipient.domain == 'domain-{number}.example'\"",
    'check = "subject-words"\nwords = ["forbidden-{number}"]',
    "when = \"message.subject.contains('forbidden-{number}')\"",
]


def the_rules(count: int) -> str:
    """So many rules as an admin would write them."""
    texts = 'text = "Refused"\ntext_zh = "拒绝"\n'
    return "".join(f'\n[[rule]]\nid = "rule-{n}"\n{KINDS[n % len(KINDS)].format(number=n + 100)}\n{texts}' for n in range(count))


def measure(bench: Bench) -> Figures:
    """CPU for each message, interleaved."""
    with bench.folder() as folder, Sink(folder) as sink, ExitStack() as stack:
        relays = {count: stack.enter_context(_relay(folder / str(count), sink, count)) for count in COUNTS}
        found: dict[str, Any] = {str(count): [] for count in COUNTS}
        for _ in range(bench.rounds):
            for count, relay in relays.items():
                found[str(count)].append(cpu_per_message(relay, sink, 60 if bench.quick else 600))
        bench.say(str(found))
    return {"cpu": found}


def _relay(folder: Path, sink: Sink, count: int) -> BenchRelay:
    return BenchRelay(folder, sink.port, workers=1, rules=the_rules(count))


def describe(figures: Figures) -> Section:
    """The cost by the number of rules."""
    points, rows = growth_rows(figures["cpu"])
    claims = (Claim("Cost of a message by its rules: power of growth (1 is linear)", 1.1, slope(points), at_most=True),)
    text = f"{NOTE}\n\n{table(['rules', 'CPU of a message', 'times the first'], rows)}"
    plot = lines("Cost of a message by the number of rules", "rules", "CPU, microseconds", {"message": points})
    return Section("Rules", text, {"rules.svg": plot}, claims)
