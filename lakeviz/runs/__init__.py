"""Runs: the main job over a data set, and the folder it leaves behind."""
