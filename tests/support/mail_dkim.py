"""Mail::DKIM, a DKIM verifier that shares no code with ours (Debian's package libmail-dkim-perl), without DNS."""

import json
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.render.signing import Signer, dns_record

_SCRIPT = Path(__file__).with_suffix(".pl")


@dataclass(frozen=True)
class Verified:
    """What Mail::DKIM says of one signature."""

    domain: str
    algorithm: str
    result: str  # "pass", "fail", "invalid"
    detail: str


def required_perl() -> str:
    """The path of a perl that has Mail::DKIM. Without one the test is skipped at home and fails in CI."""
    perl = shutil.which("perl")
    if perl is None or subprocess.run([perl, "-MMail::DKIM::Verifier", "-e", "1"], capture_output=True, check=False).returncode:
        reason = "Mail::DKIM is not installed; it is in Debian's package libmail-dkim-perl"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return perl


def dns_records(signers: Sequence[Signer]) -> dict[str, str]:
    """The TXT records of these keys, by name."""
    return {name: "".join(chunks) for name, chunks in map(dns_record, signers)}


def verify_all(messages: Sequence[bytes], records: Mapping[str, str]) -> list[list[Verified]]:
    """Verify all signatures of all messages in one run of perl, top signature first."""
    lines = [json.dumps({"keys": dict(records)}), *(json.dumps({"message": b64encode(message).decode()}) for message in messages)]
    run = subprocess.run(
        [required_perl(), str(_SCRIPT)], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=250, check=True
    )
    return [[Verified(*signature) for signature in json.loads(line)] for line in run.stdout.splitlines()]
