"""Plant regressions in a scratch clone and let nights find them: ``python -m bench.perf.planted``.

A night on the unchanged code makes the baseline. Each planted change is its own commit, between two
that only add a comment, and gets a night with a copy of that baseline. A change without effect must
run nothing and raise no alarm. The table shows which quantities alarmed, whether the expected one
did and, with ``--bisect``, whether bisecting its alarm finds the commit. Rows of an existing page
are kept unless they are run again.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from bench.perf.plants import KINDS, PLANTS, Plant
from bench.provenance.fingerprint import ROOT
from bench.regression.ledger import Alarm, Ledger

_START = "start"
"""Tag of the unchanged code, where later sessions start instead of at the last planted change."""

_HEADERS = ("change", "cases run", "exit code", "alarms", "right", "bisected", "code")

_RECALL = "Recall:"
_DECOY = "models/components/base.py"
"""A file that every model uses; the commits around a planted change add a comment to it."""


class Field:
    """A scratch clone with baselines.

    Args:
        folder: Folder of the clone and the results.
        options: Options that locate weights and data.
        seeds: Number of replicates of each configuration.
    """

    def __init__(self, folder: Path, options: Sequence[str], seeds: int) -> None:
        self._clone, self._folder = folder / "clone", folder
        self._options, self._seeds = options, seeds
        if not self._clone.exists():
            subprocess.run(["git", "clone", "-q", str(ROOT), str(self._clone)], check=True)
            self._git("tag", _START)
        self._git("config", "user.name", "planted")
        self._git("config", "user.email", "planted@localhost")
        self._git("reset", "-q", "--hard", _START)
        self._code = self._git("rev-parse", "--short", _START)

    def baseline(self, kinds: Iterable[str]) -> None:
        """Make the missing baselines of some kinds of cases."""
        for kind in dict.fromkeys(kinds):
            results = self._folder / kind
            if not (results / "nightly").is_dir():
                for night in range(KINDS[kind].nights):
                    self._night(results, kind, rotation=min(night, 1))

    def unchanged(self, kind: str, nights: int) -> list[list[str]]:
        """Run every case again on unchanged code, night after night; return rows of the table."""
        self._git("reset", "-q", "--hard", _START)
        results = self._folder / f"{kind}-unchanged"
        shutil.rmtree(results, ignore_errors=True)
        shutil.copytree(self._folder / kind, results)
        rows = []
        for night in range(1, nights + 1):
            begin = time.monotonic()
            code, said = self._night(results, kind, rotation=1)
            title = f"{kind}: night {night} on the same code"
            rows.append(self._row(title, "", code, said, Ledger(results).alarms, "", begin))
        return rows

    def plant(self, plant: Plant, bisect: bool) -> list[str]:
        """Commit a planted change, run its night, and return its row of the table."""
        planted = self._commit(plant)
        name = plant.title.replace(" ", "-").replace(":", "").replace(",", "")
        results = self._folder / name
        shutil.rmtree(results, ignore_errors=True)
        shutil.copytree(self._folder / plant.cases, results)
        begin = time.monotonic()
        code, said = self._night(results, plant.cases)
        alarms = Ledger(results).alarms
        found = ""
        if bisect and alarms:
            alarm = next((a for a in alarms if plant.expected in a.quantity), alarms[0])
            words = (alarm.configuration, "--quantity", alarm.quantity)
            answer = self._run(results, plant.cases, "bisect", *words)[1]
            found = "found" if planted[:7] in answer.split("% sure")[-1] else "NOT found"
        return self._row(plant.title, plant.expected, code, said, alarms, found, begin)

    def _commit(self, plant: Plant) -> str:
        """Commit a planted change between two that add comments; return its hash."""
        self._git("reset", "-q", "--hard", _START)
        decoy = self._clone / _DECOY
        files = [self._clone / plant.file]
        if plant.moved:
            files = [self._clone / name for name in self._git("ls-files", "*.py").splitlines()]
        files = [file for file in files if plant.old in file.read_text()]
        if not files:
            raise SystemExit(f"{plant.title}: wanted {plant.old!r} in {plant.file}: not found")
        decoy.write_text(decoy.read_text() + "\n# before\n")
        self._git("commit", "-q", "--all", "--message", "a comment")
        for file in files:
            file.write_text(file.read_text().replace(plant.old, plant.new))
        if plant.moved:
            self._git("mv", plant.file, plant.moved)
        self._git("commit", "-q", "--all", "--message", plant.title)
        planted = self._git("rev-parse", "HEAD")
        decoy.write_text(decoy.read_text() + "\n# after\n")
        self._git("commit", "-q", "--all", "--message", "another comment")
        return planted

    def _night(self, results: Path, kind: str, rotation: int = 0) -> tuple[int, str]:
        options = ("--canaries", "0", "--rotation", str(rotation), "--busy")
        return self._run(results, kind, "nightly", *options)

    def _run(self, results: Path, kind: str, name: str, *more: str) -> tuple[int, str]:
        cases = KINDS[kind]
        seeds = ["--no-measurements", "--seeds", str(max(self._seeds, cases.seeds))]
        command = [
            *(sys.executable, "-m", "bench", name, *more, "-k", cases.words),
            *("--results-dir", str(results), "--profile", "smoke", "--device", "cpu"),
            *("--no-pictures", "--measure-seconds", "3", *cases.options, *self._options),
            *([] if cases.measured else seeds),
        ]
        environment = {**os.environ, "PYTHONPATH": str(self._clone)}
        if cases.threads:
            environment["OMP_NUM_THREADS"] = str(cases.threads)
        done = subprocess.run(
            command, cwd=self._clone, env=environment, capture_output=True, text=True, check=False
        )
        print(done.stdout + done.stderr, flush=True)
        return done.returncode, done.stdout

    def _row(
        self,
        title: str,
        expected: str,
        code: int,
        said: str,
        alarms: Sequence[Alarm],
        bisected: str,
        begin: float,
    ) -> list[str]:
        hit = any(expected in alarm.quantity for alarm in alarms) == bool(expected)
        right = code == (10 if expected else 0) and hit
        ran = sum(line.startswith("[") for line in said.splitlines())
        shown, verdict = _named(alarms) or "none", "yes" if right else "NO"
        print(f"{title}: {time.monotonic() - begin:.0f} s", flush=True)
        return [title, str(ran), str(code), shown, verdict, bisected or "–", self._code]

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self._clone, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()


def _named(alarms: Iterable[Alarm]) -> str:
    """Return what alarmed, by model: ``dfm_resnet18 image_ap; padim_resnet18 image_ap``."""
    names: dict[str, set[str]] = {}
    for alarm in alarms:
        model = alarm.configuration.partition("-")[0]
        names.setdefault(model, set()).add(alarm.quantity.rpartition(".")[2])
    return "; ".join(f"{model} {', '.join(sorted(names[model]))}" for model in sorted(names))


def merged_page(page: str, rows: Sequence[Sequence[str]]) -> str:
    """Return a page with some table rows replaced or added, and everything else unchanged.

    Args:
        page: The page; empty for a new one.
        rows: Rows, each starting with the title of the change.
    """
    lines = page.splitlines() or ["# Planted regressions", ""]
    places = [place for place, line in enumerate(lines) if line.startswith("|")]
    first, end = (places[0], places[-1] + 1) if places else (len(lines), len(lines))
    known = {cells[0]: cells for cells in map(_cells, lines[first + 2 : end])}
    known |= {row[0]: list(row) for row in rows}
    table = tabulate(list(known.values()), _HEADERS, tablefmt="github", disable_numparse=True)
    above = [line for line in lines[:first] if not line.startswith(_RECALL)]
    while above and not above[-1]:
        above.pop()
    return "\n".join([*above, "", _recall(known), "", table, *lines[end:]]) + "\n"


def _recall(rows: Mapping[str, Sequence[str]]) -> str:
    """Return how many of the changes that make something worse raised the right alarm."""
    worse = [plant.title for plant in PLANTS if plant.expected and plant.title in rows]
    caught = sum(rows[title][_HEADERS.index("right")] == "yes" for title in worse)
    return f"{_RECALL} {caught} of {len(worse)} changes for the worse raised the right alarm."


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _chosen(titles: Sequence[str]) -> list[Plant]:
    """Return the plants of these titles, or with these texts in their titles."""
    whole = {plant.title for plant in PLANTS}
    return [
        plant
        for plant in PLANTS
        if any(t == plant.title if t in whole else t in plant.title for t in titles)
    ]


def main() -> None:
    """Plant one change after another and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights-dir", type=Path, required=True, help="folder with resnet18.pth")
    parser.add_argument("--data-dir", type=Path, help="folder with mvtec_style/magnetic_tile")
    parser.add_argument("--folder", type=Path, default=Path("planted"), help="scratch folder")
    parser.add_argument("--out", type=Path, help="page with the table, such as PLANTED.md")
    parser.add_argument("--seeds", type=int, default=0, help="more seeds")
    parser.add_argument("--only", action="append", metavar="TITLE", help="a title, or part of some")
    parser.add_argument("--bisect", action="store_true", help="find the commit of each, too")
    parser.add_argument("--unchanged", type=int, default=0, metavar="N", help="nights without any")
    options = parser.parse_args()
    where = ["--weights-dir", str(options.weights_dir.absolute())]
    where += ["--data-dir", str(options.data_dir.absolute())] if options.data_dir else []
    field = Field(options.folder.absolute(), where, options.seeds)
    chosen = _chosen(options.only) if options.only else PLANTS
    kinds = list(dict.fromkeys(plant.cases for plant in chosen))
    field.baseline(kinds)
    rows: list[list[str]] = []
    for kind in kinds if options.unchanged else ():
        rows += field.unchanged(kind, options.unchanged)
    for plant in chosen:
        rows.append(field.plant(plant, options.bisect))
        if options.out:
            page = options.out.read_text("utf-8") if options.out.exists() else ""
            options.out.write_text(merged_page(page, rows), "utf-8")
    print(tabulate(rows, _HEADERS, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
