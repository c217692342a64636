"""Run the two sides of `bench.perf.zoo` as processes: a session of ours and the peer's engine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.case import Case
from bench.environment import environment
from bench.perf.zoo_tables import TimedRun
from bench.record import Record, from_json
from models.catalog import MODELS

ROOT = Path(__file__).resolve().parents[2]
PEER_SCRIPT = Path(__file__).with_name("zoo_peer.py")


class ProcessFailedError(RuntimeError):
    """A process failed; the message has its command and the end of its output."""


@dataclass(frozen=True)
class Workload:
    """A model, data and limits that both sides run under.

    Attributes:
        model: Catalog name of the model.
        dataset: Dataset id.
        category: Category id.
        folder: Folder of the category, in MVTec AD's layout.
        data_dir: Data folder that contains the dataset.
        weights: File of the backbone's weights; None for random weights.
        precision: Precision of our training; the peer trains in float32.
        batch: Batch size of the peer; ours comes from the recipe.
        timeout_s: Time limit of one process in seconds.
        images_seen: Number of images that both sides train on; None for one pass over all.
        device: ``cpu`` or ``cuda``, of both sides.
        drawing: Whether each side draws what it does by default.
    """

    model: str
    dataset: str
    category: str
    folder: Path
    data_dir: Path
    weights: Path | None
    precision: str
    batch: int
    timeout_s: float
    images_seen: int | None = None
    device: str = "cpu"
    drawing: bool = False

    @property
    def recipe(self) -> str:
        """Return the recipe that matches the peer."""
        return "anomalib" if "anomalib" in MODELS[self.model].recipes else "baseline"

    @property
    def case(self) -> Case:
        """Return our case."""
        pretrained = self.weights is not None
        return Case(self.model, self.recipe, self.dataset, self.category, "default", pretrained, 0)

    @property
    def images(self) -> int:
        """Return the number of images that our model with an optimizer is trained on.

        Our batches are whole, and the peer's last one is not: ours is the nearest number.
        """
        count = self.images_seen or sum(1 for _ in (self.folder / "train" / "good").iterdir())
        batch = MODELS[self.model].recipes[self.recipe].batch_size
        return batch * max(1, round(count / batch))


def run_ours(workload: Workload, folder: Path, *, rerun: bool = False) -> TimedRun:
    """Run a session with our case, from start to written tables.

    Args:
        workload: Model, data and limits.
        folder: Folder of results and cache; a new folder means a cold cache.
        rerun: Whether the case has run in this folder before.
    """
    command = _session([workload], folder) + (["--rerun"] if rerun else [])
    seconds, _ = timed(command, workload.timeout_s)
    if seconds is None:
        return TimedRun(None, limit_s=workload.timeout_s)
    record = _record(folder / "results" / "runs" / "records.jsonl", workload.case.id)
    metrics = record.metrics[MODELS[workload.model].heads[0]]
    about = {"batch": str(record.protocol["recipe"]["batch_size"]), "precision": workload.precision}
    return TimedRun(seconds, metrics, record.timings, about)


def run_ours_together(workloads: Sequence[Workload], folder: Path) -> float | None:
    """Run one session with the cases of all workloads; return its seconds, None if stopped."""
    seconds, _ = timed(
        _session(workloads, folder), sum(workload.timeout_s for workload in workloads)
    )
    if seconds is not None:
        for workload in workloads:
            _record(folder / "results" / "runs" / "records.jsonl", workload.case.id)
    return seconds


def _session(workloads: Sequence[Workload], folder: Path) -> list[str]:
    """Return the command of a session; all workloads share the same data, weights and limits."""
    workload, images = workloads[0], min(each.images for each in workloads)
    command = [sys.executable, "-m", "pytest", "bench", "-q"]
    command += ["-k", " or ".join(each.case.id for each in workloads)]
    command += ["--recipes", ",".join(dict.fromkeys(each.recipe for each in workloads))]
    command += ["--profile", "original"]
    command += ["--device", workload.device, "--precision", workload.precision]
    command += ["--images-seen", str(images)]
    command += ["--data-dir", str(workload.data_dir), "--no-measurements"]
    command += [] if workload.drawing else ["--no-pictures"]
    command += ["--results-dir", str(folder / "results"), "--cache-dir", str(folder / "cache")]
    weights = next((each.weights for each in workloads if each.weights is not None), None)
    return command if weights is None else [*command, "--weights-dir", str(weights.parent)]


def run_peer(workload: Workload, python: Path) -> TimedRun:
    """Run the peer's fit and test; its time ends when its metrics are printed."""
    command = [str(python), "-I", str(PEER_SCRIPT), workload.model, str(workload.folder)]
    command += ["--batch", str(workload.batch), "--device", workload.device]
    if workload.images_seen is not None:
        command += ["--images-seen", str(workload.images_seen)]
    if workload.drawing:
        command += ["--drawing"]
    if workload.weights is not None:
        command += ["--weights", str(workload.weights)]
    seconds, printed = timed([*command, "--started", repr(time.time())], workload.timeout_s)
    if seconds is None:
        return TimedRun(None, limit_s=workload.timeout_s)
    answer: dict[str, Any] = json.loads(printed.rstrip().rpartition("\n")[2])
    machine = environment(workload.device)
    about = {name: answer[name] for name in ("batch", "threads", "python")} | answer["versions"]
    about["on"] = f"{machine['cpu']} with {machine['cores']} cores"
    if workload.device == "cuda":
        about["on"] = f"{machine['gpu']}, {about['on']}"
    parts = {name: answer[name] for name in ("import_s", "fit_s", "test_s")}
    return TimedRun(
        answer["seconds"], answer["metrics"], parts, {k: str(v) for k, v in about.items()}
    )


def timed(command: Sequence[str], timeout_s: float) -> tuple[float | None, str]:
    """Return wall seconds and output of a process; None if it was killed at its time limit.

    Its child processes are killed with it.

    Raises:
        ProcessFailedError: The process ended with an error.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return None, ""
    finally:
        if process.poll() is None:  # stopped, or the caller was interrupted
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        raise ProcessFailedError(f"{' '.join(command)}\n{output[-3000:]}")
    return time.perf_counter() - start, output


def _record(file: Path, case_id: str) -> Record:
    """Return the last record of a case."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    records = [record for record in map(from_json, lines) if record.key.id == case_id]
    if not records or records[-1].status != "ok":
        reason = records[-1].error if records else "no such case was collected"
        raise ProcessFailedError(f"{case_id} did not finish: {reason}")
    return records[-1]
