"""Compare training steps with the limit of the processor: ``python -m bench.perf.flop_limit``.

For each model, our step and, with ``--peer-python PY``, anomalib's are counted and timed on batches
of the same few images, in float32 on the CPU. The limit is the most that this machine's matrix
products and plain convolutions reach by themselves, forward or backward. Operations are those of
plain convolutions: where ours takes fewer (`models.components.winograd`), its share may exceed
100 %. A side that computes less than the other for the same step, or comes nearer to the limit, is
faster.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tabulate import tabulate
from torch import nn

from bench.environment import environment
from bench.perf import mvtec_like
from bench.perf.position import run
from bench.perf.zoo_peer import MODELS as PEER_MODELS
from bench.perf.zoo_sides import PEER_SCRIPT, timed
from bench.record import Record

MODELS = ("efficientad_small", "ganomaly", "supersimplenet_resnet18", "draem_plain")
"""Models that are bound by their own convolutions."""

_SIDE = 2048
"""Side of the square matrices whose product is timed."""

_CONVOLUTIONS = ((64, 64, 3, 64), (256, 256, 3, 64), (256, 384, 4, 59))
"""Channels before and after, side of the kernel and of the input of the convolutions."""


@dataclass(frozen=True)
class Step:
    """A training step, by image.

    Attributes:
        flops: Floating-point operations; a multiply-add is two.
        seconds: Median seconds.
    """

    flops: float
    seconds: float

    @property
    def speed(self) -> float:
        """Return floating-point operations per second."""
        return self.flops / self.seconds


def main() -> None:
    """Measure the limit and both sides' steps, and print a table."""
    options = _options()
    before = measure_limit()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        category = write_images(Path(folder), options.images * (1 + options.steps))
        for model in options.models:
            ours, peer = _ours(model, Path(folder), options), _peer(model, category, options)
            lines.append(row(model, before, ours, peer))
            print(lines[-1], flush=True)
    limit, machine = max(before, measure_limit()), environment("cpu")
    print(
        f"\n{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}: at most "
        f"{limit / 1e9:.0f} GFLOP/s ({before / 1e9:.0f} before the steps). "
        f"{options.images} images in a batch, {options.steps} timed steps.\n"
    )
    headings = ["", "ours, GFLOP per image", "peer, GFLOP", "ours, s", "peer, s", "ratio"]
    headings += ["ours, % of limit", "peer, % of limit"]
    print(
        tabulate(lines, headings, "pipe", disable_numparse=True, colalign=["left", *7 * ["right"]])
    )


def write_images(data_dir: Path, count: int) -> Path:
    """Write a category of few training images and as few test images as can be evaluated."""
    return mvtec_like.write_mvtec_like(
        data_dir, {"train/good": count, "test/good": 2, "test/stain": 2}
    )


def measure_limit(repeats: int = 7) -> float:
    """Return the most floating-point operations per second of products and convolutions."""
    square = torch.randn(_SIDE, _SIDE)
    product = _speed(lambda: square @ square, 2 * _SIDE**3, repeats)
    forms = torch.contiguous_format, torch.channels_last
    return max(
        product,
        *(_convolution(*shape, form, repeats) for shape in _CONVOLUTIONS for form in forms),
    )


def _convolution(
    before: int, after: int, kernel: int, side: int, form: torch.memory_format, repeats: int
) -> float:
    """Return the operations per second of a convolution, forward or backward, the larger."""
    layer = nn.Conv2d(before, after, kernel, bias=False).to(memory_format=form)
    images = torch.randn(4, before, side, side).contiguous(memory_format=form).requires_grad_()
    output = layer(images)
    wanted, gradient = [images, layer.weight], torch.ones_like(output)
    flops = 2 * before * kernel**2 * output.numel()
    backward = _speed(
        lambda: torch.autograd.grad(output, wanted, gradient, retain_graph=True), 2 * flops, repeats
    )
    with torch.no_grad():
        return max(backward, _speed(lambda: layer(images), flops, repeats))


def row(model: str, limit: float, ours: Step, peer: Step | None) -> list[str]:
    """Return a line of the table: operations, seconds and share of the limit of both sides."""
    sides = (ours, peer)
    return [
        model,
        *("–" if side is None else f"{side.flops / 1e9:.1f}" for side in sides),
        *("–" if side is None else f"{side.seconds:.2f}" for side in sides),
        "–" if peer is None else f"{peer.seconds / ours.seconds:.2f} ×",
        *("–" if side is None else f"{side.speed / limit:.0%}" for side in sides),
    ]


def _speed(call: Callable[[], object], flops: int, repeats: int) -> float:
    call()
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return flops / min(taken)


def _ours(model: str, data_dir: Path, options: argparse.Namespace) -> Step:
    case = (
        f"{model}-{mvtec_like.DATASET}.{mvtec_like.CATEGORY}-default-scratch-{options.images}shot"
    )
    more = ["--data-dir", str(data_dir), "--profile", "original"]
    more += ["--shots", str(options.images), "--seeds", "1", "--measure-seconds"]
    more += [str(options.measure_seconds), "--precision", "float32"]
    more += ["--images-seen", str(options.images * (1 + options.steps))]
    (record,) = run(f"{case}-s0", [*more, "--device", "cpu"])
    return Step(_figure(record, "train_flops"), 1 / _figure(record, "train_images_per_s"))


def _figure(record: Record, name: str) -> float:
    value = record.measurements.get(name)
    if value is None:
        raise SystemExit(f"{record.key.id} has no {name}")
    return value


def _peer(model: str, category: Path, options: argparse.Namespace) -> Step | None:
    if options.peer_python is None or model not in PEER_MODELS:
        return None
    command = [str(options.peer_python), "-I", str(PEER_SCRIPT), model, str(category)]
    command += ["--batch", str(options.images), "--steps", str(options.steps)]
    _, printed = timed(command, options.timeout)
    step = json.loads(printed.rstrip().rpartition("\n")[2])
    return Step(step["flops"], statistics.median(step["seconds"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add(
        "models", nargs="*", default=MODELS, metavar="MODEL", help=f"(default: {', '.join(MODELS)})"
    )
    add("--peer-python", type=Path, help="interpreter that has anomalib")
    add("--images", type=int, default=4, help="of a batch on both sides (default: 4)")
    add("--steps", type=int, default=3, help="that are timed, after a first one (default: 3)")
    add("--measure-seconds", type=float, default=60.0, help="for our side's figures (default: 60)")
    add("--timeout", type=float, default=1800.0, metavar="S", help="limit of the peer's process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
