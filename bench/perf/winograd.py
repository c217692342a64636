"""Compare convolutions by minimal filtering with oneDNN's: ``python -m bench.perf.winograd``.

Times outputs alone, and outputs with both gradients, of layers of EfficientAD, SuperSimpleNet,
DRAEM and ResNets, in float32. oneDNN's time is that of the faster memory format. Errors are the
largest differences from torch in float64, relative to the largest value.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from tabulate import tabulate
from torch import Tensor, nn

from bench.environment import environment
from bench.perf.timing import seconds_in_turns
from bench.run.malloc import disable_trim
from models.components.winograd import convolution

_ROUNDS = 5


@dataclass(frozen=True)
class _Layer:
    """A convolution and the size of its input."""

    batch: int
    channels: int
    after: int
    kernel: int
    padding: int
    side: int

    def __str__(self) -> str:
        sides = f"{self.kernel} × {self.kernel}"
        return f"{self.batch} × {self.channels} → {self.after}, {sides}, {self.side} px"


_LAYERS = (
    _Layer(3, 128, 256, 4, 0, 125),  # EfficientAD
    _Layer(3, 256, 256, 3, 0, 61),
    _Layer(3, 256, 384, 4, 0, 59),
    _Layer(8, 385, 128, 5, 2, 64),  # SuperSimpleNet's classification head
    _Layer(2, 128, 128, 3, 1, 256),  # DRAEM
    _Layer(2, 256, 256, 3, 1, 128),
    _Layer(32, 256, 256, 3, 1, 16),  # a ResNet18's third layer
    _Layer(8, 64, 64, 3, 1, 64),  # its first layer, for which minimal filtering is not used
)

_Step = Callable[[], object]


def main() -> None:
    """Print a table of seconds and errors."""
    disable_trim()
    rows = [_row(layer) for layer in _LAYERS]
    machine = environment("cpu")
    headings = ["layer", "output, ms", "oneDNN", "ratio", "and gradients", "oneDNN", "ratio"]
    headings += ["error", "oneDNN"]
    print(f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}\n")
    alignment = ["left", *8 * ["right"]]
    print(tabulate(rows, headings, "pipe", disable_numparse=True, colalign=alignment))


def _row(layer: _Layer) -> list[str]:
    plain = nn.Conv2d(layer.channels, layer.after, layer.kernel, padding=layer.padding, bias=False)
    images = torch.randn(layer.batch, layer.channels, layer.side, layer.side)
    formats = torch.contiguous_format, torch.channels_last

    def ours(images: Tensor, weight: Tensor) -> Tensor:
        return convolution(images, weight, layer.padding)

    def theirs(images: Tensor, weight: Tensor) -> Tensor:
        return nn.functional.conv2d(images, weight, padding=layer.padding)

    sides = [(ours, torch.channels_last), *((theirs, each) for each in formats)]
    steps = [
        step
        for compute, memory_format in sides
        for step in _steps(compute, images, plain.weight.detach(), memory_format)
    ]
    taken = seconds_in_turns(dict(enumerate(steps)), _ROUNDS, warm_up=1)
    times = [statistics.median(seconds) for seconds in taken.values()]
    output, both = times[0], times[1]
    output_before, both_before = min(times[2], times[4]), min(times[3], times[5])
    errors = [
        _error(compute, theirs, images[:1], plain.weight.detach()) for compute in (ours, theirs)
    ]
    return [
        str(layer),
        *(f"{1e3 * output:.0f}", f"{1e3 * output_before:.0f}", f"{output_before / output:.2f} ×"),
        *(f"{1e3 * both:.0f}", f"{1e3 * both_before:.0f}", f"{both_before / both:.2f} ×"),
        *(f"{error:.0e}" for error in errors),
    ]


def _steps(
    compute: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    weight: Tensor,
    memory_format: torch.memory_format,
) -> list[_Step]:
    """Return the computation of an output, and of an output with both gradients."""
    images = images.contiguous(memory_format=memory_format)
    weight = weight.contiguous(memory_format=memory_format)
    cotangent = torch.ones_like(compute(images, weight)).contiguous(memory_format=memory_format)

    def output() -> Tensor:
        with torch.no_grad():
            return compute(images, weight)

    def gradients() -> tuple[Tensor, ...]:
        leaves = images.detach().requires_grad_(), weight.detach().requires_grad_()
        return torch.autograd.grad(compute(*leaves), leaves, cotangent)

    return [output, gradients]


def _error(
    compute: Callable[[Tensor, Tensor], Tensor],
    exact: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    weight: Tensor,
) -> float:
    wanted = exact(images.double(), weight.double())
    return float((compute(images, weight) - wanted).abs().max() / wanted.abs().max())


if __name__ == "__main__":
    main()
