"""The command line: run an application, look at it, hold its accounts against each other."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column
from rich.table import Table as Grid

from mainstem.cli.archive import archive
from mainstem.cli.asyncapi import asyncapi
from mainstem.cli.begin import MOST, Json, Tenant, begin, check_tenant, errors_of_start
from mainstem.cli.bindings import bindings
from mainstem.cli.dashboard import dashboard
from mainstem.cli.dead_letters import dead_letters, show_actions
from mainstem.cli.events import events
from mainstem.cli.forget import forget
from mainstem.cli.installed import add_installed
from mainstem.cli.keys import keys
from mainstem.cli.lineage import archive_raw, layers, lineage
from mainstem.cli.monitoring import monitoring
from mainstem.cli.new import new
from mainstem.cli.processes import processes
from mainstem.cli.rebuild import rebuild
from mainstem.cli.refusals import refusals
from mainstem.cli.snapshots import snapshots
from mainstem.cli.tenants import tenants
from mainstem.cli.view import view
from mainstem.codec import read_moment
from mainstem.collector import collect_rarely
from mainstem.errors import ConfigurationError, MainstemError
from mainstem.masks import shown_url
from mainstem.settings import PREFIX

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)
app.add_typer(snapshots, name="snapshots")
app.add_typer(processes, name="processes")
app.add_typer(events, name="events")
app.add_typer(refusals, name="refusals")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(bindings, name="bindings")
app.add_typer(monitoring, name="monitoring")
app.add_typer(keys, name="keys")
_out = Console()
_err = Console(stderr=True)


_MOMENT = "A version, as 7, or a time with its zone, as 2026-01-31T09:30:00Z."


def main() -> None:
    """The console script: errors of mainstem's are one clear line and exit code 2."""
    collect_rarely()
    try:
        _check_words(sys.argv[1:])
        app()
    except MainstemError as error:
        _err.print(f"[bold red]error:[/] {type(error).__name__}: {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _check_words(words: Sequence[str]) -> None:
    """Raises ConfigurationError for one that is not text, as the shell of another encoding may hand it over."""
    for word in words:
        if not word.isascii() and any("\ud800" <= letter <= "\udfff" for letter in word):
            raise ConfigurationError(f"{word!r} is no text in the encoding of this terminal")


@app.command()
def run() -> None:
    """Run the application: HTTP and the flow behind it, or of the distributed form the roles in MAINSTEM_ROLES.

    For example: MAINSTEM_HTTP_PORT=9000 mainstem run
    """
    settings, declared = begin()
    if settings.form == "distributed" and "api" not in settings.roles:
        from mainstem.operations import keep_views

        keep_views(declared, settings)
        return
    with errors_of_start():
        module = importlib.import_module(settings.app.partition(":")[0])
        serve = getattr(module, "serve", None)
    if serve is None:
        raise ConfigurationError(f"{module.__name__} has no function `serve(application, settings)` to run")
    serve(declared, settings)


@app.command()
def deploy() -> None:
    """Make what the distributed form needs, tables, topics, connector, supervisors, and wait until it runs.

    For example: MAINSTEM_FORM=distributed mainstem deploy
    """
    from mainstem.assembly.deployment import deploy as deploy_all

    settings, declared = begin()
    if settings.form != "distributed":
        raise ConfigurationError("the embedded form makes what it needs by itself: set MAINSTEM_FORM=distributed")
    deploy_all(declared, settings, lambda text: _out.print(text, highlight=False, soft_wrap=True, markup=False))


@app.command()
def reconcile(*, as_json: Json = False) -> None:
    """Hold events, state, views and analytics against each other; exit 1 where they differ.

    For example: mainstem reconcile --json
    """
    from mainstem.operations import reconciliation

    settings, declared = begin()
    found = reconciliation(declared, settings)
    if as_json:
        _out.print_json(msgspec.json.encode(found).decode())
    else:
        _print_reconciliation(found)
    raise typer.Exit(0 if found.clean else 1)


@app.command()
def repair(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is damaged, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Put rows of tags, state and views right that are not what the events say; exit 1 where something is left.

    For example: mainstem repair --dry-run
    """
    from mainstem.assembly.repairing import repaired
    from mainstem.cli.repair import print_damages, print_repaired
    from mainstem.operations import reconciliation

    settings, declared = begin()
    found = repaired(declared, settings, dry_run=True)
    ends = dry_run or not found.damages
    if ends or not as_json:
        print_damages(_out, found, as_json=as_json)
    if ends:
        raise typer.Exit(1 if found.damages or found.left else 0)
    if not yes:
        typer.confirm("Put them right?", abort=True, err=True)
    done = repaired(declared, settings, dry_run=False)
    agreed = reconciliation(declared, settings)
    print_repaired(_out, done, agreed, as_json=as_json)
    if not as_json:
        _print_reconciliation(agreed)
    raise typer.Exit(0 if agreed.clean and not done.left else 1)


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show every stage of the running application and by how many messages it is behind.

    For example: mainstem status
    """
    from mainstem.operations import status as status_of

    settings, declared = begin()
    found = status_of(declared, settings)
    if as_json:
        _out.print_json(msgspec.json.encode(found).decode())
        return
    if found["parts"]:
        _print_health(found["parts"], "part")
    _print_health(found["hops"], "stage")


def _print_health(seen: Sequence[Mapping[str, Any]], kind: str) -> None:
    """What troubles each stands below the table, where it has room."""
    lags = ("lag", "seconds") if kind == "stage" else ()
    grid = Grid(Column(kind, no_wrap=True), "state", *lags, Column("since", no_wrap=True))
    for each in seen:
        lag = () if not lags else ("?", "?") if each["lag"] is None else (str(each["lag"]), f"{each['lagS']:.1f}")
        grid.add_row(each["name"], each["state"], *lag, each["since"] or "")
    _out.print(grid)
    for each in seen:
        if each["trouble"]:
            _out.print(f"{each['name']}: {each['trouble']}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def verify(
    *,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes; one for each processor.")] = None,
    root: Annotated[
        str | None, typer.Option(help="A root that was kept elsewhere: it must be among the seals.")
    ] = None,
    seal: Annotated[bool, typer.Option("--seal", help="Where all is well, seal what is not sealed yet.")] = False,
    as_json: Json = False,
) -> None:
    """Find every event that was changed, removed, inserted or reordered; exit 1 where there are any.

    For example: mainstem verify --seal
    """
    from mainstem.cli import verify as shown

    settings, _ = begin()
    found = shown.verified(settings, _err, workers=workers, root=root)
    if seal and found.clean and shown.seal_rest(settings):
        found = shown.verified(settings, _err, workers=workers, root=root)
    shown.print_verified(_out, found, as_json=as_json)
    raise typer.Exit(0 if found.clean else 1)


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(help="A folder that is not there yet.")], *, as_json: Json = False
) -> None:
    """Copy the embedded form's files, verified, beside a running application or without one.

    For example: mainstem backup /backups/monday
    """
    from mainstem.cli.backup import back_up_to

    settings, declared = begin()
    back_up_to(declared, settings, target, _out, _err, as_json=as_json)


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(help="What `mainstem backup` has made.")],
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Move aside what the folder holds.")] = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of the data folder, once all of it is checked.

    For example: mainstem restore /backups/monday --replace
    """
    from mainstem.cli.backup import restore_from

    settings, declared = begin()
    restore_from(declared, settings, source, _out, replacing=replace, as_json=as_json)


@app.command()
def history(  # noqa: PLR0913 - the options of the command line
    aggregate: Annotated[str, typer.Argument(help="The aggregate's id.")],
    moment: Annotated[str | None, typer.Argument(help=f"Show how it stood then. {_MOMENT}")] = None,
    later: Annotated[str | None, typer.Argument(help="Show what has changed from the moment to this one.")] = None,
    *,
    category: Annotated[str | None, typer.Option(help="Of the aggregate, where several have one of that id.")] = None,
    recorded: Annotated[bool, typer.Option("--recorded", help="Times are those of recording the events.")] = False,
    after: Annotated[int, typer.Option(min=0, max=MOST, help="Show events above this version.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Show so many events.")] = 100,
    tenant: Tenant = None,
    personal: Annotated[bool, typer.Option("--personal", help="Open personal data, which needs their keys.")] = False,
    as_json: Json = False,
) -> None:
    """Show an aggregate's events, the oldest first; how it stood at a moment; or what changed between two.

    For example: mainstem history 123456789 2026-01-31T09:30:00Z
    """
    from mainstem.assembly.stores import open_vault, stored_events
    from mainstem.cli import history as shown
    from mainstem.history import History

    settings, declared = begin()
    moments = [read_moment(text, recorded=recorded) for text in (moment, later) if text is not None]
    with closing(stored_events(settings)) as store, open_vault(settings) as vault:
        check_tenant(tenant, settings, store.tenants)
        decider = shown.decider_of(declared, category, store, aggregate, tenant)
        opening = shown.Opening(vault if personal else None, decider.stream(aggregate, tenant))
        asked = History(store, decider)
        if not moments:
            found = asked.events(aggregate, after, limit, tenant=tenant)
            shown.print_events(_out, opening.events(found), as_json=as_json)
        elif len(moments) == 1:
            shown.print_past(_out, opening.past(asked.at(aggregate, moments[0], tenant=tenant)), as_json=as_json)
        else:
            found_between = asked.between(aggregate, *moments, tenant=tenant)
            shown.print_between(_out, opening.between(found_between), as_json=as_json)


app.command()(view)
app.command()(dashboard)
app.command()(layers)
app.command()(lineage)
app.command(name="archive-raw")(archive_raw)
app.command()(tenants)
app.command()(forget)
app.command()(archive)
app.command(name="actions")(show_actions)
app.command()(rebuild)
app.command()(new)
app.command()(asyncapi)


@app.command(name="settings")
def show_settings(*, as_json: Json = False) -> None:
    """Show every setting with its value and the variable that sets it.

    For example: mainstem settings --json
    """
    settings, application = begin()
    variables = _variables(PREFIX, settings)
    if application.own is not None:
        variables |= _variables(application.own_prefix, application.own)
    if as_json:
        _out.print_json(data=variables, default=str)
        return
    grid = Grid("variable", "value")
    for variable, value in variables.items():
        grid.add_row(variable, str(value))
    _out.print(grid)


add_installed(app)


def _variables(prefix: str, settings: msgspec.Struct) -> dict[str, Any]:
    values = {name: getattr(settings, name) for name in settings.__struct_fields__}
    values |= {name: shown_url(url) for name, url in values.items() if name.endswith("_url") and url is not None}
    return {f"{prefix}{name.upper()}": value for name, value in values.items()}


def _print_reconciliation(found: Any) -> None:
    if not found.ledgers:
        _out.print("Nothing was compared: the application declares no ledgers", highlight=False, soft_wrap=True)
        return
    if found.clean:
        text = f"All agree: {', '.join(found.ledgers)} ({found.aggregates} aggregates, {found.figures} figures)"
        _out.print(text, highlight=False, soft_wrap=True)
        return
    grid = Grid("aggregate", "figure", "is", "in", title=f"{len(found.differences)} differences")
    for difference in found.differences[:100]:
        holders: dict[str, list[str]] = {}
        for ledger, value in difference.values.items():
            holders.setdefault(value or "none", []).append(ledger)
        names = (difference.key, difference.figure)
        for value, ledgers in holders.items():
            grid.add_row(*names, value, ", ".join(ledgers))
            names = ("", "")
    _out.print(grid)
    _print_parked(found)


def _print_parked(found: Any) -> None:
    """What is not in the figures because it waits."""
    for group in dict.fromkeys(each.listener for each in found.parked):
        parked = [each for each in found.parked if each.listener == group]
        keys = ", ".join(each.key for each in parked[:10]) + (", …" if len(parked) > 10 else "")
        text = f"{group}: {sum(each.messages for each in parked)} messages wait behind dead letters ({keys})"
        _out.print(text, highlight=False, soft_wrap=True, markup=False)
