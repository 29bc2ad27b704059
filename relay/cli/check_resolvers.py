"""`relay check`: whom rules on recipients' domains have asked, and with --dns whether these servers answer."""

from relay.cli.findings import Findings
from relay.config import Config
from relay.errors import ConfigurationError
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.sets.parse import parse_policies
from relay.resolver import Resolver
from relay.service.policies import read_folder


def look(config: Config, findings: Findings) -> None:
    """Say whether somebody is asked, and which rules of the organisation's own say nothing because nobody is."""
    if config.dns.servers:
        named = ", ".join(config.dns.servers)
        findings.good(f"收件域名向 {named} 查询", f"recipients' domains are looked up at {named}")
        return
    for rule in _own_rules(config):
        findings.later(
            f"{rule}：config.toml 的 [dns] 没有 servers，此规则不生效：写明解析服务器，或删除该规则",
            f"{rule}: [dns] of config.toml names no servers, so this rule says nothing: name resolvers, or take the rule out",
        )


def _own_rules(config: Config) -> list[str]:
    """Rules that somebody here wrote; those of the base pack stand in every set, and are for whoever has a resolver."""
    try:
        policy = parse_policies(read_folder(config.policies_path))
    except ConfigurationError:
        return []  # `inspect` says what is wrong with it
    asking = {rule.name for stream in policy.streams for rule in stream.asking_dns}
    return sorted(name for name in asking if not name.startswith("base/"))


async def ask(config: Config, findings: Findings) -> None:
    """Have each server say something of a domain of ours. Raises ConfigurationError where the machine has none."""
    domain = config.dkim[0].domain if config.dkim else config.hostname
    for server in config.dns.servers:
        said = await Resolver(config.dns.model_copy(update={"servers": (server,)})).look_up(domain)
        if said.mail is DomainMail.UNKNOWN:
            findings.unreachable += 1
            findings.wrong(
                f"config.toml [dns] servers：{server} 没有应答，邮件会被暂缓（451 4.4.3）：请检查地址与防火墙",
                f"config.toml [dns] servers: {server} does not answer, mail will have to wait (451 4.4.3): check address and"
                " firewall",
            )
        else:
            findings.good(f"解析服务器 {server} 有应答", f"the resolver {server} answers")
