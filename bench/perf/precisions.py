"""Compare training steps in bf16 and in float32: ``python -m bench.perf.precisions [MODEL …]``.

For each anomaly model with an optimizer, the bare step (`bench.perf.bare_step`) at the model's own
image size alternates between both precisions. Ratios above 1 mean that bf16 is faster.
"""

import argparse
import statistics
from dataclasses import replace

import torch
from tabulate import tabulate

from bench.environment import environment
from bench.perf.bare_step import bare_rate
from bench.protocol import PROFILES, Protocol, resolve
from bench.run.device import use_device
from bench.run.malloc import disable_trim
from models.catalog import MODELS

_PRECISIONS = ("float32", "bf16")


def main() -> None:
    """Measure the models one by one and print a table."""
    options = _options()
    device = use_device(options.device)
    disable_trim()
    lines = []
    for name in options.models:
        rates = measure(name, options.batch, options.rounds, device)
        seconds = [f"{1e3 / rates[precision]:.0f}" for precision in _PRECISIONS]
        lines.append([name, *seconds, f"{rates['bf16'] / rates['float32']:.2f} ×"])
        print(lines[-1], flush=True)
    machine = environment(options.device)
    print(f"\n{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}, {device}\n")
    headings = ["", *(f"{precision}, ms per image" for precision in _PRECISIONS), "ratio"]
    print(
        tabulate(lines, headings, "pipe", disable_numparse=True, colalign=["left", *3 * ["right"]])
    )


def measure(name: str, batch: int | None, rounds: int, device: torch.device) -> dict[str, float]:
    """Return the median images/s of a model's training step in each precision.

    Args:
        name: Model of the catalog, with an optimizer.
        batch: Images in a batch; None means the recipe's number.
        rounds: Times that each precision is measured, one after the other.
        device: Where to train.
    """
    rates: dict[str, list[float]] = {precision: [] for precision in _PRECISIONS}
    for _ in range(rounds):
        for precision, found in rates.items():
            protocol = _protocol(name, precision, batch)
            found.append(bare_rate(name, protocol, device))
    return {precision: statistics.median(found) for precision, found in rates.items()}


def _protocol(name: str, precision: str, batch: int | None) -> Protocol:
    protocol = resolve(MODELS[name], "baseline", PROFILES["standard"], precision=precision)
    if batch is None:
        return protocol
    return replace(protocol, recipe=replace(protocol.recipe, batch_size=batch))


def _options() -> argparse.Namespace:
    trained = [
        name
        for name, entry in MODELS.items()
        if entry.task == "anomaly" and entry.recipes["baseline"].optimizer != "none"
    ]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("models", nargs="*", default=trained, metavar="MODEL", help="(default: all)")
    add("--batch", type=int, help="images in a batch (default: the recipe's)")
    add("--rounds", type=int, default=3, help="of both precisions (default: 3)")
    add("--device", default="cpu", help="(default: cpu)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
