"""The dashboard: pages about a running application, made by NiceGUI, in a process of their own.

It is a client of the public HTTP API and of nothing else. `serve` runs it; an application adds pages of its own as
`Page`s, in the list `PAGES` of a module `dashboard` beside the one that `MAINSTEM_APP` names.
"""
