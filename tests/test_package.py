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
    "units",
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
SERIALISERS = {
    ROOT / "studies/sweep/backends.py": {
        "joblib.Parallel",
        "joblib.delayed",
        "joblib.parallel_config",
        "joblib.externals.loky.get_reusable_executor",
    },
    # Its unpickler builds tensors and nothing else.
    ROOT / "models/load/torchscript.py": {"pickle"},
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


@pytest.mark.parametrize("path", sorted(ROOT.rglob("__init__.py")), ids=lambda p: p.parent.name)
def test_a_lazy_name_is_not_that_of_its_module(path: Path):
    """Such a name would become the module, once something imports it; it is imported at once."""
    blocks = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.If)]
    lines = [line for block in blocks for line in ast.walk(block)]
    names = {a.name for line in lines if isinstance(line, ast.ImportFrom) for a in line.names}
    assert not names & {p.stem for p in path.parent.iterdir()}


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
        allowed = SERIALISERS.get(path, set())
        assert stores <= allowed


# --- circles, and imports that a string hides ---

# Faces of packages load names on first use; old names lead to new ones.
BY_NAME = {"lazy.py", "renamed.py", "studies/base/study.py"}
FOREIGN = ("sklearn", "anomalib", "distributed", "ray", "torch", "open_clip", "timm")


def _modules() -> dict[str, Path]:
    return {
        ".".join(("lakeviz", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): p
        for p in ROOT.rglob("*.py")
    }


def _uses(path: Path, known: dict[str, Path]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name in known and known[name].stem != "__init__"}


def test_there_is_no_import_circle():
    known = _modules()
    uses = {n: _uses(p, known) - {n} for n, p in known.items() if p.stem != "__init__"}
    left = dict(uses)
    while True:  # what imports nothing that is left cannot lie on a circle
        free = [name for name, own in left.items() if not own & left.keys()]
        if not free:
            break
        for name in free:
            del left[name]
    assert not left, f"these import each other: {sorted(left)}"


def test_a_circle_would_be_found():
    known = {"a": Path("a.py"), "b": Path("b.py")}
    uses = {"a": {"b"}, "b": {"a"}}
    assert not [name for name in known if not uses[name] & known.keys()]


def test_no_import_of_this_package_hides_in_a_string():
    for name, path in _modules().items():
        where = path.relative_to(ROOT).as_posix()
        if where in BY_NAME:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__", "find_spec"):
                argument = node.args[0]
                text = argument.value if isinstance(argument, ast.Constant) else ""
                assert text.startswith(FOREIGN) or _is_foreign(argument, path), f"{name}: {called}"


def _is_foreign(argument: ast.expr, path: Path) -> bool:
    """A name that is a parameter or loop variable of modules outside this package."""
    return not isinstance(argument, ast.Constant) and "lakeviz" not in ast.unparse(argument)


TORCH = ("torch", "open_clip", "transformer_lens", "timm")


@pytest.mark.parametrize("name", sorted(p.parent.name for p in ROOT.glob("studies/*/result.py")))
def test_reading_and_drawing_a_result_loads_no_torch(name):
    room = ROOT / "studies" / name
    files = [p.stem for p in room.glob("*figures.py")] + ["result"]
    if name == "base":
        files = ["result", "registry", "findings", "study", "settings"]
    lines = "; ".join(f"import lakeviz.studies.{name}.{file}" for file in sorted(files))
    done = _python(f"import sys; {lines}; print([m for m in {TORCH!r} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_reading_a_run_and_listing_figures_loads_no_torch(tmp_path):
    run, out = Path(__file__).parent / "golden/run_v1", tmp_path / "t.tex"
    code = (
        "import sys\nimport lakeviz.report.figures\nfrom lakeviz.cli import main\n"
        "assert 'scipy' not in sys.modules, 'slow to load, and needed by some studies only'\n"
        f"main(['figure', '--list', {str(run)!r}])\n"
        f"main(['ls', {str(run)!r}])\n"
        f"main(['table', {str(run)!r}, '--out', {str(out)!r}])\n"
        f"print([m for m in {TORCH!r} if m in sys.modules])"
    )
    done = _python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"
