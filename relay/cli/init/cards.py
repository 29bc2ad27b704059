"""What `relay init` tells its reader when the files are there: DNS records, mail clients, the way in from the internet.

Each card is plain text, made to be copied from a terminal or a file.
"""

from relay.cli.dkim import zone_line
from relay.cli.init.answers import Answers
from relay.cli.init.files import AUTHORITY, CERTIFICATE, CERTIFICATE_KEY, Plan
from relay.cli.output import text
from relay.hosts import split_host_port
from relay.render.signing import dns_record

_WIDTH = 78


def cards(answers: Answers, planned: Plan, *, private_ca: bool) -> str:
    """All three, with what belongs to the certificate and to a missing public address."""
    parts = [
        _card(text("1. 在 DNS 中发布", "1. Publish in DNS"), _dns(answers, planned)),
        _card(text("2. 在邮件客户端中填写", "2. Type into the mail clients"), _clients(answers, private_ca=private_ca)),
        _card(text("3. 退订网址", "3. The unsubscribe address"), _public(answers, planned)),
    ]
    if private_ca:
        parts.append(_card(text("让电脑信任证书", "Make the PCs trust the certificate"), trust(answers.host)))
    return "\n".join(parts)


def _card(title: str, lines: list[str]) -> str:
    return "\n".join([f"── {title} ".ljust(_WIDTH, "─"), "", *lines, ""])


def _dns(answers: Answers, planned: Plan) -> list[str]:
    name, chunks = dns_record(planned.signer)
    include = answers.profile.spf_include
    spf = (
        f"v=spf1 include:{include} ~all" if include else text("（向服务商询问其 SPF 记录）", "(ask your provider for its record)")
    )
    return [
        text("DKIM：证明邮件由您签名", "DKIM: shows that you signed the mail"),
        f"  {text('名称', 'name')}:  {name}",
        f"  {text('类型', 'type')}:  TXT",
        f"  {text('值', 'value')}: {''.join(chunks)}",
        text("  或在区域文件中：", "  or in a zone file:"),
        f"  {zone_line(planned.signer)}",
        "",
        text("SPF：哪些服务器可以用您的域名发信", "SPF: which servers may send for your domain"),
        f"  {text('名称', 'name')}:  {answers.domain}",
        f"  {text('类型', 'type')}:  TXT",
        f"  {text('值', 'value')}: {spf}",
        text(
            "  已有 SPF 记录时，只在其中加入 include，不要再建第二条：两条等于没有。",
            "  Where there is an SPF record, add the include to it; two records count as none.",
        ),
        "",
        text("DMARC：收件方如何对待冒用您域名的邮件", "DMARC: what receivers do with mail that only pretends to be yours"),
        f"  {text('名称', 'name')}:  _dmarc.{answers.domain}",
        f"  {text('类型', 'type')}:  TXT",
        f"  {text('值', 'value')}: v=DMARC1; p=none",
        "",
        text("发布后核对：relay check --dns", "Once they are published: relay check --dns"),
    ]


def _clients(answers: Answers, *, private_ca: bool) -> list[str]:
    security = "STARTTLS" if answers.port == 587 else "SSL/TLS"
    secret = text("密码（授权码）", "password (授权码, client password)")
    unchanged = text("不变", "as it is")
    host = answers.host.strip("[]")
    trusting = f'cafile="{AUTHORITY}"' if private_ca else ""
    return [
        text(
            "只改发信服务器（SMTP）；账号、授权码和收信服务器都不变。",
            "Only the outgoing server (SMTP) changes; account, 授权码 and incoming server stay.",
        ),
        "",
        f"  {text('发信服务器', 'outgoing server')}: {host}",
        f"  {text('端口', 'port')}: {answers.port}",
        f"  {text('加密', 'encryption')}: {security}",
        f"  {text('用户名', 'user name')}: {answers.login}",
        f"  {secret}: {unchanged}",
        f"  {text('收信服务器', 'incoming server')}: {unchanged}",
        "",
        f"  Foxmail       {text('账号管理 → 服务器 → 发件服务器', 'account settings → server → outgoing (SMTP)')}",
        f"  网易邮箱大师  {text('设置 → 账号 → 服务器 → 发件服务器', 'settings → account → server → outgoing (SMTP)')}",
        f"  Outlook       {text('账户设置 → 服务器设置 → 待发邮件', 'account settings → server settings → outgoing mail')}",
        f"  Thunderbird   {text('账户设置 → 发件服务器（SMTP） → 编辑', 'account settings → outgoing server (SMTP) → edit')}",
        "  Python",
        "    import smtplib, ssl",
        *_smtplib(answers, host, trusting),
        "",
        text(
            "各客户端的说明（含“已发送”副本）：源码中的 docs/clients.zh.md",
            "More on each, and on copies of sent mail: docs/clients.md of the sources",
        ),
    ]


def _smtplib(answers: Answers, host: str, trusting: str) -> list[str]:
    context = f"ssl.create_default_context({trusting})"
    login = f'    server.login("{answers.login}", password)'
    if answers.port == 587:
        return [f'    server = smtplib.SMTP("{host}", 587)', f"    server.starttls(context={context})", login]
    return [f'    server = smtplib.SMTP_SSL("{host}", {answers.port}, context={context})', login]


def _public(answers: Answers, planned: Plan) -> list[str]:
    address = planned.config.http.public_address
    if not answers.public_url:
        return no_public_address(answers)
    prefix = answers.public_url.partition("://")[2].partition("/")[2]
    path = f"/{prefix}/u/" if prefix else "/u/"
    host = split_host_port(answers.public_url.partition("://")[2].partition("/")[0] + ":443")[0]
    return [
        text(
            f"收件人会打开 {answers.public_url}/u/…。在网站的 nginx 中（网站与中继在同一台机器时）：",
            f"Recipients open {answers.public_url}/u/...; in the nginx of that site, where it runs on this machine:",
        ),
        "",
        f"  location {path} {{",
        f"      proxy_pass http://{address}/u/;",
        "      proxy_set_header Host $host;",
        "      proxy_set_header X-Forwarded-For $remote_addr;",
        "      access_log off;        # " + text("网址里有收件人的退订令牌", "the URL holds a recipient's token"),
        "  }",
        "",
        text(
            "网站在另一台机器上时，从中继所在机器建立隧道：", "Where the site runs on another machine, open a tunnel from here:"
        ),
        "",
        f"  ssh -N -R {address}:{address} relay-tunnel@{host}",
        "",
        text(
            "没有网站，或要让隧道常驻：源码中的 docs/unsubscribe-url.zh.md。完成后核对：relay check --public",
            "No site, or a tunnel that stays: docs/unsubscribe-url.md of the sources. Once it is open: relay check --public",
        ),
    ]


def no_public_address(answers: Answers) -> list[str]:
    """What it means that recipients cannot reach the relay."""
    price = text(
        "Gmail 要求每天向其用户发信超过 5000 封的发件人提供一键退订（RFC 8058），只有邮件退订不算；\n"
        "Yahoo 接受邮件退订，但建议一键退订。达不到要求的群发邮件会被限速、进垃圾箱或被拒收。\n"
        "要补上网址：源码中的 docs/unsubscribe-url.zh.md，然后写入 [unsubscribe] base_url，并把 one_click 改为 true。",
        "Gmail asks one-click unsubscribing (RFC 8058) of whoever sends its users more than 5,000 mails a day, and a\n"
        "mailto does not count; Yahoo takes a mailto and recommends one-click. Bulk mail without is slowed down, filed\n"
        "as spam or refused. To add an address: docs/unsubscribe-url.md of the sources, then set\n"
        "[unsubscribe] base_url, and one_click = true in the stream.",
    )
    way = _by_mail(answers) if answers.reads_mailbox else _by_hand()
    return [*way.split("\n"), "", *price.split("\n")]


def _by_mail(answers: Answers) -> str:
    return text(
        "没有填写网址，所以 newsletter 邮件流是 one_click = false、mailto = true：\n"
        f"收件人点“退订”时，邮件软件会写一封退订邮件，寄到 {answers.account}；\n"
        f"中继从 {answers.imap} 读取它，从下一位收件人起生效，退信和投诉也从那里读取。\n"
        "relay check 会试着登录这个邮箱。说明见 源码中的 docs/mailbox.zh.md",
        "There is none, so the newsletter has one_click = false and mailto = true: people unsubscribe by a mail that\n"
        f"their program writes to {answers.account}. The relay reads it at {answers.imap};\n"
        "it binds from the next recipient on. Bounces and complaints are read there too.\n"
        "relay check tries that login. More: docs/mailbox.md of the sources",
    )


def _by_hand() -> str:
    return text(
        "没有填写网址，中继也不读取邮箱，所以 newsletter 邮件流是 one_click = false、mailto = false：\n"
        "邮件没有退订按钮。正文里要写明如何拒收，拒收邮箱里的请求要由人用 relay suppress add 录入。\n"
        "要改为邮件退订：给 [[account]] 写上 imap，并把 mailto 改为 true，见 源码中的 docs/mailbox.zh.md",
        "There is none, and the relay reads no mailbox, so the newsletter has one_click = false and mailto = false:\n"
        "its mails have no unsubscribe button. Say in their text how to refuse; somebody enters what reaches the\n"
        "refusal mailbox with relay suppress add. For unsubscribing by mail give an [[account]] imap, and set\n"
        "mailto = true in the stream: docs/mailbox.md of the sources",
    )


def certificate_remedy() -> str:
    """What to do when there is no certificate for the listener yet."""
    return text(
        f"证书：把 PEM 格式的证书和私钥放到 {CERTIFICATE} 和 {CERTIFICATE_KEY}，或运行 relay tls private-ca 自建。",
        f"Certificate: put one and its key (PEM) into {CERTIFICATE} and {CERTIFICATE_KEY}, or make one: relay tls private-ca",
    )


def trust(host: str) -> list[str]:
    """How the PCs of an office come to trust the private authority."""
    return [
        text(
            f"把 {AUTHORITY}（不含私钥）发到每台电脑。它只能为 {host} 作证，不能冒充别的网站；tls/ca.key 绝不外发。",
            f"Give {AUTHORITY} (no secret is in it) to every PC. It can vouch for {host} alone; never give away tls/ca.key.",
        ),
        "",
        text("  Windows（管理员）", "  Windows (as administrator)"),
        "    certutil -addstore -f Root ca.crt",
        text("  Windows 域（组策略）", "  Windows domain (group policy)"),
        text(
            "    计算机配置 → 策略 → Windows 设置 → 安全设置 → 公钥策略 → 受信任的根证书颁发机构 → 导入",
            "    Computer Configuration → Policies → Windows Settings → Security Settings → Public Key Policies\n"
            "    → Trusted Root Certification Authorities → Import",
        ),
        "  macOS",
        "    sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ca.crt",
        "  Debian, Ubuntu",
        "    sudo cp ca.crt /usr/local/share/ca-certificates/relay-ca.crt && sudo update-ca-certificates",
        text(
            "  Thunderbird：设置 → 隐私与安全 → 证书 → 查看证书 → 证书颁发机构 → 导入（它用自己的证书库）",
            "  Thunderbird: Settings → Privacy & Security → Certificates → View Certificates → Authorities → Import",
        ),
        text(
            "  Outlook 使用系统的证书库；Foxmail、网易邮箱大师：先导入系统，再重新启动客户端",
            "  Outlook asks the system; for Foxmail and 网易邮箱大师 import it into the system, then start them again",
        ),
        '  Python: ssl.create_default_context(cafile="ca.crt")',
    ]
