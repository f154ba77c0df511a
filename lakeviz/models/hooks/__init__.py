"""Hooks on an unmodified tower: hook points, capture, edits, and runs from a point on."""
