"""Files that are not there are refused before a model is loaded, and before torch is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lakeviz.cli import main
from lakeviz.data.synthetic import write_benchmark


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    return write_benchmark(out, categories=("tile",), size=32, n_train=3, n_good=2, n_per_defect=1)


CASES = {
    "weights": (["--model", "ViT-B-16", "--pretrained", "gone.safetensors"], "gone.safetensors"),
    "weights of timm": (["--model", "timm/vit_tiny_patch16_224", "--pretrained", "a/b"], "a/b"),
    "folder of a model": (["--model", "local-dir:gone"], "no folder gone"),
    "preprocessing": (["--model", "ViT-B-16", "--preprocess", "gone.json"], "gone.json"),
    "few-shot list": (["--few-shot-list", "gone.txt"], "gone.txt"),
    "root": (["--root", "/gone/root"], "/gone/root"),
    "manifest": (["--from", "gone/manifest.json"], "gone/manifest.json"),
    "plan": (["--plan", "gone.json"], "gone.json"),
}


def refused(capsys, *words) -> str:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("command", ["run", "claims"])
def test_no_model_is_loaded(case, command, root, tmp_path, capsys, monkeypatch):
    if case == "plan" and command == "run":
        pytest.skip("only claims have a plan")

    def load(*_, **__):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("lakeviz.models.load_model", load, raising=False)
    words, said = CASES[case]
    out = ["--out", tmp_path / "out"]
    assert said in refused(capsys, command, "mvtec", "--root", root, *words, *out)
    assert not (tmp_path / "out").exists()


def test_a_word_list_and_a_run_are_looked_for_first(tmp_path, capsys):
    said = refused(capsys, "study", "dossier", tmp_path, "--words", tmp_path / "gone.txt")
    assert "gone.txt" in said
    assert "holds no run" in refused(capsys, "study", "knockout", tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ["run", "mvtec", "--root", ".", "--model", "ViT-B-16", "--pretrained", "gone.pt"],
        ["study", "knockout", "gone"],
        ["hooks", "ViT-B-16", "--pretrained", "gone.pt"],
    ],
)
def test_torch_is_not_loaded_for_it(words):
    code = (
        f"import sys\nfrom lakeviz.cli import main\ntry:\n    main({words!r})\n"
        "except SystemExit as stop:\n    print(stop.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"], done.stderr
