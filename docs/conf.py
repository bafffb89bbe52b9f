"""Sphinx: `make docs` builds the pages into build/docs."""

project = "mainstem"
html_title = "mainstem"
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
exclude_patterns = ["_build"]
suppress_warnings = ["myst.xref_missing"]
