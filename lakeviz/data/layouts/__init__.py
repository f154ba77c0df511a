"""Readers of the published folder layouts, one file for each family; importing registers them."""

from lakeviz.data.layouts import (
    bmad,
    eyecandies,
    folder,
    kolektor,
    mtd,
    mvtec,
    rgbd,
    tabular,
    video,
    visa,
)

__all__ = [
    "bmad",
    "eyecandies",
    "folder",
    "kolektor",
    "mtd",
    "mvtec",
    "rgbd",
    "tabular",
    "video",
    "visa",
]
