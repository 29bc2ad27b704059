"""The house stands as it was drawn: floors, purity, one room per library, files of one sitting."""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "relay"

FLOORS = [
    {"commits", "data_files", "errors", "files", "ids", "lazy", "loglines", "tasks", "templates", "writeahead"},
    {"mail"},
    {"toml", "hosts", "logins"},
    {"policy"},
    {"render"},
    {"keys", "accounts", "config", "telemetry"},
    {"stores"},
    {"records"},
    {"upstream"},
    {"answer", "failing"},
    {"resolver", "domains"},
    {"bounced", "gathering", "judging", "reading", "routing", "consignment", "tries", "warming", "adapting"},
    {"clearing", "crossing", "holding"},
    {"dispatch"},
    {"refusing", "reporting", "probing"},
    {"overtaken", "pipeline"},
    {"carrying"},
    {"explain", "linting", "rejudging"},
    {"doors"},
    {"service"},
    {"cli"},
]
"""From the ground up. A room may import its own floor and those below."""

PURE = {"mail", "policy", "render", "answer", "ids", "lazy", "logins"}
LOOK_UP = {"folding.py", "terms.py"}
"""Modules of pure rooms that look things up in files which come with the code: no message waits for one of them."""

IMPURE_MODULES = {
    "asyncio", "logging", "os", "pathlib", "random", "secrets", "socket", "sqlite3", "subprocess", "tempfile", "threading",
    "time", "uuid",
}  # fmt: skip

LIBRARIES = {
    "aiosmtpd": {"doors"},
    "aiosmtplib": {"upstream"},
    "dkim": {"cli"},  # `relay dkim verify` reads signatures that are not ours
    "dns": {"cli", "resolver"},
    "redis": {"stores"},
    "prometheus_client": {"telemetry", "service"},
    "cel": {"policy"},
    "argon2": {"doors"},
    "aiohttp": {"doors"},
    "click": {"cli"},
    "rich": {"cli"},
    "jinja2": {"templates"},
    "pydantic": {"toml", "hosts", "accounts", "config", "policy", "upstream", "doors"},
    "cryptography": {"keys", "render", "cli", "upstream"},
    "idna": {"mail"},
    "phonenumbers": {"policy"},
    "stdnum": {"policy"},
    "selectolax": {"mail"},
    "ahocorasick_rs": {"policy"},
    "uvloop": {"service"},
}
"""Which rooms may import a third-party library."""

MODULES = sorted(PACKAGE.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    """What the module says; read once for all tests."""
    return ast.parse(path.read_text("utf-8"))


def room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def floor(name: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if name in rooms:
            return number
    raise AssertionError(f"relay/{name} stands on no floor; add it to FLOORS where it belongs")


def drawn(package: Path) -> list[set[str]]:
    """The rooms as the docstring of a package names them: a line for each floor, in their order."""
    drawing = ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8"))) or ""
    lines = drawing.split("\n\n")[2].splitlines()
    return [{name.strip() for part in line.split(";") for name in part.partition(":")[0].split(",")} for line in lines]


def test_the_map_of_the_rooms_names_each_on_its_floor():
    assert drawn(PACKAGE) == FLOORS


NAMES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES}


@cache
def imports(path: Path) -> list[tuple[str, ast.stmt]]:
    """Every imported module of the file; `from package import module` is read as package.module."""
    found: list[tuple[str, ast.stmt]] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            inner = [f"{module}.{alias.name}" for alias in node.names]
            found += [(name if name in NAMES else module, node) for name in inner]
    return found


def test_no_room_imports_a_higher_floor():
    faults = []
    for path in MODULES:
        if room(path) in ("__init__", "__main__"):
            continue
        for module, _ in imports(path):
            parts = module.split(".")
            if parts[0] == "relay" and len(parts) > 1 and parts[1] != "__version__" and floor(parts[1]) > floor(room(path)):
                faults.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not faults, "\n".join(faults)


def test_modules_import_each_other_without_cycles():
    graph = {name: {m for m, _ in imports(path) if m in NAMES and m != name} for name, path in NAMES.items()}
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for imported in graph[name]:
                walk(imported, (*trail, name))
            done.add(name)

    for name in graph:
        walk(name, ())


def test_nothing_is_imported_inside_a_function():
    faults = []
    for path in MODULES:
        for function in ast.walk(tree(path)):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                faults += [
                    f"{path.relative_to(ROOT)}:{node.lineno}"
                    for node in ast.walk(function)
                    if isinstance(node, ast.Import | ast.ImportFrom)
                ]
    assert not faults, "\n".join(faults)


def test_pure_rooms_touch_nothing_outside_themselves():
    faults = []
    for path in MODULES:
        if room(path) not in PURE:
            continue
        faults += [
            f"{path.relative_to(ROOT)} imports {module}" for module, _ in imports(path) if module.split(".")[0] in IMPURE_MODULES
        ]
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Await | ast.AsyncFunctionDef):
                faults.append(f"{path.relative_to(ROOT)}:{node.lineno} awaits")
            if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today") and not _is_setting(node.value):
                faults.append(f"{path.relative_to(ROOT)}:{node.lineno} reads the clock")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
                faults.append(f"{path.relative_to(ROOT)}:{node.lineno} opens a file")
    assert not faults, "\n".join(faults)


def test_pure_rooms_read_no_file_but_what_comes_with_the_code():
    reading = {path.name for path in MODULES if room(path) in PURE and "relay.data_files" in (name for name, _ in imports(path))}
    assert reading == LOOK_UP
    other = {path.name for path in MODULES if room(path) in PURE and "importlib.resources" in (name for name, _ in imports(path))}
    assert not other


def _is_setting(value: ast.expr) -> bool:
    """Whether it is what a check is told: `setting.today` is a date that somebody else read."""
    return isinstance(value, ast.Name) and value.id == "setting"


def test_each_library_stays_in_its_rooms():
    faults = []
    for path in MODULES:
        for module, _ in imports(path):
            top = module.split(".")[0]
            if top in LIBRARIES and room(path) not in LIBRARIES[top]:
                faults.append(f"{path.relative_to(ROOT)} imports {module}")
            if top not in LIBRARIES and top not in ("relay", "orjson") and top not in sys.stdlib_module_names:
                faults.append(f"{path.relative_to(ROOT)} imports {module}, which has no room yet")
    assert not faults, "\n".join(faults)


def test_records_judge_nobody():
    """They tell what was decided: who decides again stands above them."""
    deciding = {
        (path.name, module)
        for path in MODULES
        if room(path) == "records"
        for module, _ in imports(path)
        if module.startswith(("relay.policy.deciding.decide", "relay.policy.checks"))
    }
    assert not deciding


_LOGGING = {"event", "debug", "info", "warning", "error", "exception", "critical", "log"}


_POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{\d*,?\d*\})\+")


def test_no_pattern_repeats_a_group_possessively():
    """Before Python 3.11.5 (Debian 12 has 3.11.2) what such a group has in it is matched wrongly; atomic groups are right."""
    assert not re.search(_POSSESSIVE_GROUP, r"(?>(?:ab?c)+)[a-z]++")
    assert re.search(_POSSESSIVE_GROUP, r"(?:ab?c)++")
    texts = ((path, one.value) for path in MODULES for one in ast.walk(tree(path)) if isinstance(one, ast.Constant))
    found = [f"{path}: {text!r}" for path, text in texts if isinstance(text, str | bytes) and _possessive(text)]
    assert found == []


def _possessive(text: str | bytes) -> bool:
    return bool(_POSSESSIVE_GROUP.search(text if isinstance(text, str) else text.decode("latin-1")))


def test_no_log_line_quotes_an_exception_that_is_not_ours():
    """Its text may hold an address: `loglines.fault_text` and `exc_info` say what may be said of it."""
    faults = []
    for path in MODULES:
        for handler in ast.walk(tree(path)):
            if not isinstance(handler, ast.ExceptHandler) or not handler.name:
                continue
            if not isinstance(handler.type, ast.Name) or handler.type.id not in ("Exception", "BaseException"):
                continue
            calls = [node for node in ast.walk(handler) if isinstance(node, ast.Call)]
            logged = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in _LOGGING]
            values = [
                value for call in logged for value in [*call.args, *(k.value for k in call.keywords if k.arg != "exc_info")]
            ]
            faults += [f"{path.relative_to(ROOT)}:{value.lineno}" for value in values if _quotes(value, handler.name)]
    assert not faults, "\n".join(faults)


def _quotes(value: ast.expr, fault: str) -> bool:
    """Whether the value is the exception or its text: itself, `str(fault)`, an f-string with it."""
    if isinstance(value, ast.Call) and not (isinstance(value.func, ast.Name) and value.func.id in ("str", "repr")):
        return False
    if isinstance(value, ast.Attribute):
        return False
    return any(isinstance(node, ast.Name) and node.id == fault for node in ast.walk(value))


def test_one_module_words_an_exception():
    """One formatter writes every line of the log, and nobody prints a traceback."""
    makers = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        for node in ast.walk(tree(path))
        if (
            isinstance(node, ast.Attribute)
            and node.attr in ("Formatter", "StreamHandler", "FileHandler", "format_exc", "print_exc")
        )
        or (isinstance(node, ast.Import) and any(alias.name == "traceback" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "traceback")
    }
    assert makers == {"loglines.py"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_one_sitting(path: Path):
    assert len(path.read_text("utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_says_what_it_is_for(path: Path):
    assert ast.get_docstring(tree(path))


def test_the_top_level_is_what_users_were_promised():
    for name in ("relay", "policies", "config.example.toml", "systemd", "pyproject.toml", "tests"):
        assert (ROOT / name).exists(), name
