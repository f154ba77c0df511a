"""The user's own folders, CSV files and DataFrames."""

from __future__ import annotations

import pandas as pd
import pytest

from lakeviz.data import from_dataframe, read_dataset
from lakeviz.errors import ConfigError, DatasetLayoutError, MaskError


def rows(dataset, *columns):
    return [tuple(r) for r in dataset.frame[list(columns)].to_numpy(dtype=object)]


@pytest.fixture
def parts(tmp_path, put_image, put_mask):
    root = tmp_path / "parts"
    for i in range(4):
        put_image(root / f"fine/{i}.png")
    put_image(root / "dent/a.png")
    put_image(root / "rust/b.png")
    put_mask(root / "masks/dent/a_mask.png", [(0, 0)])
    put_mask(root / "masks/rust/b.png", [(1, 1)])
    return root


def test_folder_finds_its_defects_and_masks(parts):
    data = read_dataset("folder", parts, normal="fine", masks="masks")
    assert data.categories == ["parts"]
    assert rows(data.anomalous(), "sample_id", "defect_type", "split") == [
        ("dent/a.png", "dent", "test"),
        ("rust/b.png", "rust", "test"),
    ]
    assert data.has_masks
    assert sorted(data.normal().frame["split"]) == ["test", "test", "train", "train"]


def test_folder_with_named_directories_and_flat_masks(parts, put_image, put_mask):
    put_image(parts / "held_out/9.png")
    put_mask(parts / "flat/a.png", [(0, 0)])
    data = read_dataset(
        "folder",
        parts,
        normal="fine",
        normal_test="held_out",
        anomalous=["dent"],
        masks="flat",
        category="bolt",
    )
    assert data.categories == ["bolt"]
    assert rows(data, "sample_id", "split") == [
        ("dent/a.png", "test"),
        *((f"fine/{i}.png", "train") for i in range(4)),
        ("held_out/9.png", "test"),
    ]
    assert data.has_masks


def test_folder_without_masks_is_labelled_at_image_level(parts):
    (parts / "masks").rename(parts / "sketches")
    data = read_dataset("folder", parts, normal="fine", anomalous=["dent", "rust"])
    assert not data.has_masks
    assert data.notes == ("parts: the images of sketches/ are not read",)
    assert data.frame["mask_path"].isna().all()


def test_folder_errors_say_what_is_wrong(parts):
    with pytest.raises(DatasetLayoutError, match="parts/normal is not a folder"):
        read_dataset("folder", parts)
    (parts / "empty").mkdir()
    with pytest.raises(DatasetLayoutError, match="holds no image"):
        read_dataset("folder", parts, normal="empty")
    with pytest.raises(ConfigError, match="no option 'mask'; nearest: masks"):
        read_dataset("folder", parts, normal="fine", mask="masks")
    (parts / "masks/dent/a_mask.png").unlink()
    with pytest.raises(MaskError, match=r"dent/a\.png"):
        read_dataset("folder", parts, normal="fine", masks="masks")


def test_csv_keeps_text_as_it_is_and_splits_by_seed(parts):
    table = parts / "images.csv"
    table.write_text(
        "path,label,mask,category\n"
        + "".join(f"fine/{i}.png,normal,,01\n" for i in range(4))
        + "dent/a.png,1,masks/dent/a_mask.png,01\n"
        + "rust/b.png,BAD,masks/rust/b.png,NA\n"
    )
    data = read_dataset("csv", table)
    assert data.categories == ["01", "NA"]
    assert rows(data.anomalous(), "sample_id", "defect_type", "category", "split") == [
        ("dent/a.png", "anomaly", "01", "test"),
        ("rust/b.png", "anomaly", "NA", "test"),
    ]
    assert len(data.split("train")) == 2
    assert data.root == parts
    assert read_dataset("auto", table).sample_ids == data.sample_ids
    assert read_dataset("csv", table, categories=["NA"]).sample_ids == ["rust/b.png"]


def test_csv_with_a_split_and_defect_types(parts):
    table = parts / "images.csv"
    table.write_text(
        "path,defect_type,split\n"
        "fine/0.png,good,train\n"
        "fine/1.png,good,validation\n"
        "dent/a.png,dent,test\n"
    )
    assert rows(read_dataset("csv", table), "sample_id", "label", "split", "category") == [
        ("dent/a.png", 1, "test", "images"),
        ("fine/0.png", 0, "train", "images"),
        ("fine/1.png", 0, "valid", "images"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\nfine/0.png,0\n", "must have the columns path and label"),
        ("path,label\nfine/9.png,0\n", r"row 1: .*fine/9\.png does not exist"),
        ("path,label\nfine/0.png,0\nfine/1.png,maybe\n", "row 2: label 'maybe'"),
        (
            "path,label,split\nfine/0.png,0,dev\n",
            "row 1: the split must be train, valid or test",
        ),
        ("path,label,mask\ndent/a.png,1,masks/x.png\n", r"row 1: the mask .*x\.png"),
        ("path,label,defect_type\nfine/0.png,0,dent\n", "row 1: label 0 contradicts .*'dent'"),
        ("path,label\nfine/0.png,0\nfine/0.png,0\n", r"fine/0\.png is listed more than once"),
        ("path,label\n", "no image found"),
        ("", "cannot read .* as CSV"),
    ],
)
def test_csv_errors_name_the_row(parts, text, message):
    table = parts / "images.csv"
    table.write_text(text)
    with pytest.raises(DatasetLayoutError, match=message):
        read_dataset("csv", table)


def test_dataframe_reads_like_csv(parts, tmp_path, put_image):
    outside = put_image(tmp_path / "elsewhere/z.png")
    frame = pd.DataFrame(
        {
            "path": ["fine/0.png", "dent/a.png", str(outside)],
            "label": [0, 1, 0],
            "mask_path": [None, "masks/dent/a_mask.png", None],
            "split": ["train", "test", "test"],
        }
    )
    data = from_dataframe(frame, parts, name="bolts")
    assert (data.name, data.categories) == ("bolts", ["bolts"])
    assert rows(data, "sample_id", "label", "split") == [
        (outside.as_posix(), 0, "test"),
        ("dent/a.png", 1, "test"),
        ("fine/0.png", 0, "train"),
    ]
    assert data.has_masks


def test_labels_may_be_probabilities_in_a_file_without_header(parts):
    table = parts / "labels.csv"
    table.write_text("fine/0.png 0.0 mono\nfine/1.png  0.333 mono\ndent/a.png 0.5 poly\n")
    options = {"separator": "whitespace", "header": ("path", "label", "cell")}
    with pytest.raises(DatasetLayoutError, match=r"row 2: label '0.333' .* label_threshold"):
        read_dataset("csv", table, **options)
    options |= {"label_threshold": 0.5, "category_column": "cell"}
    data = read_dataset("csv", table, **options)
    assert rows(data, "sample_id", "label", "category") == [
        ("dent/a.png", 1, "poly"),
        ("fine/0.png", 0, "mono"),
        ("fine/1.png", 0, "mono"),
    ]
    table.write_text("fine/0.png 0.0 mono\nfine/1.png nan mono\n")
    with pytest.raises(DatasetLayoutError, match="row 2: label 'nan' is not a number"):
        read_dataset("csv", table, **options)
    with pytest.raises(ConfigError, match="label_threshold must be finite"):
        read_dataset("csv", table, **options | {"label_threshold": float("nan")})
    with pytest.raises(ConfigError, match="category_column: no column 'kind'; there are path"):
        read_dataset("csv", table, **options | {"category_column": "kind"})


def test_columns_and_words_of_a_table_can_be_named(parts):
    table = parts / "images.csv"
    table.write_text("file,state\nfine/0.png,A\nfine/1.png,A\ndent/a.png,C\n")
    options = {"path_column": "file", "label_column": "state", "normal": "a", "anomalous": ["c"]}
    assert read_dataset("csv", table, **options).labels.tolist() == [1, 0, 0]
    frame = pd.read_csv(table)
    assert from_dataframe(frame, parts, **options).labels.tolist() == [1, 0, 0]
    with pytest.raises(ConfigError, match="unexpected keyword argument 'colour'"):
        from_dataframe(frame, parts, colour=1)
