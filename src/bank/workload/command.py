"""`mainstem simulate-bank`."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bank.workload.plan import Plan
from bank.workload.told import Told
from mainstem.codec import read_time
from mainstem.errors import ConfigurationError, InvalidQuery

_out = Console()
_err = Console(stderr=True)


def simulate_bank(  # noqa: PLR0913 - its options
    *,
    withdrawals: Annotated[int, typer.Option(help="How many.")] = 10_000,
    customers: Annotated[int, typer.Option(help="How many, with one to three cards each.")] = 1_000,
    merchants: Annotated[int, typer.Option(help="How many.")] = 200,
    days: Annotated[int, typer.Option(help="Over how many days.")] = 30,
    until: Annotated[
        str | None, typer.Option(help="When the last day ends, as 2026-01-31T00:00:00Z; now, unless given.")
    ] = None,
    fraud: Annotated[int, typer.Option(help="How many bouts of it among 100,000 withdrawals.")] = 20,
    seed: Annotated[int, typer.Option(help="The same seed makes the same of the same days, and cards of its own.")] = 1,
    history: Annotated[bool, typer.Option("--history", help="Bring it in at its own times.")] = False,
    url: Annotated[str, typer.Option(help="Where the bank answers.")] = "http://127.0.0.1:8080",
    rate: Annotated[float | None, typer.Option(help="Withdrawals a second; as fast as they go, unless given.")] = None,
    connections: Annotated[int, typer.Option(help="At once, 1 to 256.")] = 16,
    token_file: Annotated[Path | None, typer.Option(help="A file with a teller's token.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Make a bank's work up: customers, cards, merchants, the rhythm of days and weeks, bursts, and fraud.

    It goes over the public API, at another pace; or with --history it is brought in at its own times. For example:
    mainstem simulate-bank --withdrawals 1000000 --days 365 --history
    """
    if not 1 <= connections <= 256:
        raise ConfigurationError(f"{connections} connections; 1 to 256 are possible")
    if rate is not None and not 0 < rate <= 1_000_000:
        raise ConfigurationError(f"{rate} withdrawals a second; more than 0 and up to 1,000,000 are possible")
    plan = Plan(
        seed=seed,
        customers=customers,
        merchants=merchants,
        withdrawals=withdrawals,
        days=days,
        fraud=fraud,
        end_ms=_end_ms(until),
    )
    began = time.monotonic()
    bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*bars, TimeRemainingColumn(), console=_err, transient=True) as progress:
        task = progress.add_task("withdrawals", total=withdrawals)

        def tell(more: int) -> None:
            progress.update(task, advance=more)

        if history:
            told = _load(plan, tell)
        else:
            from bank.workload.sending import send

            token = None if token_file is None else _token(token_file)
            told = send(url.rstrip("/"), plan, rate=rate, connections=connections, token=token, tell=tell)
    _print(told, time.monotonic() - began, as_json=as_json)
    raise typer.Exit(1 if told.failed else 0)


def _end_ms(until: str | None) -> int:
    """Milliseconds since 1970, UTC: no later than now."""
    now_ms = time.time_ns() // 1_000_000
    try:
        end_ms = now_ms if until is None else read_time(until)
    except InvalidQuery as error:
        raise ConfigurationError(str(error)) from error
    if end_ms > now_ms:
        raise ConfigurationError(f"{until} is later than now: nothing that is brought in has happened then")
    return end_ms


def _load(plan: Plan, tell: "Callable[[int], None]") -> Told:
    from bank.main import application
    from bank.workload.loading import load
    from mainstem.settings import read_settings

    settings = read_settings(os.environ)
    return load(application.with_environment(os.environ), settings, plan, tell)


def _token(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {type(error).__name__}") from error


def _print(told: Told, took_s: float, *, as_json: bool) -> None:
    if as_json:
        _out.print_json(data={**vars(told), "tookS": round(took_s, 3)})
        return
    count = told.accepted.total() + told.refused.total()
    lines = [
        *(f"{number} {kind} accepted" for kind, number in sorted(told.accepted.items())),
        *(f"{number} refused: {reason}" for reason, number in told.refused.most_common()),
        *(f"{number} failed: {why}" for why, number in told.failed.most_common()),
        *([f"{told.again} times asked again"] if told.again else []),
        f"{count / took_s:,.0f} commands a second, in {took_s:.1f} s",
    ]
    for line in lines:
        _out.print(line, highlight=False, soft_wrap=True)
