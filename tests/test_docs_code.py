"""The Python on the pages of the documentation runs as it is typed.

The blocks of a page are one programme, run in a folder that holds a small drawn benchmark under the
names that the pages use. A comment ``% not run: REASON`` above a block says why it is left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(?P<mark>^% not run: .+\n\n?)?^```python\n(?P<code>.*?)^```$", re.M | re.S)

BEFORE = {
    "docs/data.md": "from lakeviz import load_model\nmodel = load_model('tiny')",
    "docs/errors.md": "from lakeviz import Lake, load_model\n"
    "lake, images = Lake(load_model('tiny')), ['nothing.png']",
    "docs/hooks.md": "import torch\nfrom lakeviz import load_model\n"
    "model, images = load_model('tiny'), torch.zeros(2, 3, 96, 96)",
    "docs/metrics.md": "import numpy as np\nfrom lakeviz.metrics import PixelScorer\n"
    "maps = np.random.default_rng(0).random((6, 16, 16))\n"
    "masks = np.zeros((6, 16, 16), dtype=int)\nmasks[3:, 4:9, 4:9] = 1\n"
    "scores, labels, batches = maps.max((1, 2)), masks.max((1, 2)), [(maps, masks)]",
    "docs/store.md": "import hashlib, json\nfrom lakeviz import load_model, read_dataset\n"
    "model = load_model('tiny')\n"
    "images = read_dataset('mvtec', 'lakeviz-demo/data').category('wood').split('test')",
    "docs/tasks/capture.md": "from lakeviz.data import load_image\n"
    "image = load_image('lakeviz-demo/data/wood/test/good/000.png')",
    "docs/tasks/select.md": "from lakeviz import load_model, read_dataset, stream_statistics\n"
    "wood = read_dataset('mvtec', 'lakeviz-demo/data').category('wood')\n"
    "train, point = wood.split('train'), 'blocks.2.hook_resid_post'\n"
    "statistics = stream_statistics(load_model('tiny'), train, point)",
}
# Where the data of the reader lie, and how large they are.
ELSEWHERE = {
    "~/data/mvtec_ad": "mvtec",
    "(1024, 1024)": "(96, 96)",
}


# Pages whose code takes seconds; those of the studies take minutes.
PAGES = sorted({*BEFORE, "docs/getting-started.md"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the benchmark of the demo, and a small one in the place of MVTec-AD."""
    from lakeviz import write_benchmark

    made = tmp_path_factory.mktemp("docs")
    names = ("wood", "bottle", "cable")
    write_benchmark(made / "lakeviz-demo/data", categories=names, n_good=4, n_per_defect=1)
    write_benchmark(made / "mvtec", categories=("cable", "gear"), n_good=4, n_per_defect=1)
    (made / "mvtec/gear").rename(made / "mvtec/screw")
    return made


@pytest.mark.parametrize("page", PAGES)
def test_page_runs(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    world: dict[str, Any] = {"__name__": "page"}
    exec(BEFORE.get(page, ""), world)
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        if block["mark"]:
            continue
        code = block["code"]
        for there, here in ELSEWHERE.items():
            code = code.replace(there, here)
        line = text[: block.start("code")].count("\n")
        exec(compile("\n" * line + code, page, "exec"), world)
