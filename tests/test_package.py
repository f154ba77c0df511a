"""The package as a whole: light imports, one direction of flow, names that exist."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lakeviz

ROOT = Path(lakeviz.__file__).parent
HEAVY = ("torch", "open_clip", "transformer_lens", "timm", "pandas", "plotly")
FLOORS = (
    "data",
    "models",
    "activations",
    "metrics",
    "plots",
    "lake",
    "runs",
    "studies",
    "explorer",
    "report",
    "cli",
)
# Metrics and figures know neither data nor a model.
NEVER = {
    "metrics": {*FLOORS},
    "plots": {*FLOORS} - {"metrics"},
}


# joblib stores by pickle; only its parallel calls are used, in one file.
JOBLIB_FILE = ROOT / "studies/sweep/backends.py"
JOBLIB = {
    "joblib.Parallel",
    "joblib.delayed",
    "joblib.parallel_config",
    "joblib.externals.loky.get_reusable_executor",
}


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_import_loads_nothing_heavy():
    code = f"import lakeviz, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = _python(code)
    assert done.stdout.strip() == "[]", done.stderr


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom lakeviz.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        f"bad = [m for m in {HEAVY!r} if m in sys.modules]\nassert not bad, bad"
    )
    done = _python(code)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout


def test_every_public_name_exists():
    for name in lakeviz.__all__:
        assert getattr(lakeviz, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lakeviz.nothing


def _imports(path: Path) -> set[str]:
    """Floors a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "lakeviz" and len(parts) > 1:
                found.add(parts[1])
    return found


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_flow(path: Path):
    floor = path.relative_to(ROOT).parts[0]
    imported = _imports(path)
    if floor in NEVER:
        assert not imported & (NEVER[floor] - {floor})
    elif floor in FLOORS:
        assert not imported & set(FLOORS[FLOORS.index(floor) + 1 :])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        stores = {name for name in names if name.split(".")[0] in ("pickle", "joblib", "dill")}
        allowed = JOBLIB if path == JOBLIB_FILE else set()
        assert stores <= allowed
