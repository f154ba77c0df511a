"""Hooks on an unmodified tower: hook points, capture, edits, and resuming at a point."""
