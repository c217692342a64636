"""Time training by how OpenMP's idle threads wait: ``python -m bench.perf.waiting``.

Sessions with one case of ``rd_convnext`` on `surface` alternate between the wait policies, alone
and next to one process that keeps a core busy. The numbers are seconds of training, without
decoding and evaluation.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tabulate import tabulate

from bench.store import read_records

ROOT = Path(__file__).resolve().parents[2]
CASE = "rd_convnext-surface.woven-default-scratch-s0"
WAYS = {
    # GNU's OpenMP ignores this variable of another OpenMP library; a session keeps one that is set.
    "OpenMP's default": {"KMP_BLOCKTIME": "200"},
    "ours": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
}


def main() -> None:
    """Run the rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images-seen", type=int, default=240, metavar="N")
    options = parser.parse_args()
    rows = []
    for place, neighbor in (("alone", False), ("next to one busy process", True)):
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        with _busy_process(neighbor):
            for _ in range(options.rounds):
                for way, variables in WAYS.items():
                    seconds[way].append(training_seconds(variables, options.images_seen))
                    print(f"{place}, {way}: {seconds[way][-1]:.1f} s", flush=True)
        rows += [
            [place, way, statistics.median(own), min(own), max(own)] for way, own in seconds.items()
        ]
    print()
    print(tabulate(rows, ["", "waiting", "median, s", "min", "max"], "pipe", floatfmt=".1f"))


def training_seconds(variables: dict[str, str], images_seen: int) -> float:
    """Return the case's seconds of training in a session with the given environment variables."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "bench", "-q", "-p", "no:cacheprovider"]
        command += ["-k", CASE, "--device", "cpu", "--images-seen", str(images_seen)]
        command += ["--no-measurements", "--no-pictures", "--results-dir", folder]
        subprocess.run(
            command, cwd=ROOT, env=os.environ | variables, stdout=subprocess.DEVNULL, check=True
        )
        (record,) = read_records([Path(folder) / "runs" / "records.jsonl"])
        return record.timings["train"]


@contextmanager
def _busy_process(wanted: bool) -> Iterator[None]:
    """Keep a core busy for the duration of the block."""
    if not wanted:
        yield
        return
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


if __name__ == "__main__":
    main()
