"""Scored maps: the numbers of the metrics and of a saved evaluation; an error per bad file."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lakeviz.cli import main
from lakeviz.errors import ConfigError, DataError, MaskError
from lakeviz.lake import Lake, evaluate
from lakeviz.metrics import Bootstrap, image_metrics, pixel_metrics
from lakeviz.studies.score_maps import ScoredMaps, save_predictions, score_maps

FEW = Bootstrap(n_resamples=50)


@pytest.fixture
def folders(tmp_path):
    """Six maps of 12 x 10 pixels, in two folders; masks of the three defective ones."""
    generator = np.random.default_rng(0)
    maps, masks = {}, {}
    for folder in ("good", "scratch"):
        (tmp_path / "maps" / folder).mkdir(parents=True)
        for number in range(3):
            name = f"{folder}/{number:03}"
            maps[name] = generator.random((12, 10)).astype(np.float32)
            masks[name] = np.zeros((12, 10), dtype=bool)
            if folder == "scratch":
                masks[name][number : number + 4, 2:6] = True
                maps[name] += 0.5 * masks[name]
            np.save(tmp_path / "maps" / f"{name}.npy", maps[name])
    (tmp_path / "masks/scratch").mkdir(parents=True)
    for number in range(3):
        picture = Image.fromarray(masks[f"scratch/{number:03}"])
        picture.save(tmp_path / f"masks/scratch/{number:03}_mask.png")
    return tmp_path, maps, masks


def value(result, level, metric):
    table = result.metrics
    return float(table[(table.level == level) & (table.metric == metric)]["value"].iloc[0])


def test_numbers_are_those_of_the_metrics(folders):
    root, maps, masks = folders
    result = score_maps(root / "maps", root / "masks", bootstrap=FEW, name="toy")
    labels = [int(m.any()) for m in masks.values()]
    image = image_metrics([m.max() for m in maps.values()], labels)
    pixel = pixel_metrics(list(maps.values()), list(masks.values()))
    for metric in ("auroc", "average_precision", "f1_max"):
        assert value(result, "image", metric) == getattr(image, metric)
    for metric in ("auroc", "average_precision", "f1_max", "aupro", "aupimo"):
        assert value(result, "pixel", metric) == pytest.approx(
            getattr(pixel, metric), rel=1e-12, nan_ok=True
        )
    assert list(result.scores["defect_type"]) == ["good"] * 3 + ["scratch"] * 3
    assert "toy: image AUROC" in result.summary()
    assert "on 6 images, 3 of them defective" in result.summary()
    assert len(result.figures()) == 2
    assert len(result.headline()) == 8


@pytest.mark.parametrize("kind", ["one_npz", "npz_each", "tiff", "png16"])
def test_every_kind_of_file_gives_the_same(folders, kind):
    root, maps, _ = folders
    wanted = score_maps(root / "maps", root / "masks", bootstrap=FEW)
    where = root / "other"
    if kind == "one_npz":
        where = root / "maps.npz"
        np.savez(where, **{f"{name}.png": one for name, one in maps.items()})
    for name, one in maps.items() if kind != "one_npz" else ():
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "npz_each":
            np.savez(f"{path}.npz", anomaly_map=one[None], image=np.zeros((3, 12, 10)))
        elif kind == "tiff":
            Image.fromarray(one).save(f"{path}.tiff")
        else:
            Image.fromarray((one * 30000).astype(np.uint16)).save(f"{path}.png")
    found = score_maps(where, root / "masks", bootstrap=FEW)
    tolerance = 2e-3 if kind == "png16" else 0
    for level, metric in (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro")):
        assert value(found, level, metric) == pytest.approx(
            value(wanted, level, metric), abs=tolerance
        )


def test_a_saved_evaluation_exported_and_scored_is_the_same(tile, tiny_model, tmp_path, capsys):
    lake = Lake(tiny_model("clip"), k=8, layers=(1, 2), map_size=(24, 24))
    lake.fit(tile.few_shot(3, 1))
    evaluation = evaluate(lake, tile, bootstrap=FEW)
    keys = [f"{i:03}" for i in range(len(evaluation.maps))]
    (tmp_path / "maps").mkdir()
    (tmp_path / "masks").mkdir()
    for index, key in enumerate(keys):
        np.save(tmp_path / "maps" / key, evaluation.maps.pixel_map(index))
        mask = evaluation.dataset.mask(index, evaluation.maps.sizes[index])
        np.save(tmp_path / "masks" / key, mask)
    scores = pd.DataFrame({"sample_id": keys, "score": evaluation.maps.image_scores})
    scores.to_csv(tmp_path / "scores.csv", index=False)
    main(
        [
            *("score", "--maps", str(tmp_path / "maps"), "--masks", str(tmp_path / "masks")),
            *("--scores", str(tmp_path / "scores.csv"), "--out", str(tmp_path / "out")),
            *("--resamples", "50", "--map-size", "24"),
        ]
    )
    assert "image AUROC" in capsys.readouterr().out
    columns = ["level", "metric", "value", "low", "high", "n_images", "n_regions", "reason"]
    own = evaluation.metrics[evaluation.metrics["branch"] == "lake"][columns]
    found = ScoredMaps.from_parquet(tmp_path / "out").metrics[columns]
    pd.testing.assert_frame_equal(
        found, own.reset_index(drop=True), check_exact=False, rtol=1e-12, check_dtype=False
    )
    assert (tmp_path / "out/metrics.csv").is_file()


def test_sizes_are_brought_together_only_when_asked(folders):
    root, *_ = folders
    mask = root / "masks/scratch/001_mask.png"
    with Image.open(mask) as opened:
        opened.resize((20, 24), Image.Resampling.NEAREST).save(mask)
    with pytest.raises(DataError, match=r"001.npy is 12 x 10 and its mask .*001_mask.png 24 x 20"):
        score_maps(root / "maps", root / "masks")
    for size in ("mask", (12, 10), (24, 20)):
        assert (
            value(score_maps(root / "maps", root / "masks", map_size=size), "pixel", "auroc") > 0.5
        )
    n_regions = score_maps(root / "maps", root / "masks", map_size="mask").metrics["n_regions"]
    tiny = score_maps(root / "maps", root / "masks", map_size=(1, 1))
    assert list(tiny.metrics["n_regions"]) == list(n_regions)  # no defect is lost
    with pytest.raises(ConfigError, match="map size is"):
        score_maps(root / "maps", root / "masks", map_size=(0, 3))
    with pytest.raises(ConfigError, match="smoothing is -1"):
        score_maps(root / "maps", root / "masks", smoothing=-1)


def test_an_image_without_mask_is_normal_only_where_that_is_said(folders):
    root, *_ = folders
    (root / "maps/good").rename(root / "maps/others")
    with pytest.raises(DataError, match=r"3 maps .*without a mask; .*--normal-without-mask"):
        score_maps(root / "maps", root / "masks")
    said = score_maps(root / "maps", root / "masks", normal_without_mask=True, bootstrap=FEW)
    assert said.scores["label"].sum() == 3


def test_scores_of_a_file(folders):
    root, maps, _ = folders
    path = root / "scores.csv"
    names = [f"{name}.png" for name in maps]
    pd.DataFrame({"sample_id": names, "score": range(6)}).to_csv(path, index=False)
    found = score_maps(root / "maps", root / "masks", scores=path, bootstrap=FEW)
    assert value(found, "image", "auroc") == 1
    assert found.provenance["conventions"]["image_score"] == "of the CSV file"
    for text, message in (
        ("sample_id,score\ngood/000,1", r"5 images \(good/001, good/002, scratch/000 and 2 more\)"),
        ("sample_id,score\ngood/000,1\ngood/000,2", "good/000 has two scores"),
        ("sample_id,score\ngood/000,x", "good/000 is not a finite number"),
        ("name,score\ngood/000,1", "no column 'sample_id'; it has name, score"),
        ("", "cannot read the scores"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            score_maps(root / "maps", root / "masks", scores=path)


def claim_much(path):
    """Write a header of 10^12 numbers, and none of them."""
    with path.open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
        np.lib.format.write_array_header_1_0(file, header)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: np.save(r / "maps/good/000", np.full((12, 10), np.nan)), "000.npy has 120 val"),
        (lambda r: np.save(r / "maps/good/000", np.zeros((2, 12, 10))), "one number per pixel"),
        (lambda r: (r / "maps/good/000.npy").write_bytes(b"no"), r"cannot read the map .*000.npy"),
        (lambda r: claim_much(r / "maps/good/000.npy"), r"cannot read the map .*000.npy"),
        (lambda r: os.mkfifo(r / "maps/good/009.npy"), "009.npy is a named pipe"),
        (lambda r: (r / "masks/scratch/9.png").symlink_to("/gone"), "9.png is a broken link"),
        (lambda r: np.savez(r / "maps/good/000", a=1, b=2), "two maps of good/000"),
        (lambda r: (r / "maps/scratch/000.npy").unlink(), "1 mask .*without a map of that name"),
        (lambda r: (r / "masks/scratch/000.png").write_bytes(b"no"), "two masks of scratch/000"),
        (lambda r: (r / "masks/scratch/000_mask.png").write_bytes(b"no"), "cannot read the mask"),
        (lambda r: (r / "maps/scratch").rename(r / "maps/x"), "called like good/000, good/001"),
        (lambda r: (r / "masks").rename(r / "gone"), "is no folder of masks"),
        (lambda r: (r / "maps").rename(r / "gone"), "neither a folder of maps nor an .npz"),
        (
            lambda r: Image.new("RGB", (10, 12)).save(r / "maps/good/009.png"),
            "picture of mode RGB, drawn in colours",
        ),
    ],
)
def test_bad_files_are_named(folders, spoil, message):
    root, *_ = folders
    spoil(root)
    with pytest.raises((DataError, MaskError), match=message):
        score_maps(root / "maps", root / "masks")


def test_eight_bit_maps_are_noted(folders):
    root, maps, _ = folders
    for name, one in maps.items():
        Image.fromarray((one * 100).astype(np.uint8)).save(root / "maps" / f"{name}.png")
        (root / "maps" / f"{name}.npy").unlink()
    found = score_maps(root / "maps", root / "masks", bootstrap=FEW)
    assert "6 of 6 maps are 8-bit" in found.notes[0]


def test_predictions_of_anomalib(folders):
    root, maps, _ = folders
    batches = [
        SimpleNamespace(
            image_path=[str(root / "images" / f"{name}.png") for name in names],
            anomaly_map=torch.stack([torch.from_numpy(maps[name])[None] for name in names]),
            pred_score=torch.tensor([maps[name].max() for name in names]),
        )
        for names in (list(maps)[:4], list(maps)[4:])
    ]
    folder = save_predictions(batches, root / "saved", root / "images")
    found = score_maps(folder / "maps", root / "masks", scores=folder / "scores.csv", bootstrap=FEW)
    wanted = score_maps(root / "maps", root / "masks", bootstrap=FEW)
    pd.testing.assert_frame_equal(found.metrics[["value"]], wanted.metrics[["value"]])
    with pytest.raises(DataError, match="does not lie below"):
        save_predictions(batches, root / "x", root / "elsewhere")
    with pytest.raises(DataError, match="was predicted twice"):
        save_predictions([*batches, batches[0]], root / "x", root / "images")
    with pytest.raises(DataError, match="no anomaly_map"):
        save_predictions([SimpleNamespace(image_path=[])], root / "x", root)
    with pytest.raises(DataError, match="there is no prediction"):
        save_predictions([], root / "x", root)


def test_the_command_line_says_what_is_wrong(folders, capsys):
    root, *_ = folders
    with pytest.raises(SystemExit) as stop:
        main(
            ["score", "--maps", str(root), "--masks", str(root / "none"), "--out", str(root / "o")]
        )
    assert stop.value.code == 2
    assert "is no folder of masks" in capsys.readouterr().err
