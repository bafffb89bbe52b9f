"""The reference names everything that there is, and nothing that there is not."""

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import httpx
import msgspec
import pytest
import typer.main
from typer.core import TyperGroup

import mainstem
from bank.access import WHO_MAY
from bank.settings import BankSettings
from mainstem import cli, errors, messages
from mainstem.query import problems
from mainstem.query.problems import OWN_REFUSALS
from mainstem.query.web import OPERATIONS_RULES
from mainstem.settings import PREFIX, Secret, Settings
from mainstem.sqlite import connect
from mainstem.testing.simulation import Fault
from tests.commands import commands_of
from tests.docs.pages import DOCS, ROOT, code, name_of, pages, prose, rows_under
from tests.process import BankProcess, bank_process

REFERENCE = DOCS / "reference"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BankProcess]:
    folder: Path = tmp_path_factory.mktemp("reference") / "data"
    with bank_process(folder, layers="true") as process:
        yield process


@pytest.fixture
def client(bank: BankProcess) -> Iterator[httpx.Client]:
    with bank.client() as client:
        yield client


def _only(cell: str) -> str:
    (found,) = code(cell)
    return found


def _bounds(kind: type[msgspec.Struct], name: str) -> str | None:
    """The limits that a setting's type names, as the reference writes them."""
    hint = get_type_hints(kind, include_extras=True)[name]
    if get_origin(hint) is not Annotated:
        return None
    (meta,) = (each for each in get_args(hint) if isinstance(each, msgspec.Meta))
    if meta.pattern is not None:
        return ", ".join(meta.pattern.strip("^()$").split("|"))
    return f"{meta.ge} to {meta.le}"


@pytest.mark.parametrize(
    ("section", "prefix", "defaults"),
    [("Settings", PREFIX, Settings()), ("The bank's own", "BANK_", BankSettings())],
)
def test_every_setting_with_its_default_and_limits(section: str, prefix: str, defaults: msgspec.Struct) -> None:
    rows = {_only(name): (_only(default), possible) for name, default, possible, _ in rows_under(_SETTINGS, section)}
    names = defaults.__struct_fields__
    assert list(rows) == [prefix + name.upper() for name in names]
    for name in names:
        default, possible = rows[prefix + name.upper()]
        assert default == str(getattr(defaults, name)), name
        assert possible == (_bounds(type(defaults), name) or possible), name


_SETTINGS = REFERENCE / "settings.md"
_COMMANDS = REFERENCE / "command-line.md"
_HTTP = REFERENCE / "http.md"


def test_every_command_and_option() -> None:
    group = typer.main.get_command(cli.app)
    assert isinstance(group, TyperGroup)
    text = _COMMANDS.read_text()
    commands = dict(commands_of(group))
    assert re.findall(r"^## mainstem (.+)$", text, re.MULTILINE) == list(commands)
    own = {_only(row[0]) for row in rows_under(_COMMANDS, "Command line") if row[0].startswith("`")}
    assert own == {option for each in group.params for option in each.opts} | {"--help"}
    for name, command in commands.items():
        section = text.split(f"## mainstem {name}\n")[1].split("\n## ")[0]
        known = {option for each in command.params for option in each.opts if option.startswith("--")}
        assert set(re.findall(r"^\| `(--[a-z-]+)` \|", section, re.MULTILINE)) == known, name


def _raised(error: type[errors.MainstemError]) -> errors.MainstemError:
    if error is errors.VersionConflict:
        return errors.VersionConflict("a-1", 1, 2)
    if error is errors.TagConflict:
        return errors.TagConflict("red", 1, 2)
    if error is errors.Refused:
        return errors.Refused("the-reason", "the text")
    return errors.TryAgain("full", 1) if error is errors.TryAgain else error("text")


def test_every_error_with_its_parent_and_its_status() -> None:
    rows = {_only(row[0]): row[1:3] for row in rows_under(REFERENCE / "errors.md", "Errors")}
    assert set(rows) == set(errors.__all__)
    for name, (parent, status) in rows.items():
        error = getattr(errors, name)
        assert _only(parent) == error.__mro__[1].__name__, name
        problem = problems.problem_of(_raised(error), {})
        kind = problem.type.rpartition(":")[2]
        assert status == ("409 and its reason" if error is errors.Refused else f"{problem.status} `{kind}`"), name


def _constants(path: Path, called: str, *, argument: int | str) -> set[str]:
    """The constant texts that calls of that name have as an argument, by its number or its name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == called:
            named = {word.arg: word.value for word in node.keywords}
            value = named.get(argument) if isinstance(argument, str) else node.args[argument]
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found.add(value.value)
    return found


def test_every_type_of_problem() -> None:
    rows = {_only(row[0]): row[1] for row in rows_under(_HTTP, "Problems")}
    sources = [*(ROOT / "src").rglob("*.py")]
    own = {name for path in sources for name in _constants(path, "InvalidInput", argument="reason")}
    known = {name: str(status) for status, name in problems._STATUS.values()}
    known |= {name: str(status) for status, name in problems._HTTP_TYPES.items()}
    assert own <= set(known)
    assert rows == known | {"internal-error": "500", "http-error": "any"}


def test_every_reason_of_the_banks_refusals() -> None:
    rows = {_only(row[0]): int(row[1]) for row in rows_under(_HTTP, "Refusals of the bank")}
    files = [
        ROOT / "src/bank" / name for name in ("card.py", "customer.py", "overview.py", "transfer.py", "service.py")
    ]
    assert set(rows) == {reason for path in files for reason in _constants(path, "Refused", argument=0)}
    source = ast.parse((ROOT / "src/bank/http.py").read_text())
    (statuses,) = (
        ast.literal_eval(node.value)
        for node in source.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REFUSALS"
    )
    assert rows == {reason: statuses.get(reason, 409) for reason in rows}


def test_every_reason_of_the_refusals_of_processes() -> None:
    rows = {_only(row[0]): int(row[1]) for row in rows_under(_HTTP, "Refusals of processes")}
    files = ("process/deciding.py", "process/desk.py", "command/handler.py")
    own = {reason for name in files for reason in _constants(ROOT / "src/mainstem" / name, "Refused", argument=0)}
    assert set(rows) == own | {"transfer-exists"}
    assert rows == {reason: OWN_REFUSALS.get(reason, 409) for reason in rows}


def test_every_reason_of_the_refusals_of_listeners() -> None:
    rows = {_only(row[0]): int(row[1]) for row in rows_under(_HTTP, "Refusals of listeners")}
    assert set(rows) == _constants(ROOT / "src/mainstem/listener/desk.py", "Refused", argument=0)
    assert rows == {reason: OWN_REFUSALS.get(reason, 409) for reason in rows}


def test_every_reason_of_the_refusals_of_layers() -> None:
    rows = {_only(row[0]): int(row[1]) for row in rows_under(_HTTP, "Refusals of layers")}
    files = [ROOT / "src/mainstem/layers" / name for name in ("declared.py", "desk.py")]
    assert set(rows) == {reason for path in files for reason in _constants(path, "Refused", argument=0)}
    assert rows == {reason: OWN_REFUSALS.get(reason, 409) for reason in rows}


def test_every_reason_of_the_refusals_of_rebuilds() -> None:
    rows = {_only(row[0]): int(row[1]) for row in rows_under(_HTTP, "Refusals of rebuilds")}
    files = [ROOT / "src/mainstem/rebuild" / name for name in ("desk.py", "rebuild.py")]
    assert set(rows) == {reason for path in files for reason in _constants(path, "Refused", argument=0)}
    assert rows == {reason: OWN_REFUSALS.get(reason, 409) for reason in rows}


def _routes() -> dict[str, set[str]]:
    return {_only(row[0]): set(code(row[1])) for row in rows_under(_HTTP, "Routes")}


def test_every_route_with_its_parameters(client: httpx.Client) -> None:
    document = client.get("/openapi/openapi.json").raise_for_status().json()
    known = {f"{method.upper()} {path}": o for path, each in document["paths"].items() for method, o in each.items()}
    routes = _routes()
    assert set(routes) == set(known)
    for route, operation in known.items():
        if route.startswith("GET "):
            query = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
            assert routes[route] | ({"position"} if route in WHO_MAY else set()) == query, route


def test_every_route_says_who_may_call_it() -> None:
    told = {_only(row[0]): row[3] for row in rows_under(_HTTP, "Routes")}
    rules = {name: rule for name, rule in {**OPERATIONS_RULES, **WHO_MAY}.items() if "/openapi" not in name}
    assert {name: code(cell) for name, cell in told.items()} == {n: list(r.sufficient) for n, r in rules.items()}
    assert {name for name, cell in told.items() if cell == "everybody"} == {n for n, r in rules.items() if r.public}
    assert {name for name, cell in told.items() if ", own: `" in cell} == {n for n, r in rules.items() if r.own}


@pytest.mark.parametrize("route", [route for route in _routes() if not route.startswith(("GET ", "DELETE "))])
def test_a_body_has_the_fields_that_are_named(client: httpx.Client, route: str) -> None:
    """All of them fit, with none missing and no other."""
    path = re.sub(r"\{\w+\}", "nobody", route.replace("{refusal_id}", "0" * 16))
    method, path = path.split()
    fields = _routes()[route]
    of_binding = "/bindings" in route
    optional = {"dryRun", "key", "letter", *(("to", "offsets") if of_binding else ()), *_OPTIONAL.get(route, ())}
    wanted = {"amount": -1, "limit": -1, "offsets": {}, "dryRun": True, "to": "begin" if of_binding else "nobody"}
    body = {field: wanted.get(field, "nobody") for field in fields}

    def kind(content: Mapping[str, object]) -> str:
        return str(client.request(method, path, json=content).json()["type"]).rpartition(":")[2]

    unknown = (
        "card-unknown",
        "process-unknown",
        "refusal-unknown",
        "invalid-query",
        "listener-unknown",
        "view-unknown",
    )
    assert kind(body) in ("invalid-amount", "same-card", *unknown)
    for wrong in ({**body, "more": 1}, *({k: v for k, v in body.items() if k != field} for field in fields - optional)):
        assert kind(wrong) == "invalid-input", wrong


_OPTIONAL = {"POST /cards": {"customer", "holder"}, "POST /moneywithdrawals": {"merchant", "reference"}}


def test_every_metric(client: httpx.Client) -> None:
    client.get("/health/live").raise_for_status()
    assert client.post("/cards/nobody/close", json={}).status_code == 404  # a refusal has been counted then
    client.post("/rebuilds/card_balance", json={}).raise_for_status()
    told = re.findall(r"^# TYPE (\S+) (\S+)$", client.get("/metrics").text, re.MULTILINE)
    known = {name: kind for name, kind in told if not name.endswith("_created")}
    assert {_only(row[0]): row[1] for row in rows_under(REFERENCE / "metrics.md", "Metrics")} == known


def test_every_file_and_table(bank: BankProcess) -> None:
    page = REFERENCE / "files.md"
    with bank.client() as client:  # keys are made with the first personal data
        card = {"id": "of-a-person", "limit": 1, "customer": "c-1", "holder": "Ada"}
        client.post("/cards", json=card).raise_for_status()
    files = {path.name for path in bank.folder.iterdir() if not path.name.endswith(("-wal", "-shm", ".wal"))}
    assert {_only(row[0]) for row in rows_under(page, "Files on disk")} == files | {"views.duckdb"}  # by a setting
    connection = connect(bank.folder / "events.db", read_only=True)
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    connection.close()
    assert {_only(row[0]) for row in rows_under(page, "Tables of `events.db`")} == tables - {"sqlite_sequence"}


def test_every_fault_of_a_simulation() -> None:
    rows = [_only(row[0]) for row in rows_under(DOCS / "how-to/simulate.md", "What goes wrong")]
    assert rows == [fault.value for fault in Fault]


def test_every_public_name() -> None:
    names = [_only(row[0]) for row in rows_under(REFERENCE / "names.md", "Public names")]
    assert sorted(names) == sorted(mainstem.__all__)


def test_every_message_with_its_fields() -> None:
    known = {
        name: list(value.__struct_fields__)
        for name, value in vars(messages).items()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value is not msgspec.Struct
    }
    rows = {_only(row[0]): code(row[1]) for row in rows_under(REFERENCE / "messages.md", "Messages")}
    assert rows == known


def _resolves(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_names_in_the_text_exist(page: Path) -> None:
    """Modules and what is in them, settings, and files of the repository, wherever a page names one."""
    named = code(prose(page))
    dotted = {text for text in named if re.fullmatch(r"mainstem(\.\w+)+", text) and text != "mainstem.lock"}
    assert not {text for text in dotted if not _resolves(text)}
    settings = {PREFIX + name.upper() for name in Settings.__struct_fields__}
    settings |= {
        f"{PREFIX}{name.upper()}_FILE" for name, kind in get_type_hints(Settings).items() if Secret in get_args(kind)
    }
    used = {text for each in named for text in re.findall(r"MAINSTEM_[A-Z_]+", each)} - {"MAINSTEM_", PREFIX}
    assert used <= settings
    paths = {text for text in named if re.fullmatch(r"(src|tests|docs)/[\w./-]*", text)}
    assert not {text for text in paths if not (ROOT / text).exists()}
