"""Towers: how each architecture names its parts, behind one interface."""
