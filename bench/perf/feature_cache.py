"""Compare training with and without cached features: ``python -m bench.perf.feature_cache``.

Each flow trains twice on `surface`, once with ``--no-feature-cache``, which passes every image of
every step through the frozen backbone. The first pass pays for the features either way; the ratio
is of the later ones.
"""

import argparse

from tabulate import tabulate

from bench.perf.position import run
from bench.record import Record

MODELS = (
    *("fastflow_resnet18", "cflow_resnet18", "fastflow_resnet50", "cflow_resnet50"),
    *("uflow_resnet50", "fastflow", "cflow", "csflow"),
)


def main() -> None:
    """Train each model on both sides, alternating, and print seconds by image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="MODEL")
    parser.add_argument("--images-seen", type=int, default=128, metavar="N")
    parser.add_argument("--image-size", type=int, default=256, metavar="PX")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    lines = []
    more = ["--images-seen", str(options.images_seen), "--device", options.device]
    more += [
        "--image-size",
        str(options.image_size),
        "--profile",
        "smoke",
        "--measure-seconds",
        "1",
    ]
    for model in options.models:
        print(model, flush=True)
        case = f"{model}-surface.woven-default-scratch-s0"
        (cached,), (recomputed,) = (run(case, [*more, *o]) for o in ([], ["--no-feature-cache"]))
        lines.append(row(model, cached, recomputed))
    headings = ["", "backbone, ms/image", "later pass, ms/image", "without cache", "ratio"]
    print(tabulate(lines, headings, "pipe", floatfmt=("", ".1f", ".1f", ".1f", ".2f")))


def row(model: str, cached: Record, recomputed: Record) -> list[object]:
    """Return milliseconds by image: of the backbone, and of a pass with and without the cache."""
    later, without = (1e3 / _speed(record, "_cached") for record in (cached, recomputed))
    parts = cached.charges["train_images_per_s"]
    share = parts.get("frozen backbone", 0.0) / sum(parts.values())
    return [model, share * 1e3 / _speed(cached), later, without, without / later]


def _speed(record: Record, suffix: str = "") -> float:
    value = record.measurements[f"train_images_per_s{suffix}"]
    assert value is not None, f"{record.key.id} has no speed of training"
    return value


if __name__ == "__main__":
    main()
