"""Parts of the stack that are killed and started again, and a datasource that Druid has meanwhile."""

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

import msgspec

from deploy.parts import listens
from deploy.stack import place, processes_of, up
from mainstem import Datasource
from mainstem.errors import StoreUnavailable
from mainstem.log.kafka import KafkaLog
from mainstem.messages import Record
from mainstem.testing.contracts.olap import SALES, sale
from tests.stack import FOLDER, SHIFT

T = TypeVar("T")

RECOVERY_S = 120.0


def eventually(condition: Callable[[], bool], what: Callable[[], str] | str, within_s: float = RECOVERY_S) -> None:
    """Wait for it."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        time.sleep(0.1)


def answer_of(question: Callable[[], T]) -> T | None:
    """None where a store is away."""
    try:
        return question()
    except StoreUnavailable:
        return None


def has_offsets(log: KafkaLog, group: str) -> bool:
    """Whether Kafka tells the group's stable offsets."""
    return bool(answer_of(lambda: log.committed(group)))


def kill_part(name: str) -> None:
    """`kill -9` of a part of the stack; its port is given back when all of its threads are gone."""
    processes = processes_of(FOLDER)
    pid = processes.pid(name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
    eventually(lambda: processes.pid(name) is None, f"{name} lives on", within_s=10)
    port = getattr(place(FOLDER, SHIFT).ports, name.removeprefix("druid-"))
    eventually(lambda: not listens("127.0.0.1", port), f"{name} has its port still", within_s=10)


@contextmanager
def frozen(name: str) -> Iterator[None]:
    """A part that takes connections and says nothing."""
    pid = processes_of(FOLDER).pid(name)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def start_parts() -> None:
    up(FOLDER, SHIFT, print)


def sales() -> tuple[Datasource, list[Record]]:
    """A datasource with a topic of its own, and two records for it."""
    name = f"sales_{uuid.uuid4().hex[:8]}"
    return replace(SALES, name=name, topic=name), [msgspec.structs.replace(sale(n), topic=name) for n in range(2)]
