"""Which controls a page shows, and which of them somebody uses, as Chromium itself names them.

A control is told while it is to be seen, in a dialog too. It is used when it is clicked, or a key goes to it that
presses it or writes into it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext


class Control(NamedTuple):
    """A control by the path of its page, its role, and its name for readers of the screen."""

    path: str
    role: str
    name: str


class Use(NamedTuple):
    """The test that uses the controls of a page (or of all, `*`) whose names are as the pattern says."""

    test: str
    path: str
    role: str
    name: str

    def is_of(self, control: Control) -> bool:
        """Whether a control is one of them."""
        if self.path not in ("*", control.path) or self.role != control.role:
            return False
        return re.fullmatch(self.name, control.name, re.IGNORECASE | re.DOTALL) is not None


class Controls:
    """What the pages of a browser's context have shown, and what of it was used."""

    def __init__(self, context: BrowserContext) -> None:
        self.seen: set[Control] = set()
        self.used: set[Control] = set()

        def told(source: Mapping[str, object], what: str, role: str, name: str) -> None:
            path = urlsplit(source["page"].url).path  # type: ignore[attr-defined]
            (self.used if what == "used" else self.seen).add(Control(path, role, name))

        context.expose_binding("mainstemControl", told)
        context.add_init_script(_TELLING)

    def unlisted(self, uses: Sequence[Use]) -> set[Control]:
        """Controls that were seen, and that no test is said to use."""
        return {each for each in self.seen if not any(use.is_of(each) for use in uses)}

    def unused(self, uses: Sequence[Use], test: str) -> list[Use]:
        """What this test is said to use, and has not."""
        return [use for use in uses if use.test == test and not any(map(use.is_of, self.used))]


_TELLING = """
(() => {
  const roles = new Set(['button', 'link', 'textbox', 'combobox', 'slider', 'checkbox', 'radio', 'searchbox',
    'spinbutton', 'switch', 'tab', 'menuitem', 'option', 'treeitem', 'DisclosureTriangle']);
  const any = 'button, a[href], input, textarea, select, summary, [role], [tabindex]';
  const told = new Set(), known = new WeakMap();
  const tell = (what, element) => {
    const role = element.computedRole, name = element.computedName;
    if (!roles.has(role)) return false;
    const key = what + role + name;
    if (!told.has(key)) { told.add(key); window.mainstemControl(what, role, name); }
    return true;
  };
  const look = () => {
    for (const each of document.querySelectorAll(any)) {
      const is = `${each.getAttribute('aria-label')} ${each.getAttribute('role')} ${each.textContent.slice(0, 80)}`;
      if (known.get(each) === is || !each.checkVisibility({visibilityProperty: true})) continue;
      known.set(each, is);
      tell('seen', each);
    }
  };
  const used = event => {
    if (event.type === 'keydown' && ['Tab', 'Escape', 'Shift'].includes(event.key)) return;
    for (let each = event.target?.closest?.(any); each; each = each.parentElement?.closest(any))
      if (tell('used', each)) return;
  };
  for (const kind of ['click', 'keydown', 'input']) document.addEventListener(kind, used, true);
  let waits = false;
  const soon = () => {
    if (waits) return;
    waits = true;
    setTimeout(() => { waits = false; look(); }, 100);
  };
  addEventListener('DOMContentLoaded', () => {
    new MutationObserver(soon).observe(document.documentElement, {subtree: true, childList: true, attributes: true});
    soon();
  });
})();
"""
