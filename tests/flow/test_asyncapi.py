"""The AsyncAPI document of a process that runs."""

from pathlib import Path

from mainstem.asyncapi import asyncapi_document
from tests.web import bank_here


def test_it_is_answered_over_http(tmp_path: Path) -> None:
    with bank_here(tmp_path) as (running, asked):
        answer = asked.ask("GET", "/asyncapi.json")
        assert answer.status_code == 200
        assert answer.json() == asyncapi_document(running.application, running.settings)
