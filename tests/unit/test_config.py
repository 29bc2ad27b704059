"""config.toml: what is refused before anything starts."""

import re
import tomllib
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

from relay.config import Config, find_config, parse_config
from relay.errors import ConfigurationError

HEAD = """hostname = "relay.example.com"
[[upstream]]
name = "up"
addresses = ["127.0.0.1:25"]
[[listen]]
name = "lan"
address = "127.0.0.1:0"
tls = "none"
auth = "none"
"""


def trusting(networks, proxies="[]"):
    return parse_config(f"{HEAD}proxy_from = {proxies}\n[auth]\ntrusted_networks = {networks}\n".encode(), "config.toml", Path())


@pytest.mark.parametrize(
    "networks",
    [
        '["0.0.0.0/0"]',
        '["::/0"]',
        '["0.0.0.0/1", "128.0.0.0/1"]',
        '["128.0.0.0/1"]',
        '["192.0.2.0/24", "2000::/3"]',
        '["8.0.0.0/8", "9.0.0.0/8"]',
        '["2400::/16", "2401::/16"]',
        "[" + ", ".join(f'"{n}.0.0.0/8"' for n in range(256)) + "]",
    ],
)
def test_strangers_are_not_trusted(networks):
    with pytest.raises(ConfigurationError, match=r"trusted_networks.*open relay"):
        trusting(networks)
    with pytest.raises(ConfigurationError, match=r"proxy_from.*open relay"):
        trusting('["192.0.2.0/24"]', networks)


@pytest.mark.parametrize(
    "networks", ['["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]', '["fc00::/7", "fe80::/10"]', '["17.0.0.0/8", "2a01::/16"]']
)
def test_networks_that_name_somebody_are_trusted(networks):
    assert len(trusting(networks).auth.trusted_networks) == networks.count("/")


EXAMPLE = Path(__file__).resolve().parents[2] / "config.example.toml"


def example_tables():
    """Every key of the example with the value written there, commented out or not: {("listen", "name"): "..."}."""
    found, table = {}, ""
    for line in EXAMPLE.read_text("utf-8").splitlines():
        text = line.removeprefix("# ")
        if header := re.fullmatch(r"\[+([a-z.]+)\]+", text):
            table = header[1]
        elif key := re.fullmatch(r"([a-z_]+) = (.+)", text):
            found[table, key[1]] = (tomllib.loads(text)[key[1]], line.startswith("# "))
    return found


def model_tables():
    """Every key of the models: {("listen", "name"): its field}."""
    found = {}
    for name, field in Config.model_fields.items():
        model = table_model(field.annotation)
        if model is None and not field.exclude:
            found["", name] = field
        for key, inner in model.model_fields.items() if model else ():
            found[name, key] = inner
    return found


def table_model(annotation):
    inner = [one for one in typing.get_args(annotation) if one is not Ellipsis] or [annotation]
    return inner[0] if isinstance(inner[0], type) and issubclass(inner[0], BaseModel) else None


def test_the_example_has_every_key_and_no_other():
    assert set(example_tables()) == set(model_tables()) - {("auth", "senders")}
    assert "# [auth.senders]" in EXAMPLE.read_text("utf-8")  # a table of its own


def test_what_is_commented_out_in_the_example_is_the_default():
    """Uncommenting it changes nothing; [[account]], [[dkim]] and [[form]] only show how they are used."""
    table, lines = "", []
    for line in EXAMPLE.read_text("utf-8").splitlines():
        if header := re.fullmatch(r"(?:# )?\[+([a-z.]+)\]+", line):
            table = header[1]
        is_key = re.fullmatch(r"# [a-z_]+ = .+", line) and table not in ("account", "dkim", "form", "auth.senders")
        lines.append(line.removeprefix("# ") if is_key else line)
    uncommented = "\n".join(lines)
    assert uncommented.count("\n# ") < EXAMPLE.read_text("utf-8").count("\n# ") - 40
    assert parse_config(uncommented.encode(), "x", Path()) == parse_config(EXAMPLE.read_bytes(), "x", Path())
    for place, (_, is_comment) in example_tables().items():
        if place[0] not in ("account", "dkim", "form"):
            assert is_comment or model_tables()[place].is_required() or place[0] in ("tls", "upstream", "listen"), place


def test_the_example_can_be_used_as_it_is():
    config = parse_config(EXAMPLE.read_bytes(), "config.example.toml", Path("/etc/relay"))
    assert (config.data_path, config.policies_path) == (Path("/var/lib/relay"), Path("/etc/relay/policies"))
    uncommented = re.sub(r"(?m)^# (\[.*\]|[a-z_]+ = .*)$", r"\1", EXAMPLE.read_text("utf-8"))
    everything = uncommented.replace('users_file = ""', 'users_file = "users.toml"')
    for needed in ('sender = ""', 'base_url = ""'):  # [[form]] does not work without
        assert needed in everything
    everything = everything.replace('sender = ""', 'sender = "hello@example.com"')
    everything = everything.replace('base_url = ""', 'base_url = "https://www.example.com/mail"')
    assert len(parse_config(everything.encode(), "config.example.toml", Path()).dkim) == 1


def test_every_key_of_the_example_is_explained_above_it():
    lines = EXAMPLE.read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.fullmatch(r"(# )?[a-z_]+ = .+", line):
            above = [text for text in lines[max(0, number - 4) : number] if text.startswith("# ")]
            assert any(not re.fullmatch(r"# [a-z_]+ = .+", text) for text in above), line


def test_paths_start_from_the_folder_of_the_file(tmp_path):
    config = parse_config(EXAMPLE.read_bytes(), "config.example.toml", tmp_path)
    assert config.path("tls/relay.crt") == tmp_path / "tls/relay.crt"
    assert config.path("/etc/relay/tls") == Path("/etc/relay/tls")


def test_a_secret_that_systemd_hands_over_comes_first(tmp_path, monkeypatch):
    config = trusting('["192.0.2.0/24"]').model_copy(update={"folder": str(tmp_path)})
    assert config.secret("secrets/news") == tmp_path / "secrets" / "news"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "handed-over"))
    assert config.secret("secrets/news") == tmp_path / "secrets" / "news"
    (tmp_path / "handed-over").mkdir()
    (tmp_path / "handed-over" / "secrets_news").touch()
    assert config.secret("secrets/news") == tmp_path / "handed-over" / "secrets_news"
    assert config.secret("other/news") == tmp_path / "other" / "news"


def test_a_folder_in_the_place_of_the_file_is_told_so(tmp_path):
    with pytest.raises(
        ConfigurationError, match=f"^{tmp_path} is a folder; name the file in it, such as {tmp_path}/config.toml$"
    ):
        find_config(str(tmp_path))


def test_the_configuration_is_looked_for_in_its_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RELAY_CONFIG", raising=False)
    with pytest.raises(ConfigurationError, match=r"no configuration found \(tried config\.toml, /etc/relay/config\.toml\)"):
        find_config(None)
    (tmp_path / "config.toml").touch()
    assert find_config(None) == Path("config.toml")
    (tmp_path / "other.toml").touch()
    monkeypatch.setenv("RELAY_CONFIG", str(tmp_path / "other.toml"))
    assert find_config(None) == tmp_path / "other.toml"
    with pytest.raises(ConfigurationError, match=r"tried nowhere\.toml\)"):
        find_config("nowhere.toml")  # what was named is not replaced by something else


@pytest.mark.parametrize("name", ["outside/keys.toml", "outside/link/keys.toml", "link/keys.toml"])
def test_keys_of_sealed_passwords_lie_outside_data_dir_by_whatever_name(tmp_path, name):
    """A link into data_dir is data_dir; one that leads out of it is not."""
    (tmp_path / "data").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "link").symlink_to(tmp_path / "data")
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    head = HEAD.replace("\n", '\ndata_dir = "data"\n', 1).replace('auth = "none"\n', "")
    text = f'{head}[auth]\nheld_credentials = "sealed"\n[keys]\nfile = "{name}"\n'
    if name == "outside/link/keys.toml":
        with pytest.raises(ConfigurationError, match=r"auth\.held_credentials.*outside data_dir.*位于 data_dir 之外"):
            parse_config(text.encode(), "config.toml", tmp_path)
    else:
        assert parse_config(text.encode(), "config.toml", tmp_path).auth.held_credentials == "sealed"


def asking(dns):
    text = f'{HEAD}[auth]\ntrusted_networks = ["192.0.2.0/24"]\n[dns]\n{dns}\n'
    return parse_config(text.encode(), "config.toml", Path())


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("[]", ()),
        ('["system"]', ("system",)),
        ('["192.0.2.53"]', ("192.0.2.53:53",)),
        ('["192.0.2.53:5353", "2001:db8::53"]', ("192.0.2.53:5353", "[2001:db8::53]:53")),
        ('["[2001:db8::53]", "[2001:db8::53]:5353"]', ("[2001:db8::53]:53", "[2001:db8::53]:5353")),
    ],
)
def test_resolvers_are_addresses_or_those_of_the_machine(written, read):
    assert asking(f"servers = {written}").dns.servers == read


@pytest.mark.parametrize(
    ("dns", "expected"),
    [
        ('servers = ["dns.example.com"]', '"192.0.2.53:5353"'),
        ('servers = ["192.0.2.53:0"]', '"192.0.2.53:5353"'),
        ('servers = ["192.0.2.53:99999"]', '"192.0.2.53:5353"'),
        ('servers = ["192.0.2.300"]', '"192.0.2.53:5353"'),
        ('servers = ["[192.0.2.53"]', '"192.0.2.53:5353"'),
        ('servers = ["system", "192.0.2.53"]', "须单独填写"),
        ('timeout = "0s"', "timeout"),
        ('timeout = "1m"', "timeout"),
        ('server = "192.0.2.53"', "no such key"),
    ],
)
def test_what_is_no_resolver(dns, expected):
    with pytest.raises(ConfigurationError, match=expected):
        asking(dns)
