"""`relay check`: does each upstream answer, with the TLS that is asked for?

Tried as the service does before its first mail, up to EHLO; nobody logs in.
"""

from relay.cli.findings import Findings
from relay.config import Config
from relay.errors import ConfigurationError
from relay.upstream.delivery import Upstreams
from relay.upstream.profile import load_profiles


async def look(config: Config, findings: Findings) -> None:
    """Try every upstream, all at the same time, and add what was found."""
    try:
        upstreams = Upstreams(config, load_profiles(), b"")
    except ConfigurationError:
        return  # what is wrong with the tables is looked at elsewhere
    _look_at_logins(config, findings)
    faults = await upstreams.probe()
    for upstream in config.upstream:
        fault, where = faults[upstream.name], ", ".join(upstream.addresses)
        if not fault:
            findings.good(f"上游 {upstream.name}（{where}）：有应答", f"upstream {upstream.name} ({where}): answers")
            continue
        findings.unreachable += 1
        findings.wrong(
            f'config.toml [[upstream]] "{upstream.name}"：无法连接，邮件发不出去：{fault}；'
            "请检查 addresses、tls、ca_file 和防火墙",
            f'config.toml [[upstream]] "{upstream.name}": cannot be reached, so no mail leaves by it: {fault}; look after'
            " addresses, tls, ca_file and the firewall",
        )


def _look_at_logins(config: Config, findings: Findings) -> None:
    """With `mode = "upstream"` the upstream judges every password: one that is never asked for any can judge none."""
    for listen in config.listen if config.auth.mode == "upstream" else ():
        upstream = config.upstream_named(listen.upstream)
        if listen.auth == "required" and upstream.auth == "none":
            findings.wrong(
                f'config.toml [[listen]] "{listen.name}"：上游 {upstream.name} 的 auth = "none"，无法核对密码，登录都会得到 454；'
                '请为它写 auth = "account"，或在 [auth] 中写 mode = "users"（用 `relay users add` 添加用户）',
                f'config.toml [[listen]] "{listen.name}": upstream {upstream.name} has auth = "none" and can judge no password,'
                ' so every login gets 454; give it auth = "account", or write mode = "users" in [auth] (`relay users add`)',
            )
