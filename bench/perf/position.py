"""Compare a case's measurements by its position in a session: ``python -m bench.perf.position``.

One session runs ten cases on `surface`; then its first and last cases run alone, each in its own
session with empty caches. Memory, FLOPs and fit seconds must not depend on the position.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from bench.record import Record
from bench.store import read_records

ROOT = Path(__file__).resolve().parents[2]
MODELS = (
    "padim_resnet18",
    "dfm_resnet18",
    "dfkde_resnet18",
    "patchcore_resnet18",
    "fre_resnet18",
    "stfpm_resnet18",
    "rd_resnet18",
    "cfa_resnet18",
    "autoencoder",
    "fastflow_resnet18",
)
MEASUREMENTS = (
    "fit_seconds",
    "inference_rise_host_bytes",
    "train_rise_host_bytes",
    "inference_flops",
)


def main() -> None:
    """Run the rounds and print each measurement's medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images-seen", type=int, default=200, metavar="N")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    more = ["--images-seen", str(options.images_seen), "--device", options.device]
    more += ["--measure-seconds", "8"]
    together: list[dict[str, Record]] = []
    alone: list[dict[str, Record]] = []
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", flush=True)
        records = run(_names(MODELS), more)
        ends = {record.key.id: record for record in (records[0], records[-1])}
        together.append(ends)
        alone.append({name: run(name, more)[0] for name in ends})
    print(tabulate(rows(together, alone), ["", "in a session", "alone", "ratio"], "pipe"))


def run(expression: str, options: Sequence[str]) -> list[Record]:
    """Return the records of a session with empty caches, in the order in which the cases ran."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "bench", "-q", "-p", "no:cacheprovider"]
        command += ["-k", expression, "--no-pictures", "--recipes", "baseline", *options]
        command += ["--cache-dir", f"{folder}/cache", "--results-dir", f"{folder}/results"]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        return list(read_records([Path(folder) / "results" / "runs" / "records.jsonl"]))


def rows(
    together: Sequence[Mapping[str, Record]], alone: Sequence[Mapping[str, Record]]
) -> list[list[object]]:
    """Return a row per case and measurement: its medians in both positions and their ratio."""
    table: list[list[object]] = []
    for place, case in zip(("first", "last"), together[0], strict=True):
        for name in MEASUREMENTS:
            beside, single = (
                [value for session in side if (value := measured(session[case], name)) is not None]
                for side in (together, alone)
            )
            if beside and single:
                found, wanted = statistics.median(beside), statistics.median(single)
                cells = [f"{found:.4g}", f"{wanted:.4g}", f"{found / wanted:.3f}" if wanted else ""]
                table.append([f"{place}, {case}: {name}", *cells])
    return table


def measured(record: Record, name: str) -> float | None:
    """Return a measurement of a record, or None if it is missing."""
    return record.measurements.get(name)


def _names(models: Sequence[str]) -> str:
    return f"surface.woven and scratch and s0 and ({' or '.join(f'{m}-' for m in models)})"


if __name__ == "__main__":
    main()
