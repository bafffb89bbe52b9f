"""Records that do not fit their datasource are seen where one looks at a running application."""

from pathlib import Path

from bank.analytics import BANKAPP
from bank.main import application
from mainstem.assembly.embedded import embedded
from mainstem.assembly.metrics import samples_of
from mainstem.messages import NewRecord
from mainstem.settings import Settings

_REJECTED = "mainstem_rejected_total"


def test_a_record_that_does_not_fit_is_seen_in_the_status_and_in_the_metrics(tmp_path: Path) -> None:
    """The datasource goes on, so that nothing is down; and a start later it is still known."""
    stage = f"olap-{BANKAPP.name}"
    for number in (1, 2):
        with embedded(application, Settings(data_dir=tmp_path)) as running:
            if number == 1:
                running.log.append([NewRecord(topic=BANKAPP.topic, key="a", value=b'{"id":"a"}', timestamp_ms=1)])
            while running.ingestions[BANKAPP.name].status.misfits.count == 0:
                running.settle()
            (hop,) = (each for each in running.hops() if each.name == stage)
            assert (hop.state, hop.lag, hop.since, hop.rejected) == ("running", 0, None, 1)
            told = "1 records do not fit its declaration and were left out; the first is"
            assert str(hop.trouble).startswith(f"{told} {BANKAPP.topic}/0 at offset 0: Object missing required field")
            values = {each.labels: each.value for each in samples_of(running) if each.name == _REJECTED}
            assert values == {(("stage", stage),): 1}
            assert stage not in running.troubles()
