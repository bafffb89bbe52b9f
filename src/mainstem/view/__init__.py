"""Materialized views: rows shaped for a query, with the offsets that made them."""
