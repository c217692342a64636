"""Measure how much a training step on a CPU gains when malloc keeps freed memory.

Run ``python -m bench.perf.freed_memory``. It prints median seconds and page faults of a step of
STFPM on ResNet18 (32 random images of 256 px, teacher features precomputed), with freed memory
returned to the system (the C library's default) and with freed memory kept. The setting applies to
a whole process, so the two sides alternate in separate processes.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import torch

from bench.run.malloc import disable_trim
from models.components.base import Batch
from models.stfpm import build

SIDES = ("given back", "kept")


def measure(side: str, precision: str, steps: int) -> tuple[float, float]:
    """Return the median seconds and mean page faults of a step in this process."""
    if side == "kept" and not disable_trim():
        raise SystemExit("Wanted glibc, found another C library: run this on Linux with glibc.")
    torch.manual_seed(0)
    model = build(weights="resnet18.tv_in1k", state=None)
    images = torch.rand(32, 3, 256, 256).contiguous(memory_format=torch.channels_last)
    features = model.backbone(images)
    optimizer = torch.optim.SGD(model.trainable_parameters(), 0.1)
    seconds = []
    for step in range(steps + 2):
        if step == 2:  # warm
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model.loss(Batch(images, features))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return statistics.median(seconds[2:]), faults / steps


def main() -> None:
    """Run both sides alternately and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help="measure only this side, in this process")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.precision, options.steps)))
        return
    command = [sys.executable, "-m", "bench.perf.freed_memory", "--steps", str(options.steps)]
    for precision in ("float32", "bf16"):
        steps: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
        for _ in range(options.rounds):
            for side, values in steps.items():
                child = [*command, "--side", side, "--precision", precision]
                values.append(json.loads(subprocess.check_output(child, text=True)))
        for side, values in steps.items():
            seconds = statistics.median(value for value, _ in values)
            faults = statistics.median(value for _, value in values)
            print(f"{precision:8} {side:10} {seconds:6.3f} s a step, {faults:9,.0f} page faults")


if __name__ == "__main__":
    main()
