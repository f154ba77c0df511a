"""Knock-out of neurons, of three kinds that are kept apart: score, forward, weights."""
