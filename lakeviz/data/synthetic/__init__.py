"""A seeded generator of normal and defective pictures with exact masks."""

from lakeviz.data.synthetic.benchmark import (
    CATEGORIES,
    DEFECT_TYPES,
    HELD_OUT,
    TRAINED,
    Sample,
    render_sample,
    render_scene,
    write_benchmark,
)
from lakeviz.data.synthetic.pairs import render_pair
from lakeviz.data.synthetic.relief import (
    RELIEF_DEFECTS,
    ReliefSample,
    render_relief,
    write_relief_benchmark,
)
from lakeviz.data.synthetic.video import VideoClip, render_clip, write_video_benchmark

__all__ = [
    "CATEGORIES",
    "DEFECT_TYPES",
    "HELD_OUT",
    "RELIEF_DEFECTS",
    "TRAINED",
    "ReliefSample",
    "Sample",
    "VideoClip",
    "render_clip",
    "render_pair",
    "render_relief",
    "render_sample",
    "render_scene",
    "write_benchmark",
    "write_relief_benchmark",
    "write_video_benchmark",
]
