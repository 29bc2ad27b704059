"""A disk that is full ends a command with one line that names the file, and leaves nothing half written behind."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from relay.cli.lists import opened_faults, written
from relay.stores.tables import Fault
from tests.support.beginner import write_answers
from tests.support.needs import full_device

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def full():
    return full_device()


def relay(*arguments, most_octets=None, **streams):
    """The command in a process of its own; with `most_octets`, no file that it writes may be larger."""

    def bound():
        if most_octets:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_octets, resource.RLIM_INFINITY))

    command = [sys.executable, "-m", "relay", "--lang", "en", *map(str, arguments)]
    return subprocess.run(command, preexec_fn=bound, text=True, stderr=subprocess.PIPE, check=False, timeout=60, **streams)


@pytest.mark.parametrize("arguments", [["schema", "stream"], ["schema", "stream", "--lang", "zh"], ["--help"], ["--version"]])
def test_output_that_finds_no_room(arguments, full):
    with full.open("w") as output:
        done = relay(*arguments, stdout=output)
    said = "无法写入 标准输出" if "zh" in arguments else "The output cannot be written"
    assert (done.returncode, done.stderr) == (1, f"{said}{'：' if 'zh' in arguments else ': '}No space left on device\n")


def test_a_list_goes_into_a_device_and_never_into_its_place(tmp_path, full):
    link = tmp_path / "list.csv"
    link.symlink_to(full)
    with pytest.raises(OSError, match="No space left") as fault, written(link) as file:
        file.write(b"address\n")
    assert fault.value.filename == str(link)
    assert link.readlink() == full
    assert full.is_char_device()
    assert list(tmp_path.iterdir()) == [link]


def test_a_list_takes_the_place_of_what_a_link_points_to(tmp_path):
    link, target = tmp_path / "list.csv", tmp_path / "of-today.csv"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with written(link) as file:
        file.write(b"new")
    assert (link.readlink(), target.read_bytes()) == (target, b"new")


def test_bad_rows_that_find_no_room(tmp_path, full):
    rejects = tmp_path / "rejects.csv"
    rejects.symlink_to(full)
    with pytest.raises(OSError, match="No space left") as fault, opened_faults(rejects) as faults:
        faults.add(Fault(1, "nobody", "不是邮箱", "no mailbox"))
    assert fault.value.filename == str(rejects)


def test_init_keeps_neither_half_a_file_nor_an_empty_folder(tmp_path):
    answers = write_answers(tmp_path)
    done = relay("init", "--answers", answers, most_octets=1000, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 3
    assert done.stderr.startswith(f"{tmp_path}/policies/")
    assert done.stderr.endswith(" cannot be written: File too large; nothing was kept.\n")
    assert list(tmp_path.iterdir()) == [answers]
