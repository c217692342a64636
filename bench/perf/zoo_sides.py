"""The two sides of `bench.perf.zoo`, whole processes: a session of ours, and the peer's engine."""

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
from bench.perf.zoo_tables import Run
from bench.record import Record, from_json
from models.catalog import MODELS

ROOT = Path(__file__).resolve().parents[2]
PEER_SCRIPT = Path(__file__).with_name("zoo_peer.py")


class ProcessFailedError(RuntimeError):
    """A process ended with an error; the message has its command and its last words."""


@dataclass(frozen=True)
class Task:
    """What both sides do.

    Attributes:
        model: Our catalog name.
        dataset: Our id of the dataset.
        category: Our id of the category.
        folder: Of the category, in MVTec AD's layout.
        data_dir: The data folder it was found in.
        weights: File of the backbone's weights; None starts both from random ones.
        precision: Of our training; the peer's is float32.
        batch: The peer's; ours is its recipe's.
        timeout_s: Of one process.
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

    @property
    def recipe(self) -> str:
        """The recipe that does what the peer does."""
        return "anomalib" if "anomalib" in MODELS[self.model].recipes else "baseline"

    @property
    def case(self) -> Case:
        """Our case of it."""
        pretrained = self.weights is not None
        return Case(self.model, self.recipe, self.dataset, self.category, "default", pretrained, 0)

    @property
    def images(self) -> int:
        """Training images: an epoch."""
        return sum(1 for _ in (self.folder / "train" / "good").iterdir())


def ours(task: Task, folder: Path, *, again: bool = False) -> Run:
    """A session of our one case, from its start to its end, its tables written.

    Args:
        task: What to do.
        folder: Of results and cache: where it is new, nothing is cached.
        again: Whether the case has run in this folder before.
    """
    command = [sys.executable, "-m", "pytest", "bench", "-q", "-k", task.case.id]
    command += ["--profile", "original", "--recipes", task.recipe, "--device", "cpu"]
    command += ["--image-size", "256", "--precision", task.precision]
    command += ["--data-dir", str(task.data_dir), "--no-pictures", "--no-measurements"]
    command += ["--results-dir", str(folder / "results"), "--cache-dir", str(folder / "cache")]
    if MODELS[task.model].recipes[task.recipe].optimizer != "none":
        command += ["--images-seen", str(task.images)]
    if task.weights is not None:
        command += ["--weights-dir", str(task.weights.parent)]
    if again:
        command.append("--rerun")
    seconds, _ = timed(command, task.timeout_s)
    if seconds is None:
        return Run(None, limit_s=task.timeout_s)
    record = _record(folder / "results" / "runs" / "records.jsonl", task.case.id)
    judged = record.metrics.get("score") or record.metrics["multi_scale"]
    about = {"batch": str(record.protocol["recipe"]["batch_size"]), "precision": task.precision}
    return Run(seconds, judged, record.timings, about)


def peer(task: Task, python: Path, *, drawn: bool) -> Run:
    """The peer's engine: fit and test; its time ends where its metrics are printed."""
    command = [str(python), "-I", str(PEER_SCRIPT), task.model, str(task.folder)]
    command += ["--batch", str(task.batch)]
    if task.weights is not None:
        command += ["--weights", str(task.weights)]
    if drawn:
        command.append("--draw")
    seconds, printed = timed([*command, "--started", repr(time.time())], task.timeout_s)
    if seconds is None:
        return Run(None, limit_s=task.timeout_s)
    found: dict[str, Any] = json.loads(printed.rstrip().rpartition("\n")[2])
    names = environment("cpu")
    about = {name: found[name] for name in ("batch", "threads", "python")} | found["versions"]
    about["on"] = f"{names['cpu']} with {names['cores']} cores"
    parts = {name: found[name] for name in ("import_s", "fit_s", "test_s")}
    return Run(
        found["seconds"], found["metrics"], parts, {key: str(text) for key, text in about.items()}
    )


def timed(command: Sequence[str], timeout_s: float) -> tuple[float | None, str]:
    """Wall seconds and output of a process; None where it was stopped, its children with it.

    Raises:
        ProcessFailedError: It ended with an error of its own.
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
    """The last record of a case."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    records = [record for record in map(from_json, lines) if record.key.id == case_id]
    if not records or records[-1].status != "ok":
        reason = records[-1].error if records else "no such case was collected"
        raise ProcessFailedError(f"{case_id} did not finish: {reason}")
    return records[-1]
