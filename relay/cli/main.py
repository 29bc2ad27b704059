"""The `relay` command: every group of verbs, hung on one root."""

import sys

import click

from relay import __version__
from relay.cli.backup import backup, restore
from relay.cli.check import check
from relay.cli.demo import demo
from relay.cli.dkim import dkim
from relay.cli.evidence import evidence
from relay.cli.explain import explain
from relay.cli.keys import keys
from relay.cli.output import CONFIGURATION, UNREACHABLE, warn
from relay.cli.policy import policy, schema
from relay.cli.records import records
from relay.cli.serve import serve
from relay.cli.suppress import suppress
from relay.cli.users import users
from relay.errors import ConfigurationError, RecordsUnavailable, StoreUnavailable


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", metavar="FILE", help="config.toml; else $RELAY_CONFIG, ./config.toml, /etc/relay/config.toml")
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language of texts / 语言; else $RELAY_LANG, $LANG")
@click.version_option(__version__, prog_name="relay")
def root(config: str | None, lang: str | None) -> None:
    """Enforce e-mail compliance at the moment of sending / 在发送的一刻执行邮件合规规则."""


for command in (serve, check, demo, explain, policy, schema, suppress, dkim, records, evidence, users, keys, backup, restore):
    root.add_command(command)


def main() -> None:
    """Run the command; faults that people can mend end it with a text and the exit code that scripts rely on."""
    try:
        root(prog_name="relay")
    except ConfigurationError as fault:
        warn(str(fault), str(fault))
        sys.exit(CONFIGURATION)
    except (StoreUnavailable, RecordsUnavailable) as fault:
        warn(f"无法使用存储：{fault}", f"The store cannot be used: {fault}")
        sys.exit(UNREACHABLE)


if __name__ == "__main__":
    main()
