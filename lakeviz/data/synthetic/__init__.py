"""A seeded generator of normal and defective pictures with exact masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.data.synthetic.benchmark import CATEGORIES as CATEGORIES
    from lakeviz.data.synthetic.benchmark import DEFECT_TYPES as DEFECT_TYPES
    from lakeviz.data.synthetic.benchmark import HELD_OUT as HELD_OUT
    from lakeviz.data.synthetic.benchmark import TRAINED as TRAINED
    from lakeviz.data.synthetic.benchmark import Sample as Sample
    from lakeviz.data.synthetic.benchmark import render_pair as render_pair
    from lakeviz.data.synthetic.benchmark import render_sample as render_sample
    from lakeviz.data.synthetic.benchmark import render_scene as render_scene
    from lakeviz.data.synthetic.benchmark import write_benchmark as write_benchmark
    from lakeviz.data.synthetic.relief import RELIEF_DEFECTS as RELIEF_DEFECTS
    from lakeviz.data.synthetic.relief import ReliefSample as ReliefSample
    from lakeviz.data.synthetic.relief import render_relief as render_relief
    from lakeviz.data.synthetic.relief import write_relief_benchmark as write_relief_benchmark
    from lakeviz.data.synthetic.video import VideoClip as VideoClip
    from lakeviz.data.synthetic.video import render_clip as render_clip
    from lakeviz.data.synthetic.video import write_video_benchmark as write_video_benchmark

__getattr__, __dir__, __all__ = lazy_face(__name__)
