"""A frozen plan: what will be tested, by which rules, written before a test image is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeviz.errors import ConfigError
from lakeviz.files import read_json, write_json

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.runs.spec import RunSpec
    from lakeviz.studies.claims.result import ClaimSettings

PROTOCOL = "lakeviz-claims-plan/1"


@dataclass(frozen=True)
class Plan:
    """What a run of the claims is going to do, as plain data.

    Attributes
    ----------
    content : dict
        Model, data set, categories, normal images of every draw, hook points, k, settings of the
        detector and of the claims, and every rule in words.
    """

    content: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of the content, whatever the order of its entries."""
        plain = json.dumps(self.content, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()

    def write(self, path: str | Path) -> Path:
        """Write the plan with its hash.

        Raises
        ------
        ConfigError
            There is such a file already: a plan is not overwritten.
        """
        path = Path(path)
        if path.exists():
            raise ConfigError(f"{path} exists; a plan is not overwritten, so name another file")
        write_json(path, {"protocol": PROTOCOL, "sha256": self.sha256, "plan": self.content})
        return path

    @classmethod
    def read(cls, path: str | Path) -> Plan:
        """Read a plan back.

        Raises
        ------
        ConfigError
            If it is no plan, or was changed after it was written.
        """
        found = read_json(Path(path))
        if found.get("protocol") != PROTOCOL or not isinstance(found.get("plan"), dict):
            raise ConfigError(f"{path} is no plan of claims ({PROTOCOL}); see --write-plan")
        plan = cls(found["plan"])
        if plan.sha256 != found.get("sha256"):
            raise ConfigError(f"{path} was changed after it was written: its SHA-256 does not fit")
        return plan

    def differences(self, now: Plan) -> list[str]:
        """Say what another plan does otherwise; empty where they agree."""
        was, now_is = dict(_flat(self.content)), dict(_flat(now.content))
        said = []
        for name in [*was, *(n for n in now_is if n not in was)]:
            before, after = was.get(name), now_is.get(name)
            if before != after:
                said.append(f"{name}: planned {_short(before)}, now {_short(after)}")
        return said

    def compare(self, now: Plan) -> dict[str, Any]:
        """What a result carries: the hash of the plan, and what differs."""
        return {"sha256": self.sha256, "differs": self.differences(now)}


def plan_of(spec: RunSpec, model: VisionModel, settings: ClaimSettings) -> Plan:
    """Plan of claims on a run; reads which images there are, and no image.

    Parameters
    ----------
    spec : RunSpec
    model : VisionModel
        That of the spec.
    settings : ClaimSettings
    """
    from lakeviz.activations import neurons_of
    from lakeviz.lake.layers import layer_points, with_k
    from lakeviz.lake.provenance import as_plain
    from lakeviz.studies.claims.claim import CAUSES
    from lakeviz.studies.claims.study import N_PARTS, described_rules, n_parts, plain_settings

    dataset = spec.read_data()
    categories = list(spec.categories or dataset.categories)
    points = layer_points(model, spec.options.layers, spec.options.streams)
    options = with_k(spec.options, [neurons_of(model.tower, p) for p in points])
    draws = {c: spec.draw_normals(dataset, c) for c in categories}
    content = {
        "model": {"name": model.name, "weights": model.weights_hash},
        "dataset": spec.dataset,
        "categories": categories,
        "shots": spec.shots,
        "draws": {c: len(found) for c, found in draws.items()},
        "normal_images": {c: [list(d.sample_ids) for d in found] for c, found in draws.items()},
        "seeds": {"draw": spec.seed, "claims": settings.seed},
        "points": list(points),
        "k": options.k,
        "options": as_plain(options),
        "claims": plain_settings(settings),
        "n_parts": N_PARTS,
        "n_parts_causes": n_parts(CAUSES),
        "rules": described_rules(),
    }
    return Plan(json.loads(json.dumps(content)))


def _flat(content: Mapping[str, Any], of: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{of}{name}.")
        else:
            yield f"{of}{name}", value


def _short(value: Any, most: int = 60) -> str:
    said = json.dumps(value, ensure_ascii=False) if value is not None else "nothing"
    return said if len(said) <= most else f"{said[: most - 3]}..."
