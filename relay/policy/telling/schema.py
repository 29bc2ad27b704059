"""JSON Schema of the kinds of policy file, for editors that complete and check TOML."""

from typing import Any

from pydantic import BaseModel

from relay.policy.checks import CHECKS
from relay.policy.rehearsing.rehearsal_file import CaseFile, CaseTable
from relay.policy.rules.organisation import Organisation
from relay.policy.sets.model import PackFile, StreamFile, WhenTable

KINDS: dict[str, type[BaseModel]] = {"organisation": Organisation, "stream": StreamFile, "pack": PackFile, "tests": CaseFile}


def schema(kind: str) -> dict[str, Any]:
    """Return the schema of a kind in `KINDS`. Raises KeyError."""
    document = KINDS[kind].model_json_schema()
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = f"compliance-relay {kind}"
    if "rule" in document["properties"]:
        document["properties"]["rule"]["items"] = {"anyOf": [_rule(name) for name in (*CHECKS, "")]}
    if "case" in document["properties"]:
        case = CaseTable.model_json_schema()
        document["$defs"] |= case.pop("$defs")
        document["properties"]["case"]["items"] = case
    return document


def _rule(check: str) -> dict[str, Any]:
    """The schema of a [[rule]] that runs this check; "" is one with `when`."""
    model = CHECKS[check].parameters if check else WhenTable
    rule = model.model_json_schema()
    if check:
        rule["properties"]["check"] = {"const": check, "description": f"{CHECKS[check].summary} / {CHECKS[check].summary_zh}"}
        rule["required"] = sorted({*rule["required"], "check"})
        rule["title"] = check
    else:
        del rule["properties"]["check"]
        rule["title"] = "when"
    return rule
