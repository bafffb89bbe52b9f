"""The dashboard and the alerts ask for what a real application serves, by a parser of PromQL."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

import httpx
import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mainstem.monitoring import ALERTS, ROWS, dashboard, rules
from tests.docs.pages import DOCS, code, rows_under
from tests.process import bank_process

_OF_PROMETHEUS = {"up": {"job", "instance"}}
_ADDED = {"job", "instance"}
"""Labels that a scrape adds."""

_PANELS = [panel for row in ROWS for panel in row.panels]
_EXPRESSIONS = {
    **{f"{panel.title} {n}": query.expression for panel in _PANELS for n, query in enumerate(panel.queries)},
    **{alert.name: alert.expression for alert in ALERTS},
}
_BOARD = dashboard("mainstem", "mainstem", ROWS)


def _parsed(expression: str) -> promql_parser.Expr:
    return promql_parser.parse(expression.replace("$__rate_interval", "1m"))


def _walked(expression: str) -> list[promql_parser.Expr]:
    found: list[promql_parser.Expr] = []

    def visit(node: promql_parser.Expr) -> None:
        found.append(node)

    promql_parser.walk(_parsed(expression), visit)
    return found


def _selected(expression: str) -> list[promql_parser.VectorSelector]:
    """Those of ranges too."""
    return [node for node in _walked(expression) if isinstance(node, promql_parser.VectorSelector)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, set[str]]:
    """Labels by metric, of a bank that keeps layers, has refused a command and rebuilds a view."""
    folder: Path = tmp_path_factory.mktemp("monitored") / "data"
    with bank_process(folder, layers="true") as bank, bank.client() as client:
        client.get("/health/live").raise_for_status()
        assert client.post("/cards/nobody/close", json={}).status_code == 404
        client.post("/rebuilds/card_balance", json={}).raise_for_status()
        return {**_OF_PROMETHEUS, **_labels(client)}


def _labels(client: httpx.Client) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").raise_for_status().text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("name", _EXPRESSIONS)
def test_an_expression_asks_for_what_is_served(served: Mapping[str, set[str]], name: str) -> None:
    expression = _EXPRESSIONS[name]
    selected = _selected(expression)
    assert selected
    labels = set(_ADDED)
    for each in selected:
        assert each.name in served, each.name
        own = served[str(each.name)] | _ADDED
        assert {matcher.name for matcher in each.matchers.matchers} <= own
        labels |= own
    for node in _walked(expression):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            assert set(node.modifier.labels) <= labels


@pytest.mark.parametrize("name", _EXPRESSIONS)
def test_a_counter_is_asked_for_its_rate_and_a_gauge_is_not(name: str) -> None:
    """A counter's value says nothing, as it begins anew with each process."""
    walked = _walked(_EXPRESSIONS[name])
    ranged = [str(node.vector_selector.name) for node in walked if isinstance(node, promql_parser.MatrixSelector)]
    assert all(each.endswith(("_total", "_bucket")) for each in ranged)
    plain = Counter(str(node.name) for node in _selected(_EXPRESSIONS[name])) - Counter(ranged)
    assert not [each for each in plain if each.endswith(("_total", "_bucket"))]


def _named_labels(text: str) -> Iterator[str]:
    yield from re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", text)


@pytest.mark.parametrize("alert", ALERTS, ids=[alert.name for alert in ALERTS])
def test_an_alert_names_labels_that_its_rows_have(served: Mapping[str, set[str]], alert: object) -> None:
    (found,) = (each for each in ALERTS if each is alert)
    aggregated = [node for node in _walked(found.expression) if isinstance(node, promql_parser.AggregateExpr)]
    kept = {label for node in aggregated if node.modifier is not None for label in node.modifier.labels}
    bare = {label for node in _selected(found.expression) for label in served[str(node.name)]} | _ADDED
    assert set(_named_labels(found.text)) <= (kept if aggregated else bare)


def test_a_line_is_called_by_labels_that_it_has() -> None:
    for query in (query for panel in _PANELS for query in panel.queries):
        aggregated = [node for node in _walked(query.expression) if isinstance(node, promql_parser.AggregateExpr)]
        kept = {label for node in aggregated if node.modifier is not None for label in node.modifier.labels}
        assert set(_named_labels(query.legend)) <= kept | ({"instance"} if not aggregated else set())


def test_the_board_is_json_whose_panels_stand_beside_each_other() -> None:
    board = json.loads(json.dumps(_BOARD))
    assert [each["id"] for each in board["panels"]] == list(range(1, len(board["panels"]) + 1))
    places = [each["gridPos"] for each in board["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below
    assert len({panel.title for panel in _PANELS}) == len(_PANELS)


def test_rules_have_what_prometheus_asks_of_them() -> None:
    (group,) = rules(ALERTS)["groups"]
    assert len({rule["alert"] for rule in group["rules"]}) == len(ALERTS)
    for rule in group["rules"]:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+m", rule["for"])
        assert re.fullmatch(r"[A-Z]\w+", rule["alert"])


def test_the_page_names_every_alert() -> None:
    rows = rows_under(DOCS / "how-to/watch-with-prometheus.md", "The alerts")
    assert [code(row[0]) for row in rows] == [[alert.name] for alert in ALERTS]
