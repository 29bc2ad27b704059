"""What `relay check` and `relay policy apply` say of a set's packs and of the organisation's own facts."""

from datetime import datetime
from time import time

from relay.cli.findings import Findings
from relay.policy.sets.policy_set import PolicySet
from relay.policy.telling.show import examples_left
from relay.policy.telling.standing import expired, expiring, wants


def look(policy: PolicySet, findings: Findings) -> None:
    """Note expired packs and missing facts as wrong, packs that expire soon and examples as still to do."""
    look_at_packs(policy, findings)
    for place in examples_left(policy):
        findings.later(f"policies/{place}：仍是示例内容，请改为真实信息", f"policies/{place}: still an example, write your own")


def look_at_packs(policy: PolicySet, findings: Findings) -> None:
    """The same without the examples."""
    today = datetime.fromtimestamp(time(), policy.zone).date()
    for name, sentence in expired(policy, today):
        findings.wrong(f"policies/packs/{name}.toml：{sentence.zh}", f"policies/packs/{name}.toml: {sentence.en}")
    for want in wants(policy):
        findings.wrong(f"policies/{want.sentence.zh}", f"policies/{want.sentence.en}")
    for name, sentence in expiring(policy, today):
        findings.later(f"policies/packs/{name}.toml：{sentence.zh}", f"policies/packs/{name}.toml: {sentence.en}")
