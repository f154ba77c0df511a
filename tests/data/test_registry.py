"""Names, options and detection of layouts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lakeviz.data import (
    Reading,
    Sample,
    datasets_table,
    get_layout,
    read_dataset,
    register_reader,
    registry,
)
from lakeviz.errors import ConfigError, DataError, DatasetLayoutError, LakevizError


def test_import_loads_no_torch():
    code = "import lakeviz.data, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_table_lists_every_layout_with_licence():
    table = datasets_table()
    assert list(table.columns) == ["name", "title", "layout", "license", "homepage", "citation"]
    assert {"mvtec", "visa", "btad", "bmad", "mtd", "mpdd", "kolektor_sdd", "folder", "csv"} <= set(
        table["name"]
    )
    assert (table["license"] != "").all()


@pytest.mark.parametrize("name", list(datasets_table()["name"]))
def test_missing_root_is_one_clear_error(name, tmp_path):
    with pytest.raises(DatasetLayoutError, match=r"nowhere (does not exist|is not a file)"):
        read_dataset(name, tmp_path / "nowhere")


FOLDER_LAYOUTS = [n for n in datasets_table()["name"] if n != "csv"]


@pytest.mark.parametrize("name", FOLDER_LAYOUTS)
def test_wrong_layout_says_what_was_looked_for_and_found(name, tmp_path):
    (tmp_path / "holiday_pictures").mkdir()
    with pytest.raises(LakevizError) as raised:
        read_dataset(name, tmp_path)
    assert isinstance(raised.value, DatasetLayoutError)
    assert "holiday_pictures" in str(raised.value)


@pytest.mark.parametrize("name", FOLDER_LAYOUTS)
def test_root_that_is_a_file_is_refused(name, tmp_path):
    (tmp_path / "data.zip").write_text("")
    with pytest.raises(DatasetLayoutError, match=r"data\.zip is a file"):
        read_dataset(name, tmp_path / "data.zip")


def test_unknown_layout_gives_the_nearest(tmp_path):
    with pytest.raises(DataError, match="'mvtek'; nearest: mvtec"):
        read_dataset("mvtek", tmp_path)
    assert get_layout("MVTec-LOCO").name == "mvtec_loco"


def test_auto_refuses_what_it_cannot_tell(tmp_path, mvtec_category):
    (tmp_path / "x").mkdir()
    with pytest.raises(DatasetLayoutError, match=r"cannot tell the layout.*fitting: none"):
        read_dataset("auto", tmp_path)
    mvtec_category(tmp_path / "cable")
    assert read_dataset("auto", tmp_path).name == "mvtec"
    (tmp_path / "kos01").mkdir()
    with pytest.raises(DatasetLayoutError, match="fitting: kolektor_sdd, mvtec"):
        read_dataset("auto", tmp_path)


def test_on_missing_mask_has_two_values(tmp_path, mvtec_category):
    mvtec_category(tmp_path / "cable")
    with pytest.raises(ConfigError, match="on_missing_mask"):
        read_dataset("mvtec", tmp_path, on_missing_mask="ignore")


def test_own_reader(tmp_path, put_image, monkeypatch):
    monkeypatch.setattr(registry, "_LAYOUTS", dict(registry._LAYOUTS))
    image = put_image(tmp_path / "a.png")

    @register_reader("mine", title="Mine", layout="a.png", license="CC0")
    def read(root, categories, *, kind="scar"):
        return Reading(tmp_path, [Sample(image, "skin", "test", kind)])

    data = read_dataset("mine", tmp_path, kind="burn")
    assert data.frame["defect_type"].tolist() == ["burn"]
    assert data.license == "CC0"
    with pytest.raises(ConfigError, match="no option 'kid'; nearest: kind"):
        read_dataset("mine", tmp_path, kid="burn")
    with pytest.raises(ConfigError, match="already registered"):
        register_reader("mine", title="", layout="")(read)
