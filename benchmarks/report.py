"""RESULTS.md from the raw figures. Pure: the files are written by the caller."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.bench import Section
from benchmarks.figures import Claim, table
from benchmarks.machine import MOMENT

METHOD = """\
`make bench` wrote this page, the plots and `results/figures.json` with every raw figure; `python -m benchmarks --only NAME`
measures one group again and writes the page anew.

**How.** All systems run on the same cores of one machine, side by side, in front of one sink (Postfix's smtp-sink), and are fed
by one generator (Postfix's smtp-source). A round measures the ceiling and then each system in turn; a figure is the median of its
rounds, and ratios are taken within a round before the median. The ceiling is `openssl speed -multi` with RSA-2048: what the cores
sign when they do nothing else. A rate counts from the first MAIL until the sink has the last message, so a queue in between gains
nothing. Each system was seen to sign, and its signature verified, before it was measured. Generator and sink share the cores with
what they measure, and there is no network, so ratios say more than rates.

**The relay** has everything on: policy, a one-click link for each recipient, RSA-2048, suppression, four limits, durable
records, the ledger; its Redis, where it has one, syncs every write to the same disk. **Postfix** queues on that disk and asks
OpenDKIM over a unix socket. **Haraka** forwards while its client waits and writes nothing to the disk. **A bare hop** is no
product: with the relay's interpreter, event loop and OpenSSL it signs and forwards over kept connections, and does nothing else
- no policy, no link, no limit, no store, no record. Between it and the ceiling lies the price of SMTP, generator and sink
included; between it and the relay all that the relay is for.

The interpreter matters: `make bench PYTHON=/usr/bin/python3 VENV=.venv/distribution` measures with the distribution's own, as
the peers are the distribution's own; another `python3` may be built without optimisation. So does the processor: AVX-512 IFMA
makes signing 2.4 times as fast and nothing else, so that the same work is a smaller share of the ceiling."""

QUICK = "> This was `--quick`: one short round. It shows that everything runs and says little about speed."


def page(machine: Mapping[str, Any], sections: Sequence[Section], faults: Mapping[str, str], *, quick: bool) -> str:
    """The whole page."""
    claims = [claim for section in sections for claim in section.claims]
    held = sum(claim.holds for claim in claims)
    parts = [
        "# Results",
        *([QUICK] if quick else []),
        METHOD,
        "## What must hold",
        f"{held} of {len(claims)} lines hold.",
        table(["", "target", "measured", ""], [claim.row() for claim in claims]) if claims else "",
        *(f"**Not measured: {name}.** {why}" for name, why in faults.items()),
        "## The machine",
        table(["", ""], [[name, str(value)] for name, value in machine.items()]).replace("---:", "---"),
        table(["", *MOMENT], [[section.title, *section.measured] for section in sections]).replace("---:", "---"),
        "The load is one minute's average before the group began; other work spoils every figure.",
    ]
    for section in sections:
        parts += [f"## {section.title}", *(f"![{section.title}](results/{name})" for name in section.plots), section.text]
    return "\n\n".join(part for part in parts if part) + "\n"


def not_held(sections: Sequence[Section]) -> list[Claim]:
    """The promises that these figures do not keep."""
    return [claim for section in sections for claim in section.claims if not claim.holds]
