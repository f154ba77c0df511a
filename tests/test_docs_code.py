"""The Python in the README and on the pages of the documentation runs as it is typed.

The blocks of a page are one programme, run in a folder that holds a small drawn benchmark, a run
and exported maps under the names that the pages use. ``BEFORE`` gives a page the names that its
reader has from elsewhere, ``ELSEWHERE`` says what is replaced, for paths that are the reader's own
and for settings that would take minutes. A comment ``% not run: REASON`` above a block says why it
is left out.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.docs

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(?P<mark>^% not run: .+\n\n?)?^```python\n(?P<code>.*?)^```$", re.M | re.S)

METRICS = (
    "import numpy as np\nfrom lakeviz.metrics import PixelScorer, pixel_metrics\n"
    "maps = np.random.default_rng(0).random((6, 16, 16))\n"
    "masks = np.zeros((6, 16, 16), dtype=int)\nmasks[3:, 4:9, 4:9] = 1\n"
    "scores, labels, batches = maps.max((1, 2)), masks.max((1, 2)), [(maps, masks)]"
)
BEFORE = {
    **dict.fromkeys((f"docs/{p.name}" for p in (ROOT / "docs").glob("metrics*.md")), METRICS),
    "docs/data.md": "",
    "docs/data-decoding.md": "from lakeviz import load_model, read_dataset\n"
    "model = load_model('tiny')\n"
    "test = read_dataset('mvtec', 'lakeviz-demo/data').category('wood').split('test')",
    "docs/errors.md": "from lakeviz import Lake, load_model\n"
    "lake, images = Lake(load_model('tiny')), ['nothing.png']",
    "docs/hooks.md": "import torch\nfrom lakeviz import load_model\n"
    "model, images = load_model('tiny'), torch.zeros(2, 3, 96, 96)",
    "docs/store.md": "from lakeviz import load_model, read_dataset\n"
    "model = load_model('tiny')\n"
    "images = read_dataset('mvtec', 'lakeviz-demo/data').category('wood').split('test')",
    "docs/tasks/capture.md": "from lakeviz.data import load_image\n"
    "image = load_image('lakeviz-demo/data/wood/test/good/000.png')",
    "docs/tasks/detect.md": "from PIL import Image\nfrom lakeviz import read_dataset\n"
    "wood = read_dataset('mvtec', 'lakeviz-demo/data').category('wood')\n"
    "for name in ('a.png', 'b.png'):\n    Image.new('RGB', (48, 48), 'tan').save(name)",
    "docs/from-anomalib.md": "",
    "docs/from-captum.md": "from lakeviz.lake import LakeOptions",
    "docs/from-transformerlens.md": "",
    "docs/tasks/score.md": "",
    "docs/tasks/study.md": "",
    "docs/tasks/sweep.md": "",
    "docs/tasks/overlap.md": "",
    "README.md": "from lakeviz.lake import LakeOptions",
    "docs/tasks/select.md": "from lakeviz import load_model, read_dataset, stream_statistics\n"
    "wood = read_dataset('mvtec', 'lakeviz-demo/data').category('wood')\n"
    "train, point = wood.split('train'), 'blocks.2.hook_resid_post'\n"
    "statistics = stream_statistics(load_model('tiny'), train, point)",
}
# Pages that speak of ``data`` (and ``model``, ``lake``, ``evaluation``) that were made before.
OF_STUDIES = (
    "contamination",
    "decompose",
    "explore",
    "figures",
    "knockout",
    "knockout-forward",
    "neurons",
    "outliers",
    "patching",
    "pca",
    "probes",
    "plugins",
    "tables",
    "units",
)
BEFORE |= dict.fromkeys((f"docs/tasks/{name}.md" for name in OF_STUDIES), "")
BEFORE["docs/outliers.md"] = BEFORE.pop("docs/tasks/outliers.md")
BEFORE["docs/tasks/decompose.md"] = (
    "import torch\nimages = torch.zeros(1, 3, 96, 96)\n"
    "directions = torch.eye(2, model.encode_image(images).shape[-1])"
)
BEFORE["docs/tasks/figures.md"] = (
    "from lakeviz.data import load_image\nfrom lakeviz.plots import colour_range\n"
    "image, mask = load_image(evaluation.dataset.paths[3]), evaluation.mask(3)\n"
    "patch_scores = evaluation.maps.patch[3]\n"
    "colours = colour_range(evaluation.maps.patch, evaluation.dataset.labels)"
)
BEFORE["docs/tasks/tables.md"] = (
    "evaluations, some, others = [evaluation], [evaluation], [evaluation]"
)
BEFORE["docs/tasks/video.md"] = BEFORE["docs/tasks/depth.md"] = ""
PAGES = sorted({*BEFORE, "docs/getting-started.md", "docs/index.md"})

# What stands on a page, and what is run in its place.
SMALL = "LakeOptions(k=20, layers=(2,), map_size=(24, 24))"
ELSEWHERE = {
    'write_video_benchmark("video", scenes=["belt"])': (
        'write_video_benchmark("video", scenes=["belt"], kinds=["jump"], n_train=3, n_good=1, '
        "n_frames=16, size=48)"
    ),
    "~/data/mvtec_ad": "mvtec",
    "/data/mvtec_ad": "mvtec",
    "(1024, 1024)": "(48, 48)",
    "seed=0), wood)": f"seed=0), wood, options={SMALL})",
    "LakeOptions(k=100)": SMALL,
    "n_random_sets=20": "n_random_sets=2",
    "n_random_sets=10": "n_random_sets=2",
    "n_repeats=10": "n_repeats=2",
    "n_jobs=8": "backend='sequential'",
    'compare_host("patchcore"': 'compare_host("pca_residual"',
    "sizes=(4, 16), n_random_sets=4": "sizes=(4,), n_random_sets=2, n_shuffles=2, n_folds=2",
    "n_pairs=12, n_random_sets=4": "n_pairs=3, n_random_sets=2, n_checked=3, integrated_steps=2",
    'controls=("random",), n_random_sets=5': 'controls=("random",), n_random_sets=2',
    "knockout(data)": "knockout(data, sizes=[5], n_random_sets=2)",
    "knockout(data, n_random_sets": "knockout(data, sizes=[5], n_random_sets",
    'knockout(data, "score"': 'knockout(data, "score", sizes=[5]',
    "knockout(data, kind=": "knockout(data, sizes=[5], n_random_sets=2, single=False, kind=",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages name: data, a run, exported maps."""
    from lakeviz import RunSpec, execute, write_benchmark
    from lakeviz.lake import LakeOptions

    made = tmp_path_factory.mktemp("docs")
    few = {"size": 48, "n_good": 4, "n_per_defect": 1}
    write_benchmark(made / "lakeviz-demo/data", categories=("wood", "bottle", "cable"), **few)
    write_benchmark(made / "mvtec", categories=("bottle", "cable", "gear"), **few)
    (made / "mvtec/gear").rename(made / "mvtec/screw")
    write_benchmark(made / "benchmark", categories=("wood", "gear"), **few)
    shutil.copytree(made / "benchmark/wood/train/good", made / "normal")
    shutil.copytree(made / "benchmark/wood/test/hole", made / "new")
    options = LakeOptions(k=20, layers=(2,), map_size=(24, 24))
    names = ("bottle", "cable")
    run = RunSpec("mvtec", str(made / "mvtec"), model="tiny", categories=names, options=options)
    execute(run, made / "runs/mvtec")
    for mask in (made / "mvtec/bottle/ground_truth").glob("*/*.png"):
        _export(made / "results/maps" / mask.parent.name / mask.name.replace("_mask.png", ".npy"))
    for number in range(3):
        _export(made / "results/maps/good" / f"{number}.npy")
    return made


def _export(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.random.default_rng(0).random((12, 12)))


@pytest.fixture(scope="module")
def studied(folder: Path) -> dict[str, Any]:
    """One category, captured once for all pages of studies."""
    from lakeviz import Lake, capture_study, load_model, read_dataset
    from lakeviz.lake import LakeOptions

    model = load_model("tiny")
    wood = read_dataset("mvtec", folder / "lakeviz-demo/data").category("wood")
    options = LakeOptions(k=20, layers=(2, 3), map_size=(24, 24))
    lake = Lake(model, k=20, layers=[2], map_size=(24, 24))
    evaluation = lake.fit(wood.few_shot(8, seed=0)).evaluate(wood)
    data = capture_study(model, wood.few_shot(10, seed=0), wood, options=options)
    return {"model": model, "lake": lake, "evaluation": evaluation, "data": data}


def test_the_first_heat_map_takes_five_lines():
    """From a clone to a figure, as typed: the front page and the next one say the same."""
    index, start = (
        (ROOT / f"docs/{name}.md").read_text("utf-8") for name in ("index", "getting-started")
    )
    typed = re.findall(r"^```(?:bash|python)\n(.*?)^```$", index, re.M | re.S)
    lines = [line for line in "".join(typed).splitlines() if line]
    assert len(lines) == 5
    assert lines[1] == "uv run jupyter lab"
    assert lines[-1].endswith(".heatmap(0)")
    assert typed[-1] in start


@pytest.mark.parametrize("page", PAGES)
def test_page_runs(page, folder, studied, monkeypatch):
    text = (ROOT / page).read_text(encoding="utf-8")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if "open_browser" in text and not browser:
        pytest.skip("Chromium is not installed")
    monkeypatch.chdir(folder)
    given = studied if Path(page).stem in OF_STUDIES else {}
    world: dict[str, Any] = {"__name__": "page", **given}
    exec(BEFORE.get(page, ""), world)
    for block in BLOCK.finditer(text):
        if block["mark"]:
            continue
        code = block["code"]
        for there, here in ELSEWHERE.items():
            code = code.replace(there, here)
        line = text[: block.start("code")].count("\n")
        exec(compile("\n" * line + code, page, "exec"), world)
