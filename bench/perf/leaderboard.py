"""Time the leaderboard and page of thousands of records: ``python -m bench.perf.leaderboard``.

The records cover the catalog's detectors on every category of MVTec AD, VisA and BTAD, with several
replicates; with ``--replicates 1`` each record is its own row. The numbers are CPU seconds of the
process, to which other processes do not add; the first column includes the one-time cost of imports
and caches.

ZOO.md has its results.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice, product
from pathlib import Path

from tabulate import tabulate

from bench.case import Case
from bench.gc_paused import gc_paused
from bench.page.page import write_page
from bench.record import Key, Record
from bench.report.leaderboard import write_leaderboard
from bench.store import read_records
from datasets_lib.augment.catalog import AUGMENTATIONS
from datasets_lib.catalog import DATASETS
from models.catalog import MODELS


def main() -> None:
    """Write the tables twice and print the seconds of each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000, metavar="N")
    parser.add_argument("--replicates", type=int, default=6, metavar="N", help="records of a row")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, gc_paused():
        folder = Path(name)
        file = folder / "runs" / "records.jsonl"
        file.parent.mkdir()
        records = islice(_records(options.replicates), options.records)
        lines = (f"{record.to_json()}\n" for record in records)
        file.write_text("".join(lines), encoding="utf-8")
        parts: dict[str, Callable[[], object]] = {
            "read records": lambda: read_records([file]),
            "LEADERBOARD.md and .csv": lambda: write_leaderboard(read_records([file]), folder),
            "index.html": lambda: write_page([file], folder, cases=False),
        }
        rows = [[part, *(_seconds(run) for _ in range(2))] for part, run in parts.items()]
        page = (folder / "index.html").stat().st_size / 1e6
    print(f"{options.records:,} records; the page has {page:.1f} MB")
    print(tabulate(rows, ["CPU seconds", "first", "second"], floatfmt=".2f", tablefmt="github"))


def _records(replicates: int) -> Iterator[Record]:
    rng = random.Random(0)
    detectors = [name for name, entry in MODELS.items() if entry.task == "anomaly"]
    places = [(d, c) for d in ("mvtec", "visa", "btad") for c in DATASETS[d].categories]
    for augmentation in sorted(AUGMENTATIONS, key=lambda name: name != "default"):
        for model, (dataset, category), replicate in product(detectors, places, range(replicates)):
            case = Case(model, "baseline", dataset, category, augmentation, True, replicate)
            yield _record(case, rng)


def _record(case: Case, rng: random.Random) -> Record:
    quality = rng.uniform(0.6, 1.0)
    names = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30", "aupro_05", "f1")
    speeds = ("fit_seconds", "inference_images_per_s", "latency_p50_ms", "parameters")
    heads = MODELS[case.model].heads
    return Record(
        key=Key(case.id, "standard", "recipe", f"hash of {case.data}", case.model),
        case=case,
        status="ok",
        outcome="ok",
        protocol={"image_size": 256, "recipe": {"optimizer": "none"}},
        seed=case.replicate,
        metrics={head: {name: quality * rng.uniform(0.9, 1.0) for name in names} for head in heads},
        intervals={head: {"image_auroc": [quality - 0.02, quality]} for head in heads},
        measurements={name: rng.uniform(1, 1000) for name in speeds},
        environment={"class": "CPU", "device": "cpu"},
        fingerprints={"images": {"fit": 200, "calibration": 20, "test": 100}},
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:01:00+00:00",
    )


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    main()
