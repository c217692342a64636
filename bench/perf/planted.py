"""Plant regressions in a scratch clone and let nights find them: ``python -m bench.perf.planted``.

A night on the unchanged code makes the baseline. Each plant is a commit of its own on top of it and
gets a night with a copy of that baseline. A change that alters nothing must run nothing and raise
nothing. The table says which quantities alarmed, and whether the expected one did.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from bench.provenance.fingerprint import ROOT
from bench.regression.ledger import Ledger

_WORDS = {
    "one_pass": "surface and pretrained and (padim_resnet18 or dfm_resnet18)",
    "trained": "surface and pretrained and stfpm_resnet18",
    "cost": "surface and pretrained and padim_resnet18",
}
"""Cases by the kind of change that they are to show."""


@dataclass(frozen=True)
class Plant:
    """A change of one file.

    Attributes:
        title: What it is.
        file: The file.
        old: Text that is replaced.
        new: Text in its place.
        expected: Part of the name of the quantity that must alarm; empty if nothing may.
        cases: Key of `_WORDS`.
    """

    title: str
    file: str
    old: str
    new: str
    expected: str
    cases: str = "one_pass"


_MAPS = "models/components/anomaly_map.py"
_BACKBONE = "models/components/backbone.py"
_FIRST = "    rows = _upsample_blur_matrix(maps.shape[1], "
_HEADS = '        return {"score": of_maps(upsample_and_blur(maps, batch.size))}\n'

PLANTS = (
    Plant("nothing: a comment, a docstring, a format", _MAPS, _FIRST, f"    # same\n{_FIRST}", ""),
    Plant("a function renamed", _MAPS, "_upsample_blur_matrix", "_both_matrix", ""),
    Plant(
        "off by one in the upsampling of maps",
        _MAPS,
        _FIRST,
        f"    maps = maps.roll(1, 2)\n{_FIRST}",
        "pixel_",
    ),
    Plant(
        "a metric changed by mistake",
        "bench/metrics/image.py",
        "image_ap = _ranked(average_precision)",
        "image_ap = _ranked(lambda ranks: 0.95 * average_precision(ranks))",
        "image_ap",
    ),
    Plant("layers dropped", "models/padim.py", "_LAYERS = (1, 2, 3)", "_LAYERS = (3,)", "score."),
    Plant(
        "wrong normalization constants",
        _BACKBONE,
        "value = self.normalized(images).contiguous",
        "value = (self.normalized(images) * 3 + 2).contiguous",
        "score.",
    ),
    Plant(
        "learning rate × 10",
        "models/catalog/distillation.py",
        "    lr=0.4,\n",
        "    lr=4.0,\n",
        ".",
        cases="trained",
    ),
    Plant(
        "a sleep in the forward pass",
        "models/padim.py",
        _HEADS,
        f"        __import__('time').sleep(0.05)\n{_HEADS}",
        "latency",
        cases="cost",
    ),
    Plant(
        "a leak of 50 MB",
        "models/padim.py",
        _HEADS,
        "        self.__dict__.setdefault('leak', []).append(torch.ones(13_000_000))\n" + _HEADS,
        "inference_rise_host_bytes",
        cases="cost",
    ),
)


class Field:
    """A scratch clone with baselines.

    Args:
        folder: Folder of the clone and the results.
        weights: Folder of pretrained weights.
        seeds: Replicates of each configuration.
    """

    def __init__(self, folder: Path, weights: Path, seeds: int) -> None:
        self._clone, self._folder = folder / "clone", folder
        self._weights, self._seeds = weights, seeds
        if not self._clone.exists():
            subprocess.run(["git", "clone", "-q", str(ROOT), str(self._clone)], check=True)
        self._git("config", "user.name", "planted")
        self._git("config", "user.email", "planted@localhost")
        self._head = self._git("rev-parse", "HEAD")

    def baseline(self, kinds: Iterable[str]) -> None:
        """Make the baselines of some kinds of cases that are not there."""
        for cases in dict.fromkeys(kinds):
            results = self._folder / cases
            if not (results / "nightly").is_dir():
                self._night(results, cases)

    def plant(self, plant: Plant) -> list[str]:
        """Commit a plant, run its night, and return its row of the table."""
        self._git("reset", "-q", "--hard", self._head)
        file = self._clone / plant.file
        text = file.read_text()
        if plant.old not in text:
            raise SystemExit(f"{plant.title}: wanted {plant.old!r} in {plant.file}: not found")
        file.write_text(text.replace(plant.old, plant.new))
        self._git("commit", "-q", "--all", "--message", plant.title)
        name = plant.title.replace(" ", "-").replace(":", "").replace(",", "")
        results = self._folder / name
        shutil.rmtree(results, ignore_errors=True)
        shutil.copytree(self._folder / plant.cases, results)
        begin = time.monotonic()
        code, said = self._night(results, plant.cases)
        alarms = Ledger(results).alarms
        found = sorted(
            {f"{alarm.configuration.split('-')[0]} {alarm.quantity}" for alarm in alarms}
        )
        hit = any(plant.expected in alarm.quantity for alarm in alarms) if plant.expected else None
        right = code == (10 if plant.expected else 0) and hit is not False
        ran = sum(line.startswith("[") for line in said.splitlines())
        shown = ", ".join(found) or "none"
        verdict = "yes" if right else "NO"
        return [plant.title, str(ran), str(code), shown, verdict, f"{time.monotonic() - begin:.0f}"]

    def _night(self, results: Path, cases: str) -> tuple[int, str]:
        seeds = ["--no-measurements", "--seeds", str(self._seeds)]
        command = [
            *(sys.executable, "-m", "bench", "nightly", "-k", _WORDS[cases]),
            *("--weights-dir", str(self._weights), "--results-dir", str(results)),
            *("--profile", "smoke", "--device", "cpu", "--images-seen", "128", "--no-pictures"),
            *("--canaries", "0", "--rotation", "0", "--busy", "--measure-seconds", "3"),
            *([] if cases == "cost" else seeds),
        ]
        environment = {**os.environ, "PYTHONPATH": str(self._clone)}
        done = subprocess.run(
            command, cwd=self._clone, env=environment, capture_output=True, text=True, check=False
        )
        print(done.stdout + done.stderr, flush=True)
        return done.returncode, done.stdout

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self._clone, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()


def main() -> None:
    """Plant one change after another and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights-dir", type=Path, required=True, help="folder with resnet18.pth")
    parser.add_argument("--folder", type=Path, default=Path("planted"), help="scratch folder")
    parser.add_argument("--out", type=Path, help="file of the table")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="part of the title")
    options = parser.parse_args()
    field = Field(options.folder.absolute(), options.weights_dir.absolute(), options.seeds)
    chosen = [plant for plant in PLANTS if options.only in plant.title]
    field.baseline(plant.cases for plant in chosen)
    headers = ["change", "cases run", "exit code", "alarms", "right", "s"]
    rows: list[list[str]] = []
    for plant in chosen:
        rows.append(field.plant(plant))
        table = tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)
        if options.out:
            options.out.write_text(f"# Planted regressions\n\n{table}\n")
    print(table)


if __name__ == "__main__":
    main()
