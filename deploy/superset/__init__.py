"""Superset for the bank: its database, dataset, charts and dashboard as code, of both forms; and what runs it here."""
