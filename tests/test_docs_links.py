"""Links of the README, the documentation and the notebooks lead somewhere; nothing is fetched."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(<?([^)<>\s]*)>?\)")
DOWNLOAD = re.compile(r"\{download\}`[^`<]*<([^>]+)>`")
INCLUDED = re.compile(r"^```\{include\} (\S+)$", re.MULTILINE)
TREE = re.compile(r"```\{toctree\}\n(.*?)^```$", re.M | re.S)


def prose(path: Path) -> str:
    """What a page says outside code, or the text cells of a notebook."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    return CODE.sub("", text)


def anchors(path: Path) -> set[str]:
    """Anchors of the headings, made as GitHub and MyST make them."""
    titles = re.findall(r"^#+ +(.+?) *$", prose_with_names(path), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def prose_with_names(path: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def problem(page: Path, target: str) -> str | None:
    """Why a link of a page leads nowhere."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        whole = parts.scheme == "https" and re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?", parts.netloc)
        return None if whole else "is no https address"
    there = (page.parent / parts.path).resolve() if parts.path else page
    if not target:
        return None  # the title of the page, by MyST
    if not there.exists():
        return "is not there"
    if not there.is_relative_to(ROOT):
        return "lies outside the repository"
    if parts.fragment and there.suffix == ".md" and parts.fragment not in anchors(there):
        return f"has no heading #{parts.fragment}"
    return None


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = LINK.findall(prose(page))
    if page.suffix == ".md":
        targets += DOWNLOAD.findall(page.read_text(encoding="utf-8"))
    wrong = [f"{t} {said}" for t in targets if (said := problem(page, t))]
    assert not wrong, f"{page.name}: " + "; ".join(wrong)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("http://example.org", "is no https address"),
        ("https://", "is no https address"),
        ("nowhere.md", "is not there"),
        ("../..", "lies outside the repository"),
        ("metrics.md#no-such-heading", "has no heading #no-such-heading"),
        ("design.md#how-a-study-is-built", None),
        ("https://arxiv.org/abs/2604.07802", None),
    ],
)
def test_bad_links_are_found(target, said):
    assert problem(DOCS / "index.md", target) == said


def test_every_page_is_reachable_from_the_index():
    found, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        found.add(page)
        for tree in TREE.findall(page.read_text(encoding="utf-8")):
            names = [line for line in tree.splitlines() if line and not line.startswith(":")]
            waiting += [p for n in names if (p := page.parent / f"{n}.md") not in found]
    # Tables that a page includes are no pages.
    parts = {
        Path(os.path.normpath(p.parent / name))
        for p in found
        for name in INCLUDED.findall(p.read_text("utf-8"))
    }
    assert found == set(DOCS.rglob("*.md")) - set((DOCS / "_build").rglob("*.md")) - parts
