"""The explorer in Jupyter: one widget, and its still view for pages without a kernel.

The JavaScript and the style sheet come with the package.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

from lakeviz.errors import LakevizError
from lakeviz.explorer import payload
from lakeviz.explorer.fitted import Stopped
from lakeviz.explorer.payload import Pictures
from lakeviz.explorer.state import Explorer
from lakeviz.plots.html import PLAYER

_STATIC = Path(__file__).parent / "static"
_QUIET = 0.25  # seconds without another click before the whole test set is measured
_N_NEURONS = 12
_LINE = 'fill="none" vector-effect="non-scaling-stroke"'
_OUTLINE = (
    f'<path d="{{0}}" {_LINE} stroke="#10222b" stroke-width="4"/>'
    f'<path d="{{0}}" {_LINE} stroke="#40e0ff" stroke-width="1.5"/>'
)


class ExplorerWidget(anywidget.AnyWidget):
    """Shows an :class:`Explorer`; the notebook displays it, clicks come back as messages.

    Parameters
    ----------
    explorer : Explorer

    Attributes
    ----------
    explorer : Explorer
        Ask it what the widget shows, as arrays and tables.
    dropped : dict of hook point to list of int
        Neurons that are off.
    """

    _esm = PLAYER + (_STATIC / "explorer.js").read_text(encoding="utf-8")
    _css = _STATIC / "explorer.css"

    listing = traitlets.Dict().tag(sync=True)
    picture = traitlets.Dict().tag(sync=True)
    knocked = traitlets.Dict().tag(sync=True)
    exchanged = traitlets.Dict().tag(sync=True)
    metrics = traitlets.Dict().tag(sync=True)
    patch = traitlets.Dict().tag(sync=True)
    neuron = traitlets.Dict().tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)
    answered = traitlets.Int(0).tag(sync=True)

    _actions: ClassVar[tuple[str, ...]] = (
        "category",
        "image",
        "patch",
        "neuron",
        "toggle",
        "exchange",
        "visit",
    )

    def __init__(self, explorer: Explorer):
        super().__init__()
        self.explorer = explorer
        self.dropped: dict[str, list[int]] = {}
        self._pictures = {c: Pictures(explorer.fitted(c)) for c in explorer.categories}
        self._turn = 0
        self._lock = threading.RLock()
        self._measuring: threading.Thread | None = None
        self.on_msg(self._receive)
        self._show_category(explorer.categories[0])

    @property
    def category(self) -> str:
        """Category on show."""
        return self.listing["category"]

    # --- messages ---

    def _receive(self, _: Any, content: Mapping[str, Any], buffers: Any = None) -> None:
        action = content.get("do")
        problem = ""
        # All that an answer changes goes out in one message, so the page never mixes two states.
        with self._lock, self.hold_sync():
            try:
                if action in self._actions:
                    getattr(self, f"_on_{action}")(content)
            except LakevizError as error:
                problem = str(error)
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                raise
            finally:
                self.problem = problem
                self.answered = int(content.get("serial", 0))

    def _on_category(self, content: Mapping[str, Any]) -> None:
        self._show_category(content["name"])

    def _on_image(self, content: Mapping[str, Any]) -> None:
        self._show_image(int(content["index"]))

    def _on_patch(self, content: Mapping[str, Any]) -> None:
        self._show_patch(int(content["row"]), int(content["column"]))

    def _on_neuron(self, content: Mapping[str, Any]) -> None:
        view = self.explorer.neuron(
            content["point"], int(content["channel"]), n_examples=payload.N_CROPS
        )
        self.neuron = payload.neuron(view, self._pictures)

    def _on_toggle(self, content: Mapping[str, Any]) -> None:
        before = self.dropped
        self.dropped = {p: [int(c) for c in cs] for p, cs in content["dropped"].items() if cs}
        try:
            self._knock()
        except LakevizError:
            self.dropped = before
            raise
        self._show_patch(self.patch["row"], self.patch["column"])
        self._measure()

    def _on_exchange(self, content: Mapping[str, Any]) -> None:
        view = self.explorer.exchange(self.dropped, self.picture["index"], self.category)
        self.exchanged = payload.exchanged(view, self._pictures[self.category])

    def _on_visit(self, content: Mapping[str, Any]) -> None:
        if content["category"] != self.category:
            self._show_category(content["category"])
        # Examples are patches of a neuron's point, whose grid can be coarser than the map's.
        grid = self.explorer.fitted(self.category).intact.fused.shape[1:]
        row = int(content["row"]) * grid[0] // int(content["rows"])
        column = int(content["column"]) * grid[1] // int(content["columns"])
        self._show_image(int(content["index"]), (row, column))

    # --- what is shown ---

    def _show_category(self, name: str) -> None:
        scores = self.explorer.fitted(name).image_scores
        self.dropped = {}
        self.listing = payload.listing(self.explorer, name)
        self._show_image(int(scores.argmax()))
        self._measure()

    def _show_image(self, index: int, at: tuple[int, int] | None = None) -> None:
        pictures = self._pictures[self.category]
        self.picture = payload.picture(self.explorer, pictures, index, self.category)
        self._knock()
        if at is None:
            shown = self.knocked.get("scores") or self.picture["scores"]
            at = divmod(max(range(len(shown)), key=shown.__getitem__), self.picture["columns"])
        self._show_patch(*at)

    def _knock(self) -> None:
        self.exchanged = {}
        if not self.dropped:
            self.knocked = {}
            return
        view = self.explorer.knock_out(self.dropped, self.picture["index"], self.category)
        self.knocked = payload.knocked(view, self._pictures[self.category])

    def _show_patch(self, row: int, column: int) -> None:
        view = self.explorer.patch(
            self.picture["index"], row, column, dropped=self.dropped, category=self.category
        )
        self.patch = payload.patch(view, self._pictures[self.category])

    # --- the whole test set, in the background ---

    def _measure(self) -> None:
        self._turn += 1
        turn, dropped, category = self._turn, dict(self.dropped), self.category
        self.metrics = {**self.metrics, "state": "updating"}

        def go_on() -> bool:
            return turn == self._turn

        def work() -> None:
            pause.wait(_QUIET)
            try:
                if not go_on():
                    return
                table = self.explorer.measure(dropped, category, go_on=go_on)
                found = {"state": "done", "rows": payload.records(table)}
            except Stopped:
                return
            except Exception as error:
                found = {"state": "failed", "reason": f"{type(error).__name__}: {error}"}
            with self._lock:
                if not go_on():
                    return
                self.metrics = found | {"n": sum(len(c) for c in dropped.values())}

        pause = threading.Event()
        self._measuring = threading.Thread(target=work, name="lakeviz-explorer", daemon=True)
        self._measuring.start()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the metrics on show are up to date, for scripts and tests."""
        if self._measuring is not None:
            self._measuring.join(seconds)

    def close(self) -> None:
        """Stop measuring and close the widget."""
        self._turn += 1
        super().close()

    # --- where no kernel is live ---

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "text/html": still_view(self)}, metadata


def still_view(widget: ExplorerWidget) -> str:
    """Static HTML of what the widget shows now."""
    listing, picture, patch = widget.listing, widget.picture, widget.patch
    knocked = widget.knocked
    shown = knocked or picture
    image = next(i for i in listing["images"] if i["index"] == picture["index"])
    digits = listing["decimals"]
    said = [
        f"{image['name']} ({listing['category']}, {image['kind']}): "
        f"image score {shown['score']:.{digits}f}."
    ]
    if knocked:
        off, low, high = (knocked[name] for name in ("n", "control_min", "control_max"))
        said.append(
            f"{off} selected {'neuron is' if off == 1 else 'neurons are'} off; with all on it is "
            f"{knocked['intact']:.{digits}f}, and with as many random ones off "
            f"{knocked['control_mean']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f} in "
            f"{knocked['n_random_sets']} random sets)."
        )
    said.append(f"Colours {listing['rule']}.")
    return (
        '<div style="max-width: 44rem; line-height: 1.5">'
        "<p><strong>lakeviz explorer, a still view.</strong> Run the cell in a live notebook to "
        "choose images, patches and neurons.</p>"
        f'<div style="display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start">'
        f"{_svg(picture, shown, patch)}{_tables(patch)}</div>"
        f"<p>{escape(' '.join(said))}</p></div>"
    )


def _svg(picture: dict[str, Any], shown: dict[str, Any], patch: dict[str, Any]) -> str:
    width, height = picture["width"], picture["height"]
    step = width / picture["columns"], height / picture["rows"]
    opacity = 0.6 if picture["photo"] else 1
    layers = "".join(
        f'<image href="{uri}" width="{width}" height="{height}" opacity="{alpha}" '
        'preserveAspectRatio="none"/>'
        for uri, alpha in ((picture["photo"], 1), (shown["heat"], opacity))
        if uri
    )
    if picture["outline"]:
        layers += _OUTLINE.format(picture["outline"])
    frame = (
        f'x="{patch["column"] * step[0]:.1f}" y="{patch["row"] * step[1]:.1f}" '
        f'width="{step[0]:.1f}" height="{step[1]:.1f}" {_LINE}'
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" width="320" role="img" '
        'aria-label="Test image with its score map">'
        f'{layers}<rect {frame} stroke="#10222b" stroke-width="4"/>'
        f'<rect {frame} stroke="#ffffff" stroke-width="2"/></svg>'
    )


def _tables(patch: dict[str, Any]) -> str:
    made = []
    for point in patch["points"]:
        rows = "".join(
            f"<tr><td>{channel}</td><td>{rank}</td><td>{100 * share:.1f} %</td></tr>"
            for channel, rank, share in list(
                zip(point["channel"], point["rank"], point["share"], strict=True)
            )[:_N_NEURONS]
        )
        made.append(
            f"<table><caption>{escape(point['point'])}: patch in row {patch['row']}, column "
            f"{patch['column']}, distance {point['score']:.4g}</caption><thead><tr>"
            "<th>neuron</th><th>rank</th><th>share of the distance</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )
    return "".join(made)
