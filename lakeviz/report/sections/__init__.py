"""Sections of the report, each made from a run by one function."""
