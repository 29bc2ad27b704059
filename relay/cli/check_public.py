"""`relay check --public`: what recipients reach from outside, tried from here.

A nonce is answered by a relay with our keys only, so a page that answers
everything with 200 is not taken for one.  The canary is a token that stands
for nobody: its POST goes the whole way of a one-click refusal and suppresses
nothing.
"""

import os
import secrets
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO, NamedTuple

from relay.cli.findings import Findings
from relay.config import Config
from relay.doors.http import PAIR
from relay.doors.refusals import proof
from relay.ids import new_id
from relay.keys import Keys, load_keys
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import PolicySet
from relay.render.token import UnsubscribeToken, make_token, stream_number
from relay.service.policies import read_folder

_SECONDS = 10.0
_OCTETS = 64 * 1024
_AGENT = "compliance-relay check"


class _Answer(NamedTuple):
    status: int
    text: str


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """RFC 8058 section 3.1: the POST of a receiver follows no redirect, so neither do we."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def look(config: Config, findings: Findings) -> None:
    """Add what was found. Raises ConfigurationError."""
    policy, keys = parse_policies(read_folder(config.policies_path)), load_keys(config.keys_path)
    try_out(config, policy, keys, findings)


def try_out(config: Config, policy: PolicySet, keys: Keys, findings: Findings) -> None:
    """The same for a policy set and keys that are at hand."""
    base = config.unsubscribe.base_url
    if base:
        _try_nonce(base, keys, findings)
        _try_canary(base, keys, findings)
    else:
        findings.later(
            "config.toml [unsubscribe]：没有 base_url，无从检查退订网址；见 docs/unsubscribe-url.zh.md",
            "config.toml [unsubscribe]: there is no base_url to check; see docs/unsubscribe-url.md",
        )
    if url := policy.organisation.privacy_url:
        _try_privacy(url, findings)


def _try_nonce(base: str, keys: Keys, findings: Findings) -> None:
    nonce = secrets.token_hex(16)
    url = f"{base}/u/check"
    answer = _fetch(f"{url}?nonce={nonce}")
    _judge(url, answer, proof(keys, nonce), ("由本中继应答", "is answered by this relay"), findings)


def _try_canary(base: str, keys: Keys, findings: Findings) -> None:
    token = UnsubscribeToken(
        recipient_digest=bytes(16),
        address_generation=keys.addresses.keys[0].number,
        stream_number=stream_number(""),
        whole_organisation=False,
        submission_id=new_id(time.time(), os.urandom(10)),
        is_canary=True,
    )
    text = make_token(token, keys.tokens.keys[0])
    answer = _fetch(f"{base}/u/{text}", "=".join(PAIR).encode())
    said = ("一键退订可用（试投的令牌不代表任何人）", "takes one-click refusals (the token tried stands for nobody)")
    _judge(f"POST {base}/u/...", answer, proof(keys, text), said, findings)


def _judge(what: str, answer: _Answer, expected: str, said: tuple[str, str], findings: Findings) -> None:
    if answer.status == 200 and answer.text.strip() == expected:
        findings.good(f"{what} {said[0]}", f"{what} {said[1]}")
    elif not answer.status:
        findings.wrong(
            f"config.toml [unsubscribe]：{what}：无法访问：{answer.text}",
            f"config.toml [unsubscribe]: {what}: cannot be reached: {answer.text}",
        )
    elif answer.status == 200:
        findings.wrong(
            f"config.toml [http]：{what}：应答的不是本中继（或它的密钥不同）：请把 /u/ 转发到 public_address",
            f"config.toml [http]: {what}: something answers that is not this relay (or it has other keys): forward /u/"
            " to public_address",
        )
    elif 300 <= answer.status < 400:
        findings.wrong(
            f"config.toml [unsubscribe]：{what}：它重定向（{answer.status}），而收件方不跟随：请把最终网址写入 base_url",
            f"config.toml [unsubscribe]: {what}: it redirects ({answer.status}), and receivers do not follow:"
            " write the final address into base_url",
        )
    else:
        findings.wrong(
            f"config.toml [unsubscribe]：{what}：HTTP {answer.status}：请检查反向代理或隧道，见 docs/unsubscribe-url.zh.md",
            f"config.toml [unsubscribe]: {what}: HTTP {answer.status}: look after proxy or tunnel, see docs/unsubscribe-url.md",
        )


def _try_privacy(url: str, findings: Findings) -> None:
    answer = _fetch(url, follow=True)
    if answer.status == 200:
        findings.good(f"隐私政策 {url}", f"privacy notice {url}")
    else:
        why = f"HTTP {answer.status}" if answer.status else answer.text
        findings.later(
            f"policies/organisation.toml：privacy_url：{url} 打不开（{why}）",
            f"policies/organisation.toml: privacy_url: {url} cannot be opened ({why})",
        )


def _fetch(url: str, body: bytes | None = None, *, follow: bool = False) -> _Answer:
    """GET, or POST with a body; status 0 and the reason when there is no answer."""
    opener = urllib.request.build_opener(*(() if follow else (_NoRedirect,)))
    request = urllib.request.Request(url, body, {"User-Agent": _AGENT})  # noqa: S310 - the configuration takes https (http on this machine)
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            return _Answer(answer.status, answer.read(_OCTETS).decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        with error:
            return _Answer(error.code, "")
    except urllib.error.URLError as error:
        return _Answer(0, str(error.reason))
    except (OSError, HTTPException) as error:
        return _Answer(0, str(error) or type(error).__name__)
