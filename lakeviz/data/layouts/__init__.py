"""Readers of the published folder layouts, one file for each family; importing registers them."""

from lakeviz.data.layouts import bmad as bmad
from lakeviz.data.layouts import folder as folder
from lakeviz.data.layouts import kolektor_mtd as kolektor_mtd
from lakeviz.data.layouts import mvtec as mvtec
from lakeviz.data.layouts import rgbd as rgbd
from lakeviz.data.layouts import tabular as tabular
from lakeviz.data.layouts import video as video
