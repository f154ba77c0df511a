"""Towers: the parts of each architecture under one interface."""
