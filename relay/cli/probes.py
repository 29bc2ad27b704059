"""What the last probe of each upstream found, kept in data_dir for `relay check`."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from relay.cli.canary_view import Probe
from relay.cli.findings import Findings
from relay.cli.output import counted
from relay.config import Config
from relay.files import write_private
from relay.hosts import is_local

FRESH_DAYS = 30
_FOLDER = "probes"


def keep_probe(data: Path, probe: Probe, addresses: Sequence[str]) -> None:
    """Write the result down, whole or not at all, in place of the one before. It holds no mailbox's address."""
    folder = data / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    document = asdict(probe) | {"addresses": list(addresses)}
    write_private(folder / f"{probe.upstream}.json", orjson.dumps(document, option=orjson.OPT_INDENT_2))


def look(config: Config, findings: Findings) -> None:
    """Name every upstream that was not probed, not lately, or not as it is configured now."""
    for upstream in config.upstream:
        if all(map(is_local, upstream.addresses)):
            continue
        command = f"relay upstream probe {upstream.name} --to ADDRESS"
        kept = _kept(config.data_path / _FOLDER / f"{upstream.name}.json")
        if kept is None or kept.get("addresses") != list(upstream.addresses):
            findings.later(
                f"上游 {upstream.name}：还没有探测过服务商会改动邮件的哪些部分：运行 {command}",
                f"upstream {upstream.name}: nobody has looked yet at what the provider changes in a mail: {command}",
            )
        elif (days := int((time.time() - kept["at"]) / 86400)) > FRESH_DAYS:
            findings.later(
                f"上游 {upstream.name}：上次探测在 {days} 天前，请再运行 {command}",
                f"upstream {upstream.name}: the last probe was {counted(days, 'day')} ago; run it again: {command}",
            )
        elif found := kept["findings"]:
            zh, en = found[0]
            findings.later(
                f"上游 {upstream.name}：上次探测有 {len(found)} 项发现（{zh}）：改正后再运行 {command}",
                f"upstream {upstream.name}: the last probe found {counted(len(found), 'thing')} ({en}); mend it, then {command}",
            )
        elif kept["survival"] is None:
            findings.later(
                f"上游 {upstream.name}：探测邮件已发出，但没有邮箱可以查看它：运行 {command} --mailbox ACCOUNT",
                f"upstream {upstream.name}: the canary left, but no mailbox was looked into: {command} --mailbox ACCOUNT",
            )
        else:
            findings.good(f"上游 {upstream.name}：邮件原样到达", f"upstream {upstream.name}: mail arrives as it left")


def _kept(path: Path) -> dict[str, Any] | None:
    """What is kept; a file that cannot be read, or was made by another version, is none."""
    try:
        document: Any = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    wanted = {"at", "addresses", "findings", "survival"}
    return document if isinstance(document, dict) and wanted <= document.keys() else None
