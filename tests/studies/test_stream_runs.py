"""Every study on runs with streams over time and of depth: to its end, or a refusal by name."""

from __future__ import annotations

import pytest

from lakeviz import load_model
from lakeviz.cli import main
from lakeviz.data.synthetic import write_relief_benchmark, write_video_benchmark
from lakeviz.lake import LakeOptions
from lakeviz.lake.options import VisualOptions
from lakeviz.runs.run import execute
from lakeviz.runs.spec import RunSpec

FEW = ("--random-sets", "2")
ASKED = {
    "contamination": ("--repeats", "2", "--fraction", "0.5", "--shots", "2"),
    "decompose": FEW,
    "dossier": ("--top", "2", "--random", "2", "--no-labels", "--no-crops"),
    "hosts": (*FEW, "--draws", "1", "--host", "patch_nn"),
    "knockout": (*FEW, "--draws", "1", "--size", "2", "--no-single"),
    "neurons": ("--no-crops",),
    "overlap": ("--random-sets", "20", "--across", "layer", "--pool", "4"),
    "patching": (*FEW, "--pairs", "3"),
    "pca": (*FEW, "--permutations", "10", "--size", "2"),
    "probes": (*FEW, "--shuffles", "2", "--size", "2", "--folds", "2"),
    "readings": (*FEW, "--exchanged", "1"),
    "sweep": ("--grid", "k=2,4", "--backend", "sequential"),
}
REFUSED = ("patching",)  # it exchanges activations within the network, on pictures


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root, model = tmp_path_factory.mktemp("runs"), load_model("tiny")
    write_video_benchmark(
        root / "belt", scenes=["belt"], kinds=["dirt"], n_train=2, n_good=1, n_frames=16, size=48
    )
    counts = {"n_train": 4, "n_good": 3, "n_per_defect": 1}
    write_relief_benchmark(root / "relief", categories=("leather",), size=48, **counts)
    options = {"k": 4, "layers": (2,), "text_weight": 0, "map_size": (16, 16)}
    euclidean = VisualOptions(distance="euclidean")
    changes = LakeOptions(**options, streams=("image", "change_2"), visual=euclidean)
    depth = LakeOptions(**options, streams=("image", "normals"))
    given = {"draws": 2, "controls": ()}
    return {
        "video": execute(
            RunSpec("clips", str(root / "belt"), shots=1, options=changes, **given),
            root / "video",
            model=model,
        ),
        "depth": execute(
            RunSpec("mvtec_3d", str(root / "relief"), shots=2, options=depth, **given),
            root / "depth",
            model=model,
        ),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["video", "depth"])
@pytest.mark.parametrize("study", ASKED)
def test_a_study_of_streams_ends_or_is_refused_by_name(runs, name, study, capsys):
    few = () if study in ("overlap", "patching", "probes", "sweep") else ("--resamples", "20")
    asked = ["study", study, str(runs[name].folder), *ASKED[study], *few]
    code = 0
    try:
        main(asked)
    except SystemExit as ended:
        code = ended.code or 0
    said = "".join(capsys.readouterr())
    if study in REFUSED:
        assert code == 2
        assert "have blocks.2.hook_resid_post@" in said
        return
    assert code == 0, said
    assert (runs[name].folder / "studies" / study / "study.json").is_file()


@pytest.mark.slow
def test_figures_of_clips_are_listed_of_clips_alone(runs, capsys):
    said = {}
    for name, run in runs.items():
        main(["figure", "--list", str(run.folder)])
        said[name] = capsys.readouterr().out
    assert "film" in said["video"] and "timeline" in said["video"]
    assert "film" not in said["depth"] and "heatmap" in said["depth"]
