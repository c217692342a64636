"""Compute the peer's side of `bench.perf.parity`: anomalib's modules with our weights.

Run ``PY -m bench.perf.parity.peer FOLDER MODEL ...`` with an interpreter PY that has anomalib; only
the peer's side of this project is imported. For each model it reads ``MODEL.pt``, which holds
``weights`` by anomalib's names and ``inputs``, and writes ``MODEL.peer.pt``, its results by name,
and for some ``MODEL.float64.pt``, the same in float64.
Nothing is downloaded: pretrained parts are random until our weights replace them.
"""

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.perf.parity import peer_features as features
from bench.perf.parity import peer_networks as networks
from bench.perf.parity.peer_features import Results

MODELS: dict[str, Callable[[Results, Any], Results]] = {
    "padim_resnet18": features.padim,
    "patchcore_resnet18": features.patchcore,
    "dfm_resnet18": features.dfm,
    "dfkde_resnet18": features.dfkde,
    "fre": features.fre,
    "stfpm_resnet18": features.stfpm,
    "rd_resnet18": features.reverse_distillation("resnet18"),
    "rd_resnet50": features.reverse_distillation("resnet50"),
    "rd_wide_resnet50_2": features.wide_decoder,
    "cfa_resnet18": features.cfa,
    "fastflow_resnet18": networks.fastflow,
    "cflow_resnet18": networks.cflow,
    "csflow": networks.csflow,
    "uflow": networks.uflow,
    "ganomaly": networks.ganomaly,
    "draem": networks.draem,
    "draem_plain": networks.draem,
    "dsr": networks.dsr,
    "efficientad_small": networks.efficientad,
    "efficientad_medium": networks.efficientad,
    "dinomaly_small": networks.dinomaly,
    "supersimplenet_resnet18": networks.supersimplenet,
    "uninet": networks.uninet,
}
"""Each model's function from our weights and inputs to results."""

ROUNDED = ("padim_resnet18", "patchcore_resnet18", "cfa_resnet18", "dfkde_resnet18", "dsr")
"""Models whose results float32 rounds by more than 1e-5: they are computed in float64 too."""


def main() -> None:
    """Write the results of the models named on the command line."""
    folder, models = Path(sys.argv[1]), sys.argv[2:]
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch = importlib.import_module("torch")
    _need_no_downloads()
    for model in models:
        given = torch.load(folder / f"{model}.pt", weights_only=True)
        torch.save(_results(model, given), folder / f"{model}.peer.pt")
        if model in ROUNDED:
            torch.set_default_dtype(torch.float64)
            precise = {part: _doubled(tensors) for part, tensors in given.items()}
            torch.save(_results(model, precise), folder / f"{model}.float64.pt")
            torch.set_default_dtype(torch.float32)


def _results(model: str, given: Mapping[str, Results]) -> Results:
    torch = importlib.import_module("torch")
    torch.manual_seed(0)
    with torch.no_grad():
        results = MODELS[model](given["weights"], SimpleNamespace(**given["inputs"]))
    return {name: value.detach().clone() for name, value in results.items()}


def _doubled(tensors: Results) -> Results:
    return {
        name: tensor.double() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def _need_no_downloads() -> None:
    """Make timm and torchvision return random networks where pretrained ones are asked for."""
    timm: Any = importlib.import_module("timm")
    torchvision: Any = importlib.import_module("torchvision")
    weights_enum: Any = importlib.import_module("torchvision.models._api").WeightsEnum
    create = timm.create_model

    def create_model(name: str, *args: Any, pretrained: bool = False, **options: Any) -> Any:
        return create(name, *args, pretrained=False, **options)

    def get_state_dict(self: Any, *_: Any, **__: Any) -> Any:
        name = type(self).__name__.removesuffix("_Weights").lower()
        return torchvision.models.get_model(name, weights=None).state_dict()

    timm.create_model = create_model
    weights_enum.get_state_dict = get_state_dict


if __name__ == "__main__":
    main()
