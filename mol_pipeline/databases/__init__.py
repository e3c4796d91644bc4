"""Adapters: from a database as its owners ship it to a list of source videos."""
