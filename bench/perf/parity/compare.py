"""Compare our models with anomalib's for the same weights: ``python -m bench.perf.parity``.

With ``--peer-python PY``, an interpreter with anomalib, each of our models is built with random
weights; these are copied into anomalib's module of the same network by tables of names, and both
sides see the same random images. A quantity is equal if its largest difference is at most 1e-5 of
its largest magnitude, and differs by rounding up to twice as much as the peer's float32 differs
from its own float64. Where the sides differ by design, a second row
makes ours as the peer's and shows that nothing else differs. The exit status is 1 if a difference
has no reason.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor

from bench.perf.parity import features, flows, foundation, networks
from bench.perf.parity.sides import Compared, Side

ROOT = Path(__file__).resolve().parents[3]

SEED = 0
TOLERANCE = 1e-5
"""Largest difference over largest magnitude up to which values count as equal."""

ROUNDINGS = 2.0
"""Largest difference that counts as rounding, over that of the peer's float32 from its float64."""


@dataclass(frozen=True)
class ComparedModel:
    """A model to compare.

    Attributes:
        side: Computes our side from images.
        size: Side of the images in pixels.
        smallest: Smallest side that the model can be built for, for tests.
        narrow: Arguments that make the model narrower than the peer's, for tests.
        images: Number of images; not two, for a sum over the batch would hide behind a half.
    """

    side: Callable[..., Side]
    size: int = 128
    smallest: int = 64
    narrow: Mapping[str, int] = field(default_factory=dict)
    images: int = 3


COMPARED_MODELS: Mapping[str, ComparedModel] = {
    "padim_resnet18": ComparedModel(features.padim),
    "patchcore_resnet18": ComparedModel(features.patchcore),
    "dfm_resnet18": ComparedModel(features.dfm),
    "dfkde_resnet18": ComparedModel(features.dfkde, smallest=32),
    "fre": ComparedModel(features.fre),
    "stfpm_resnet18": ComparedModel(features.stfpm),
    "rd_resnet18": ComparedModel(partial(features.reverse_distillation, features.RESNET18)),
    "rd_resnet50": ComparedModel(
        partial(features.reverse_distillation, foundation.RESNET50), smallest=32
    ),
    "rd_wide_resnet50_2": ComparedModel(features.wide_decoder),
    "cfa_resnet18": ComparedModel(features.cfa),
    "fastflow_resnet18": ComparedModel(flows.fastflow),
    "cflow_resnet18": ComparedModel(flows.cflow),
    "csflow": ComparedModel(flows.csflow, size=256, smallest=128),
    "uflow": ComparedModel(flows.uflow),
    "ganomaly": ComparedModel(networks.ganomaly, size=64),
    "draem": ComparedModel(partial(networks.draem, sspcab=True), narrow={"width": 16}),
    "draem_plain": ComparedModel(partial(networks.draem, sspcab=False), narrow={"width": 16}),
    "dsr": ComparedModel(networks.dsr, narrow={"width": 32}),
    "efficientad_small": ComparedModel(partial(networks.efficientad, "small"), size=256),
    "efficientad_medium": ComparedModel(partial(networks.efficientad, "medium"), size=256),
    # The size of the position embeddings, which are not resampled then.
    "dinomaly_small": ComparedModel(foundation.dinomaly, size=518, smallest=70),
    "supersimplenet_resnet18": ComparedModel(foundation.supersimplenet),
    "uninet": ComparedModel(foundation.uninet, smallest=32),
}

NOT_COMPARED: Mapping[str, str] = {
    "rd_wide_resnet50_2, bottleneck": "the peer's is half as wide (64) as the official one (128)",
    "uninet, wide_resnet50_2": "the peer's bottleneck has ResNet50's width for all backbones",
    "patchcore, baseline recipe": "the peer has no pooled embedding, the official code's",
    "csflow, features": "the peer shrinks images by nearest pixels, ours by antialiasing",
    "fastflow, uflow with transformers": "the same flows on backbones of up to 360 M parameters",
    "dinomaly, recentered": "ours normalizes the recentered features, the peer does not",
    "rd_convnext, autoencoder, classifiers": "the peer has no such model",
}
"""Why the peer has nothing to compare, by part."""


def main() -> None:
    """Run both sides and print the table and its notes."""
    options = _options()
    names = options.models or list(COMPARED_MODELS)
    with tempfile.TemporaryDirectory() as folder:
        sides = {name: _write(name, Path(folder)) for name in names}
        command = [options.peer_python, "-W", "ignore::FutureWarning"]
        command += ["-m", "bench.perf.parity.peer", folder, *names]
        subprocess.run(command, cwd=ROOT, check=True)
        peers = {name: _read(Path(folder) / f"{name}.peer.pt") for name in names}
        precise = {name: _read(Path(folder) / f"{name}.float64.pt") for name in names}
    notes: list[str] = []
    rows = [
        row for name in names for row in _rows(name, sides[name], peers[name], precise[name], notes)
    ]
    lines = [_table(rows), ""]
    lines += [f"{number}. {note}." for number, note in enumerate(notes, 1)]
    if not options.models:
        pairs = [[part, reason] for part, reason in NOT_COMPARED.items()]
        lines += ["", tabulate(pairs, ["not compared", "because"], "pipe")]
    text = "\n".join(lines)
    print(text)
    if options.out is not None:
        options.out.write_text(f"{text}\n", encoding="utf-8")
    sys.exit(any(row[-1] == "DIFFERS" for row in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all")
    parser.add_argument(
        "--peer-python", required=True, help="interpreter of an environment with the peer"
    )
    parser.add_argument("--out", type=Path, help="file that the table is also written to")
    options = parser.parse_args()
    if unknown := set(options.models) - COMPARED_MODELS.keys():
        parser.error(
            f"unknown models {', '.join(unknown)}: choose from {', '.join(COMPARED_MODELS)}"
        )
    return options


def our_side(model: ComparedModel, *, small: bool = False) -> Side:
    """Return our side of a model for random images; the same in every call.

    Args:
        model: The model.
        small: Whether to use small images and, where that is possible, a narrow model.
    """
    size, options = (model.smallest, model.narrow) if small else (model.size, {})
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(SEED)
        return model.side(torch.rand(model.images, 3, size, size), **options)


def _write(name: str, folder: Path) -> Side:
    """Compute our side of a model and write what the peer needs of it."""
    side = our_side(COMPARED_MODELS[name])
    inputs = {key: tensor.detach().contiguous() for key, tensor in side.inputs.items()}
    torch.save({"weights": dict(side.weights), "inputs": inputs}, folder / f"{name}.pt")
    return side


def _read(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        return {}
    tensors: dict[str, Tensor] = torch.load(file, weights_only=True)
    return tensors


def _rows(
    name: str,
    side: Side,
    peer: Mapping[str, Tensor],
    precise: Mapping[str, Tensor],
    notes: list[str],
) -> Iterator[list[str]]:
    """Yield a row for each quantity, and add the reasons to the notes."""
    for each in side.compared:
        key = each.theirs or each.what
        count, absolute, relative = differences(each, peer[key])
        verdict = "equal" if relative <= TOLERANCE else "DIFFERS"
        if verdict == "DIFFERS" and not each.reason and key in precise:
            rounding = differences(replace(each, ours=precise[key]), peer[key])[2]
            verdict = "rounding" if relative <= ROUNDINGS * rounding else verdict
        if verdict == "DIFFERS" and each.reason:
            if each.reason not in notes:
                notes.append(each.reason)
            verdict = f"by design, {notes.index(each.reason) + 1}"
        yield [name, each.what, f"{count:,}", f"{absolute:.1e}", f"{relative:.1e}", verdict]


def differences(compared: Compared, theirs: Tensor) -> tuple[int, float, float]:
    """Return the number of values and their largest difference, absolute and relative.

    The relative difference is the absolute one over the peer's largest magnitude.

    Raises:
        ValueError: The sides have different numbers of values.
    """
    ours = compared.ours.detach()
    if margin := compared.margin:
        inside = slice(margin, -margin)
        ours, theirs = ours[..., inside, inside], theirs[..., inside, inside]
    if ours.numel() != theirs.numel():
        raise ValueError(
            f"The sides disagree on '{compared.what}': ours has the shape {tuple(ours.shape)}, the "
            f"peer's {tuple(theirs.shape)}."
        )
    first, second = ours.flatten().double(), theirs.flatten().double()
    absolute = float((first - second).abs().max())
    return ours.numel(), absolute, absolute / float(second.abs().max())


def _table(rows: list[list[str]]) -> str:
    headings = ["model", "compared", "values", "abs.", "rel.", "verdict"]
    align = ("left", "left", "right", "right", "right", "left")
    return tabulate(rows, headings, "pipe", colalign=align, disable_numparse=True)
