"""Where the CPU of a message goes: the budget's groups, from a profile of the real relay's SMTP workers.

    python -m benchmarks.budget [--messages 2000] [--store sqlite|redis] [--workers N] [--functions 10] [--json]

Messages of 4 KB go through the relay with everything on while py-spy samples its SMTP workers; /proc says how much CPU
each thread really used.  A signature is timed in the same run: machines differ, ratios to it hardly.  The workers have
half of the cores to themselves, unless --workers asks for more: whoever waits for a processor is sampled where it waits.
Needs Linux, Postfix's two programs, and py-spy: pip install --editable '.[bench]'
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

import relay
from benchmarks.load import Load, Sink, send
from benchmarks.peers.relay import BenchRelay
from benchmarks.processes import cpu_seconds
from benchmarks.stacks import BUDGET, ON_BEHALF, RECORDS_ALONE, RSA, RSA_GOAL, SIGNATURE, Profile, fold
from tests.support.redis_server import RedisServer

LOAD = Load()
WARM = 400  # connections, caches
ROOT = str(Path(relay.__file__).resolve().parents[1])
_SAMPLES_PER_SECOND = 100  # more would find threads that only wake up because they are sampled
_SIGNATURES = 100  # in one batch
_BUSY = 0.2  # of the time that threads were ready to run
_MISSING = "py-spy is missing; install it: .venv/bin/pip install --editable '.[bench]'"
_NOT_PERMITTED = """\
py-spy may not look into the relay's processes. Remedies: run this as root; or let users trace their own processes until the
next start, sysctl kernel.yama.ptrace_scope=0; in a container, start it with --cap-add SYS_PTRACE. It said:
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--store", choices=["sqlite", "redis"], default="sqlite")
    parser.add_argument("--workers", type=int, default=max(1, len(os.sched_getaffinity(0)) // 2))
    parser.add_argument("--functions", type=int, default=0, help="print so many of the costliest functions too")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    key = generate_private_key(65537, 2048)
    signatures = [signature_seconds(key) for _ in range(5)]
    profile, waited = measure(wanted.messages, wanted.store, wanted.workers)
    signatures += [signature_seconds(key) for _ in range(5)]
    told = summary(profile, wanted.messages, statistics.median(signatures))
    told |= {
        "waited": waited,
        "store": wanted.store,
        "workers": wanted.workers,
        "load": str(LOAD),
        "python": sys.version.split()[0],
    }
    if wanted.json:
        print(orjson.dumps(told | {"functions": costliest(profile, wanted.messages, wanted.functions)}).decode())
    else:
        print(table(told))
        for line in costliest(profile, wanted.messages, wanted.functions):
            print(f"{line['us']:8.1f} us  {line['group']:24} {line['function']}")


def measure(messages: int, store: str, workers: int) -> tuple[Profile, float]:
    """Send so many messages through a relay of its own.

    What its SMTP workers spent on them, and which share of the time they waited for a processor.
    """
    cores = sorted(os.sched_getaffinity(0))
    apart = len(cores) > workers
    with ExitStack() as stack:
        if apart:
            os.sched_setaffinity(0, cores[workers:])  # what is started below inherits it
            stack.callback(os.sched_setaffinity, 0, cores)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-bench-")))
        sink = stack.enter_context(Sink(folder))
        url = "sqlite"
        if store == "redis":
            redis = RedisServer(folder / "redis")
            redis.start()
            stack.callback(redis.stop)
            url = redis.url
        relay = stack.enter_context(BenchRelay(folder / "relay", sink.port, workers=workers, store=url))
        pids = [pid for pid in relay.worker_pids() if is_smtp_worker(pid)]
        if apart:
            for pid, core in zip(pids, cores, strict=False):
                move(pid, core)
        send(relay.port, WARM, LOAD)
        sampled = [stack.enter_context(Sampled(pid, folder)) for pid in pids]
        for one in sampled:
            one.begin()
        send(relay.port, messages, LOAD)
        for one in sampled:
            one.end()
        on_behalf = ON_BEHALF if store == "sqlite" else RECORDS_ALONE
        profile = sum((one.profile(on_behalf) for one in sampled), Profile())
        waited = sum(one.waited() for one in sampled)
        return profile, waited / (waited + profile.groups.total())


class Sampled:
    """A process that py-spy samples inside a `with`. Raises SystemExit with the remedy when it cannot."""

    def __init__(self, pid: int, folder: Path) -> None:
        self._pid = pid
        self._file = folder / f"{pid}.stacks"

    def __enter__(self) -> "Sampled":
        beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        program = shutil.which("py-spy", path=beside)
        if program is None:
            raise SystemExit(_MISSING)
        command = [program, "record", "--pid", str(self._pid), "--format", "raw", "--output", str(self._file)]
        command += ["--rate", str(_SAMPLES_PER_SECOND), "--threads", "--full-filenames"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = ""
        while "Sampling process" not in said:
            line = self._process.stdout.readline() if self._process.stdout else ""
            if not line:
                self._process.wait()
                raise SystemExit(refusal(said))
            said += line
        return self

    def begin(self) -> None:
        """From here on its CPU counts."""
        self._before = Used.of(self._pid)

    def end(self) -> None:
        """Up to here."""
        self._after = Used.of(self._pid)
        self._process.send_signal(signal.SIGINT)

    def profile(self, on_behalf: Mapping[str, str]) -> Profile:
        """Where the CPU between `begin` and `end` went."""
        said, _ = self._process.communicate(timeout=60)
        if not self._file.exists():
            raise SystemExit(f"py-spy wrote no stacks. It said:\n{said}")
        cpu = {thread: used - self._before.used.get(thread, 0.0) for thread, used in self._after.used.items()}
        total = self._after.process - self._before.process
        return fold(self._file.read_text("utf-8"), ROOT, cpu, total, on_behalf)

    def waited(self) -> float:
        """Seconds between `begin` and `end` in which a thread was ready to run and had no processor."""
        return sum(waited - self._before.waited.get(thread, 0.0) for thread, waited in self._after.waited.items())

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def refusal(said: str) -> str:
    """What to do when py-spy ends before it has begun."""
    if "permission denied" in said.lower() or "not permitted" in said.lower():
        return _NOT_PERMITTED + said
    return f"py-spy does not start. It said:\n{said}"


def is_smtp_worker(pid: int) -> bool:
    """Not the supervisor's other children."""
    return b"relay.service" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def move(pid: int, core: int) -> None:
    """Have all threads of a process run on one core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), [core])


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds of CPU until now: of the process, and of each of its threads with those that it waited for a processor."""

    process: float
    used: dict[int, float]
    waited: dict[int, float]

    @classmethod
    def of(cls, pid: int) -> "Used":
        """Ask the kernel (proc_pid_stat(5); Documentation/scheduler/sched-stats)."""
        threads = {}
        for task in Path(f"/proc/{pid}/task").iterdir():
            threads[int(task.name)] = [int(nanoseconds) / 1e9 for nanoseconds in (task / "schedstat").read_text().split()[:2]]
        used = {thread: seconds for thread, (seconds, _) in threads.items()}
        return cls(cpu_seconds([pid]), used, {thread: seconds for thread, (_, seconds) in threads.items()})


def signature_seconds(key: RSAPrivateKey) -> float:
    """CPU of one signature, made as the relay makes it."""
    digest, begun = bytes(32), time.thread_time()
    for _ in range(_SIGNATURES):
        key.sign(digest, PKCS1v15(), Prehashed(hashes.SHA256()))
    return (time.thread_time() - begun) / _SIGNATURES


def summary(profile: Profile, messages: int, signature: float) -> dict[str, Any]:
    """Each group beside its budget, in microseconds and in signatures."""
    total = profile.groups.total()
    groups = [
        {
            "group": group,
            "us": profile.groups[group] / messages * 1e6,
            "budget_us": budget,
            "signatures": profile.groups[group] / messages / signature,
            "budget_signatures": budget and budget / SIGNATURE,
        }
        for group, budget in BUDGET.items()
    ]
    return {
        "groups": groups,
        "worker_us": total / messages * 1e6,
        "signature_us": signature * 1e6,
        "rsa_share": profile.groups[RSA] / total,
        "messages": messages,
        "samples": profile.samples,
    }


def table(told: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [f"{'CPU per message and copy':26}{'us':>8}{'budget':>8}   {'signatures':>10}{'budget':>8}"]
    for row in told["groups"]:
        lines.append(f"{row['group']:26}{row['us']:8.0f}{_or_blank(row['budget_us'], '8.0f')}")
        lines[-1] += f"   {row['signatures']:10.2f}{_or_blank(row['budget_signatures'], '8.2f')}"
    total, signature = told["worker_us"], told["signature_us"]
    lines.append(f"{'workers, all':26}{total:8.0f}{'':8}   {total / signature:10.2f}")
    if told["waited"] > _BUSY:
        lines.append(f"The machine is busy: ready to run, the workers waited {told['waited']:.0%} of the time for a processor")
    workers = f"{told['workers']} worker{'' if told['workers'] == 1 else 's'}"
    known = 100 / max(1, told["samples"]) ** 0.5
    lines += [
        f"a signature: {signature:.0f} us (the budget reckons with {SIGNATURE})",
        f"RSA's share of the workers' CPU: {told['rsa_share']:.0%}, goal {RSA_GOAL:.0%}",
        f"{told['messages']} messages, {told['samples']} samples: shares are known to about {known:.1f} percentage points",
        f"Python {told['python']}, {told['store']}, {workers}, {told['load']}",
    ]
    return "\n".join(line.rstrip() for line in lines)


def costliest(profile: Profile, messages: int, count: int) -> list[dict[str, Any]]:
    """The functions in which most time was spent, C that they called included."""
    found = Counter(profile.functions).most_common(count)
    return [{"us": seconds / messages * 1e6, "group": group, "function": name} for (group, name), seconds in found]


def _or_blank(value: float | None, form: str) -> str:
    return " " * 8 if value is None else format(value, form)


if __name__ == "__main__":
    main()
