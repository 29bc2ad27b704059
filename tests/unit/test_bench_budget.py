"""Which group of the budget a sampled stack belongs to, and what comes of a profile."""

import ast
import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmarks import budget
from benchmarks.budget import costliest, summary, table
from benchmarks.stacks import (
    BUDGET,
    FORWARD,
    GROUP_OF,
    JUDGE,
    LOOP,
    ON_BEHALF,
    RECEIVE,
    RECORDS,
    RECORDS_ALONE,
    RENDER,
    RSA,
    RSA_GOAL,
    STORE,
    Profile,
    fold,
    is_known,
)
from tests.support.service import ROOT

MAIN = "thread (7): MainThread;_run_module_as_main (<frozen runpy>:198);main (/srv/relay/relay/service/worker.py:196);"
RUN = MAIN + "Runner.run (/usr/lib/python3.11/asyncio/runners.py:118)"
SUBMIT = f"{RUN};Line.submit (/srv/relay/relay/pipeline.py:181)"
SIGN = f"{SUBMIT};Renderer.copy (/srv/relay/relay/consignment.py:92);Begun.finish (/srv/relay/relay/render/signing.py:108)"


def groups(raw, cpu=None, total=1.0):
    return dict(fold(raw, "/srv/relay", cpu or {7: 1.0}, total).groups)


@pytest.mark.parametrize(
    ("stack", "group"),
    [
        (RUN, LOOP),
        (f"{RUN};SMTP._handle (/srv/relay/.venv/lib/python3.11/site-packages/aiosmtpd/smtp.py:600)", RECEIVE),
        (f"{RUN};Session.line (/srv/relay/relay/doors/smtp/wire.py:9);sub (/usr/lib/python3.11/re/__init__.py:185)", RECEIVE),
        (SUBMIT, JUDGE),
        (f"{SUBMIT};judge.<locals>.<listcomp> (/srv/relay/relay/judging.py:54)", JUDGE),
        (
            f"{SUBMIT};<lambda> (/srv/relay/relay/policy/rules/rule.py:5);Message.subject (/srv/relay/relay/mail/message.py:70)",
            JUDGE,
        ),
        (
            f"{RUN};Session.line (/srv/relay/relay/doors/smtp/wire.py:9);parse (/srv/relay/relay/mail/mailbox.py:70)",
            RECEIVE,
        ),
        (SIGN, RENDER),
        (f"{SIGN};Signer.signature (/srv/relay/relay/render/signing.py:85)", RSA),
        (f"{SUBMIT};SQLiteStore.clear (/srv/relay/relay/stores/sqlite/store.py:186)", STORE),
        (
            f"{RUN};run (/srv/.venv/lib/python3.11/site-packages/redis/asyncio/client.py:9);write (/usr/lib/python3.11/a.py:1)",
            STORE,
        ),
        (f"{SUBMIT};Dispatcher.send (/srv/relay/relay/dispatch.py:94);Wire.write (/srv/relay/relay/upstream/wire.py:9)", FORWARD),
        (
            f"{SUBMIT};Records.append (/srv/relay/relay/records/append.py:10);submit (/srv/relay/relay/commits.py:9)",
            RECORDS,
        ),
        (f"{SUBMIT};event (/srv/relay/relay/telemetry.py:8);Logger.handle (/usr/lib/python3.11/logging/__init__.py:1)", RECORDS),
        (f"{SUBMIT};__create_fn__.<locals>.__init__ (<string>:2)", JUDGE),
        (f"{RUN};Commits._write (/srv/relay/relay/commits.py:211)", STORE),
        (
            "thread (7): records writer;run (/usr/lib/python3.11/threading.py:9);_work (/srv/relay/relay/commits.py:1)",
            RECORDS,
        ),
        (
            "thread (7): relay.db writer;run (/usr/lib/python3.11/threading.py:9);_work (/srv/relay/relay/commits.py:1)",
            STORE,
        ),
        ("thread (7)", LOOP),
    ],
)
def test_a_stack_belongs_to_the_innermost_room_that_has_a_group(stack, group):
    assert {name for name, seconds in groups(f"{stack} 3\n").items() if seconds} == {group}


def test_with_redis_only_the_records_commit():
    raw = f"{RUN};Commits._write (/srv/relay/relay/commits.py:211) 3\n"
    assert fold(raw, "/srv/relay", {7: 1.0}, 1.0, RECORDS_ALONE).groups[RECORDS] == 1.0


def test_the_samples_of_a_thread_share_what_the_kernel_says_it_used():
    """One that waits for a processor is sampled often and uses little."""
    raw = f"{SUBMIT} 30\n{SIGN} 10\nthread (8): records writer;_work (/srv/relay/relay/commits.py:1) 160\n"
    found = groups(raw, {7: 2.0, 8: 0.5}, total=2.5)
    assert found[JUDGE] == 1.5
    assert found[RENDER] == 0.5
    assert found[RECORDS] == 0.5
    assert not found[LOOP]


def test_what_no_sample_saw_is_unaccounted():
    assert groups(f"{SUBMIT} 1\n", {7: 2.0, 8: 0.25}, total=3.0) == {JUDGE: 2.0, LOOP: 1.0}
    assert groups("", {7: 2.0}, total=2.0) == {LOOP: 2.0}


def test_profiles_of_workers_add_up():
    one = fold(f"{SUBMIT} 1\n", "/srv/relay", {7: 2.0}, 2.0)
    both = one + fold(f"{SUBMIT} 2\n{SIGN} 2\n", "/srv/relay", {7: 4.0}, 4.0)
    assert both.groups == {JUDGE: 4.0, RENDER: 2.0}
    assert both.samples == 5
    assert costliest(both, 1000, 1) == [{"us": 4000.0, "group": JUDGE, "function": "relay.pipeline:Line.submit"}]


@pytest.mark.parametrize("line", ["Line.submit (/srv/relay/relay/pipeline.py:181) 3", f"{SUBMIT} many", "thread (7): MainThread"])
def test_another_format_is_no_profile(line):
    with pytest.raises(ValueError, match="not a stack"):
        fold(line, "/srv/relay", {}, 1.0)


def test_every_module_of_an_smtp_worker_belongs_to_a_group():
    command = [sys.executable, "-c", "import sys, relay.service.worker; print(*sys.modules)"]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd=ROOT).stdout.split()
    ours = [name for name in loaded if name.startswith("relay.")]
    assert "relay.pipeline" in ours
    assert [name for name in ours if not is_known(name)] == []


@pytest.mark.parametrize("name", [*GROUP_OF, *ON_BEHALF])
def test_the_tables_name_what_is_there(name):
    module, _, function = name.partition(":")
    if module == "thread":
        assert f'"{function.removesuffix(" writer")}"' in (ROOT / "relay/records/append.py").read_text("utf-8")
        return
    found = importlib.util.find_spec(module)
    assert found is not None
    if function:
        assert function in _functions(Path(found.origin or ""))


def _functions(path: Path) -> set[str]:
    """Qualified names of functions and methods."""
    tree = ast.parse(path.read_text("utf-8"))
    methods = {
        f"{node.name}.{inner.name}"
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for inner in node.body
        if isinstance(inner, ast.FunctionDef)
    }
    return methods | {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_each_group_stands_beside_its_budget():
    """1,000 messages: 0.2 s received, 0.8 s signed, where a signature takes 1 ms."""
    profile = Profile()
    profile.groups.update({RECEIVE: 0.2, RSA: 0.8})
    told = summary(profile, 1000, 0.001)
    assert [row["group"] for row in told["groups"]] == list(BUDGET)
    received = told["groups"][0]
    assert received == {
        "group": RECEIVE,
        "us": pytest.approx(200),
        "budget_us": 100,
        "signatures": pytest.approx(0.2),
        "budget_signatures": pytest.approx(100 / 750),
    }
    assert told["worker_us"] == pytest.approx(1000)
    assert told["rsa_share"] == pytest.approx(0.8)
    lines = table(told | {"waited": 0.1, "python": "3.11", "store": "sqlite", "workers": 2, "load": "4 KB"}).splitlines()
    assert lines[1].split() == ["receive", "200", "100", "0.20", "0.13"]
    assert f"RSA's share of the workers' CPU: 80%, goal {RSA_GOAL:.0%}" in lines
    assert not [line for line in lines if "busy" in line]


def test_a_busy_machine_is_said():
    profile = fold(f"{SUBMIT} 200\n", "/srv/relay", {7: 1.0}, 1.0)
    told = summary(profile, 1000, 0.001) | {"waited": 0.5, "python": "3.11", "store": "sqlite", "workers": 2, "load": "4 KB"}
    assert "The machine is busy: ready to run, the workers waited 50% of the time for a processor" in table(told).splitlines()


def test_the_kernel_says_what_a_process_has_used():
    before = budget.Used.of(os.getpid())
    sum(range(10_000_000))
    after = budget.Used.of(os.getpid())
    assert after.used[threading.get_native_id()] > before.used[threading.get_native_id()]
    assert after.process >= before.process > 0
    assert after.waited.keys() == after.used.keys()


@pytest.mark.parametrize("said", ["Error: Permission Denied: Try running again", "Error: EPERM: Operation not permitted"])
def test_a_machine_that_forbids_tracing_is_told_the_remedy(said):
    assert "kernel.yama.ptrace_scope" in budget.refusal(said)
    assert said in budget.refusal(said)
    assert "ptrace_scope" not in budget.refusal("Error: Failed to find python version from target process")


def test_a_missing_py_spy_is_told_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(SystemExit, match=r"pip install --editable '\.\[bench\]'"), budget.Sampled(1, tmp_path):
        pass
