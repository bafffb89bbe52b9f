"""The page of dead letters: shown, tried again, given another value, and dropped."""

from playwright.sync_api import Locator, Page, expect

from tests.pages import TROUBLED, Site, answer, button, open_page

_WAITING = "[role=status]"


def _open_cards(site: Site, *cards: str) -> None:
    """Open cards that become dead letters while the fault is there."""
    with site.bank.client() as client:
        for card in cards:
            client.post("/cards", json={"id": card, "limit": 100}).raise_for_status()


def _use(site: Site, card: str) -> None:
    with site.bank.client() as client:
        client.post("/moneywithdrawals", json={"debitCard": card, "amount": 1.25}).raise_for_status()


def _letters(page: Page, card: str) -> Locator:
    return page.get_by_role("listitem").filter(has_text=card)


def test_what_was_edited_is_handled_so(page: Page, site: Site) -> None:
    """What is refused says why, and leaves dialog and letter as they are; by the keyboard too."""
    _open_cards(site, "card-z-4")
    open_page(page, "dead-letters")
    letter = _letters(page, "card-z-4")
    letter.get_by_role("button", name="Edit letter").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    value, save = dialog.get_by_label("New value, as JSON"), dialog.get_by_role("button", name="Save")
    expect(value).to_be_focused()
    came = value.input_value()
    assert '"100.00"' in came.replace("\\", "")
    expect(save).to_be_disabled()
    dialog.get_by_label("Reason, for the record").fill("the card was named wrong")
    told = dialog.get_by_role("alert")
    for wrong, says in (
        (came[:-3], "The value is not JSON"),
        (f'{came}, "reason": "another"', "The value is not JSON"),
        ("", "The value is not JSON"),
        ("[" * 5000, "The value is not JSON"),
        ('{"payload": 1}', "The value is no message of event"),
        (came.replace("CardOpened", "CardStolen"), "The value is no message of event"),
    ):
        value.fill(wrong)
        save.click()
        expect(told).to_contain_text(says)
        expect(save).to_be_enabled()
    value.fill(came.replace("card-z-4", "card-y-4"))
    value.press("Tab")
    page.keyboard.press("Tab")
    expect(save).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(letter).to_contain_text("edited")
    button(page, "Close").first.click()
    letter.get_by_role("button", name="Edit letter").click()
    expect(value).to_have_value(came.replace("card-z-4", "card-y-4"))
    answer(page, "Leave it")
    letter.get_by_role("button", name="Retry letter").click()
    answer(page, "Retry", "the card was named wrong")
    expect(page.get_by_text("1 letter done")).to_be_visible()
    expect(letter).to_have_count(0)
    with site.bank.client() as client:
        edit = client.get("/actions", params={"listener": "activity"}).json()[1]
    assert (edit["kind"], edit["why"], edit["state"]) == ("edit", "the card was named wrong", "done")


def test_what_is_dropped_is_on_record(page: Page, site: Site) -> None:
    """The first of a key by itself, after which the next is the first; then all of the key."""
    _open_cards(site, "card-z-5")
    for _ in range(2):
        _use(site, "card-z-5")
    open_page(page, "dead-letters")
    letters = _letters(page, "card-z-5")
    expect(letters).to_have_count(3)
    one = letters.get_by_role("button", name="Drop letter")
    expect(one).to_have_count(1)
    one.click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Drop", exact=True)).to_be_disabled()
    answer(page, "Leave it")
    one.click()
    answer(page, "Drop", "it was opened by mistake")
    expect(letters).to_have_count(2)
    expect(page.get_by_text("1 letter done")).to_be_visible()
    expect(one).to_have_count(1)
    expect(letters.get_by_role("button", name="Retry letter")).to_have_count(1)
    letters.first.get_by_role("button", name="Drop key").click()
    answer(page, "Drop", "all of it was")
    expect(letters).to_have_count(0)
    with site.bank.client() as client:
        asked = client.get("/actions", params={"listener": "activity"}).json()[:2]
    assert [(each["kind"], each["why"], each["count"]) for each in asked] == [
        ("drop", "all of it was", 2),
        ("drop", "it was opened by mistake", 1),
    ]


def _dropped_elsewhere(page: Page, site: Site, card: str) -> None:
    with site.bank.client() as client:
        asked = {"key": f"debit_card-{card}", "reason": "sooner"}
        client.post("/dead-letters/activity/drop", json=asked).raise_for_status()
    expect(_letters(page, card)).to_have_count(0)


def test_a_letter_that_is_gone_while_it_is_edited(page: Page, site: Site) -> None:
    """The dialog stays, with what was written, and says so."""
    _open_cards(site, "card-z-6")
    open_page(page, "dead-letters")
    _letters(page, "card-z-6").get_by_role("button", name="Edit letter").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason, for the record").fill("too late")
    _dropped_elsewhere(page, site, "card-z-6")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("waits")
    expect(dialog.get_by_label("Reason, for the record")).to_have_value("too late")
    answer(page, "Leave it")


def test_a_letter_that_is_gone_before_it_is_retried(page: Page, site: Site) -> None:
    """What the API says of it is told, although the button that was pressed is gone."""
    _open_cards(site, "card-z-7")
    open_page(page, "dead-letters")
    _letters(page, "card-z-7").get_by_role("button", name="Retry letter").click()
    _dropped_elsewhere(page, site, "card-z-7")
    answer(page, "Retry", "too late")
    expect(page.get_by_text("of activity waits")).to_be_visible()
    button(page, "Close").first.click()


def test_dead_letters(page: Page, site: Site) -> None:
    """Shown with the traceback; tried again in vain, and after the fault was mended with success."""
    _open_cards(site, "card-z-2", "card-z-3")
    open_page(page, "dead-letters")
    expect(page.locator(_WAITING)).to_contain_text("3 waiting")
    letter = _letters(page, TROUBLED)
    letter.get_by_role("button", name="Show letter").click()
    expect(page.get_by_role("dialog")).to_contain_text("Traceback")
    answer(page, "Close")
    letter.get_by_role("button", name="Retry letter").click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Retry", exact=True)).to_be_disabled()
    answer(page, "Leave it")
    letter.get_by_role("button", name="Retry letter").click()
    answer(page, "Retry", "to see whether it goes")
    expect(page.get_by_text("the next fails: ValueError").first).to_be_visible()
    button(page, "Close").first.click()
    expect(page.locator(_WAITING)).to_contain_text("3 waiting")
    site.mended.touch()
    letter.get_by_role("button", name="Retry key").click()
    answer(page, "Retry", "mended")
    expect(page.locator(_WAITING)).to_contain_text("2 waiting")
    page.get_by_role("combobox", name="Listener").click()
    page.get_by_role("option", name="activity").click()
    button(page, "Retry all letters of the listener").click()
    answer(page, "Retry", "mended")
    expect(page.locator(_WAITING)).to_contain_text("0 waiting")
    expect(page.get_by_text("No dead letters.")).to_be_visible()
