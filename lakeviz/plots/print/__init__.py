"""Figures for print: page layout, export by Chromium, and the metadata of a file."""
