"""From which stages each view and datasource gets its messages."""

from mainstem.application import Application


def stages_before(application: Application, capture: str) -> dict[str, tuple[str, ...]]:
    """By stage, the capture where it captures what the stage hears, and the listeners that speak on its topic.

    A listener that hears, over whatever others, what the stage itself says is left out: each would wait for the other.
    """
    listeners = application.all_listeners()
    heard = {each.group: each.topic for each in listeners}
    heard |= {f"olap-{each.name}": each.topic for each in application.datasources}
    captured = {each.topic for each in application.all_captured()}
    speakers: dict[str, list[str]] = {}
    for each in listeners:
        for out in each.out:
            speakers.setdefault(out.name, []).append(each.group)

    def sources(stage: str, met: frozenset[str]) -> frozenset[str]:
        """All listeners that something of the stage's comes from."""
        new = frozenset(speakers.get(heard[stage], ())) - met
        return frozenset[str]().union(new, *(sources(each, met | new) for each in new))

    found: dict[str, tuple[str, ...]] = {capture: ()}
    for stage, topic in heard.items():
        apart = [each for each in speakers.get(topic, ()) if stage not in sources(each, frozenset({each}))]
        found[stage] = (*([capture] if topic in captured else []), *(each for each in apart if each != stage))
    return found
