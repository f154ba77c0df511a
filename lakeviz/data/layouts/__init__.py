"""Readers of the published folder layouts, one file for each family; importing registers them."""

from lakeviz.data.layouts import bmad as bmad
from lakeviz.data.layouts import eyecandies as eyecandies
from lakeviz.data.layouts import folder as folder
from lakeviz.data.layouts import kolektor as kolektor
from lakeviz.data.layouts import mtd as mtd
from lakeviz.data.layouts import mvtec as mvtec
from lakeviz.data.layouts import rgbd as rgbd
from lakeviz.data.layouts import tabular as tabular
from lakeviz.data.layouts import video as video
from lakeviz.data.layouts import visa as visa
