"""Every control of the dashboard, and the test that uses it. Who adds a control adds a test, and says here which.

A page that shows a control that is not here fails its tests, and so does a test that uses less than it is said to use.
"""

from tests.controls import Use


def _used(test: str, path: str, role: str, *names: str) -> tuple[Use, ...]:
    return tuple(Use(test, path, role, name) for name in names)


_TITLES = ("Flow", "Views", "Layers", "Dead letters", "System", "Card", "Spending", "History")
_ACTS = ("Rebuild", "Compare", "Cancel", "Roll back", "Drop replaced")
_KEPT = r"debit_card-\S+ of \S+"
_LETTER = r"letter \d+-\d+ of \S+"

USES = (
    *_used("test_the_ways_between_pages_and_the_theme", "*", "link", *_TITLES, "Skip to the content"),
    *_used("test_the_ways_between_pages_and_the_theme", "*", "combobox", "Theme"),
    *_used("test_the_ways_between_pages_and_the_theme", "*", "option", "dark", "light", "auto"),
    *_used("test_choosing_a_tenant", "*", "combobox", "Tenant"),
    *_used("test_choosing_a_tenant", "*", "option", "acme", "north-bank", "of no tenant"),
    *_used("test_withdrawing", "*", "button", "Close"),
    *_used("test_listeners", "*", "textbox", "Reason, for the record"),
    *_used("test_rebuilding_a_view", "*", "button", "Leave it"),
    *_used("test_rebuilding_a_view", "/views", "button", *_ACTS, *(rf"{act} \w+" for act in _ACTS)),
    *_used("test_a_layer_is_rebuilt", "/layers", "button", "Rebuild", r"Rebuild \w+"),
    *_used("test_from_a_figure_down_to_the_changes", "/layers", "button", "Show rows", "What made .*"),
    *_used("test_from_a_figure_down_to_the_changes", "/layers", "combobox", "Layer"),
    *_used("test_from_a_figure_down_to_the_changes", "/layers", "option", r"\w+"),
    *_used("test_from_a_figure_down_to_the_changes", "/layers", "textbox", "Values, .*"),
    *_used("test_a_figure_of_many_facts_goes_on", "/layers", "button", "More of what made .*"),
    *_used("test_rejects_with_their_reasons", "/layers", "button", "Show rejects of .*"),
    *_used("test_dead_letters", "/dead-letters", "combobox", "Listener"),
    *_used("test_dead_letters", "/dead-letters", "option", r"\w+"),
    *_used("test_dead_letters", "/dead-letters", "button", "Retry", "Retry all letters of the listener"),
    *_used("test_dead_letters", "/dead-letters", "button", f"Retry {_LETTER}", f"Retry key {_KEPT}", f"Show {_LETTER}"),
    *_used("test_what_was_edited_is_handled_so", "/dead-letters", "button", f"Edit {_LETTER}", "Save"),
    *_used("test_what_was_edited_is_handled_so", "/dead-letters", "textbox", "New value, as JSON"),
    *_used("test_what_is_dropped_is_on_record", "/dead-letters", "button", "Drop"),
    *_used("test_what_is_dropped_is_on_record", "/dead-letters", "button", f"Drop {_LETTER}", f"Drop key {_KEPT}"),
    *_used("test_listeners", "/system", "button", "Pause", "Resume", "Restart"),
    *_used("test_listeners", "/system", "button", r"Pause \S+", r"Resume \S+", r"Restart \S+"),
    *_used("test_withdrawing", "/card", "textbox", "Amount", r"Merchant \(optional\)", r"Reference \(optional\)"),
    *_used("test_withdrawing", "/card", "button", "Withdraw"),
    *_used("test_another_card", "/card", "textbox", "Card"),
    *_used("test_another_card", "/card", "button", "Show card"),
    *_used("test_spending", "/spending", "textbox", "Card"),
    *_used("test_spending", "/spending", "button", "Show card"),
    *_used("test_the_slider_over_a_cards_history", "/history", "slider", "Version of the card"),
    *_used("test_the_slider_over_a_cards_history", "/history", "textbox", "Card"),
    *_used(
        "test_the_slider_over_a_cards_history", "/history", "button", "Show card", "First version", "Latest version"
    ),
    *_used("test_the_slider_over_a_cards_history", "/history", "button", "One version back", "One version on"),
)
