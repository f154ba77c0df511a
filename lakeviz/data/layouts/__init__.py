"""Readers of the published folder layouts, one file for each family; importing registers them."""

from lakeviz.data.layouts import bmad, folder, kolektor, mtd, mvtec, tabular, video, visa

__all__ = ["bmad", "folder", "kolektor", "mtd", "mvtec", "tabular", "video", "visa"]
