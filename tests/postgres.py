"""A real PostgreSQL for the tests that need one: started when it is first asked for, stopped at the end of the run."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.postgres import Postgres
from mainstem.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One for the whole run."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


def postgres_settings(server: PostgresServer) -> dict[str, str]:
    """Those of an application whose views live there."""
    names = ("host", "port", "user", "password", "database")
    return {f"postgres_{name}": str(getattr(server, name)) for name in names}


PostgresDatabases = Callable[[Path], PostgresServer]
"""A database for each folder, the same one whenever it is asked for, empty at first."""


@pytest.fixture
def postgres_databases(postgres: Postgres) -> Iterator[PostgresDatabases]:
    """Databases of one test; they are dropped after it."""
    made: dict[str, PostgresServer] = {}

    def database(folder: Path) -> PostgresServer:
        name = "test_" + hashlib.sha256(str(folder).encode()).hexdigest()[:24]
        if name not in made:
            postgres.run_sql(f"CREATE DATABASE {name} TEMPLATE template0")
            made[name] = postgres.database(name)
        return made[name]

    yield database
    for name in made:
        postgres.run_sql(f"DROP DATABASE {name} WITH (FORCE)")
