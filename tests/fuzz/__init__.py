"""Damaged and hostile inputs against every reader: seeded, in one process, in minutes.

``python -m tests.fuzz --inputs 10000 --docs docs/reliability.md`` writes the table of the docs.
"""
