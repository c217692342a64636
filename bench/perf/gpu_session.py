"""Measure everything that needs a GPU, in about ten minutes: ``python -m bench.perf.gpu_session``.

The steps run in order, each in its own processes and within its share of ``--minutes``; the results
of a step are written to ``--out`` before the next one starts:

1. ``tests``: ``pytest tests -m gpu``.
2. ``zoo``: one case of every anomaly model on `surface`, at the model's own size: metrics, speed
   and memory as a session records them.
3. ``bound``: the same models' training step on tensors already on the device. The recorded step
   divided by this one shows the cost of loading, augmentation and scheduling.
4. ``metrics``: the pixel metrics on maps of the number and size of MVTec AD's bottle (83 of 900²).
5. ``peer``: whole runs of ours and of anomalib's on this device, for the models that both projects
   have, one after the other until the time is over, if ``--peer-python`` names an interpreter that
   has anomalib.

``--against RECORDS`` prints another machine's metrics next to these where its records have a run of
the same work; this command with ``--device cpu`` makes such records. Without a GPU,
``--device cpu --shrunk`` runs everything in a few minutes on small images.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.case import Case
from bench.environment import default_precision, environment
from bench.error_text import first_line
from bench.metrics.regions import label_regions
from bench.perf.bare_step import bare_rate
from bench.perf.gpu_table import session_table
from bench.perf.metrics import every, synchronized, synthetic_maps
from bench.perf.zoo_peer import MODELS as PEER_MODELS
from bench.protocol import PROFILES, Protocol, resolve
from bench.record import Record
from bench.run.device import DeviceError, use_device
from bench.store import read_records
from models.catalog import MODELS

ROOT = Path(__file__).resolve().parents[2]
TEXTURE = "grained"
MINUTES = {"tests": 0.2, "zoo": 0.5, "bound": 0.15, "metrics": 0.05, "peer": 0.1}
"""Share of the time that each step may take."""

_GRACE_S = 20.0
"""Time for an interrupted step to report and to stop its own processes."""


@dataclass(frozen=True)
class Session:
    """The settings that the steps share.

    Attributes:
        out: Folder that they write to.
        device: ``cuda`` or ``cpu``.
        models: Catalog names of the models to measure.
        images_seen: Training budget of a case in images.
        image_size: Side of the images in pixels; None means each model's own.
        minutes: Time for all steps.
        peer_python: Interpreter that has anomalib.
        against: Records of another machine.
    """

    out: Path
    device: str
    models: tuple[str, ...]
    images_seen: int
    image_size: int | None
    minutes: float
    peer_python: Path | None
    against: Path | None

    def seconds(self, step: str) -> float:
        """Return the time limit of a step."""
        return 60 * self.minutes * MINUTES[step]


def main() -> None:
    """Run the requested steps; after a failure, report it and continue with the next step."""
    session, steps = _options()
    try:
        use_device(session.device)
    except DeviceError as error:
        raise SystemExit(str(error)) from None
    session.out.mkdir(parents=True, exist_ok=True)
    _write(session, "environment", environment(session.device))
    summary = []
    for step in steps:
        begin = time.monotonic()
        try:
            said = STEPS[step](session)
        except Exception as error:
            said = f"failed with {type(error).__name__}: {first_line(error)}"
        summary.append(f"{step}, {time.monotonic() - begin:.0f} s: {said}")
        print(summary[-1], flush=True)
        (session.out / "summary.txt").write_text("\n".join(summary) + "\n", encoding="utf-8")
    if "zoo" in steps or _own_records(session).exists():
        print(_table(session))


def run_tests(session: Session) -> str:
    """Run the tests that need a CUDA device."""
    command = [sys.executable, "-m", "pytest", "tests", "-m", "gpu", "-q", "-n", "0"]
    return _child(session, "tests", [*command, "-p", "no:cacheprovider"])


def run_zoo(session: Session) -> str:
    """Run one case of every model, all in one session."""
    command = [sys.executable, "-m", "pytest", "bench", "-q", "--no-pictures"]
    command += ["-k", " or ".join(_case(name).id for name in session.models)]
    command += ["--profile", "standard", "--recipes", "baseline", "--device", session.device]
    command += ["--images-seen", str(session.images_seen), "-p", "no:cacheprovider"]
    command += ["--measure-seconds", "5"]
    if session.image_size is not None:
        command += ["--image-size", str(session.image_size)]
    command += ["--results-dir", str(session.out / "results"), "--rerun"]
    return _child(session, "zoo", command)


def run_bound(session: Session) -> str:
    """Time every model's bare training step, skipping models without a loss."""
    rates: dict[str, float] = {}
    failures = {}
    device = torch.device(session.device)
    end = time.monotonic() + session.seconds("bound")
    for name in session.models:
        if MODELS[name].recipes["baseline"].optimizer == "none":
            continue
        if time.monotonic() > end:
            failures[name] = "no time was left"
            continue
        try:
            rates[name] = bare_rate(name, _protocol(session, name), device)
        except Exception as error:
            failures[name] = first_line(error)
        _write(session, "bound", {"images_per_s": rates, "failures": failures})
    return f"{len(rates)} models, {len(failures)} without: {', '.join(failures) or 'none'}"


def run_metrics(session: Session) -> str:
    """Time every pixel metric, with and without labeling the masks."""
    images, size = (83, 900) if session.image_size is None else (8, session.image_size)
    maps, masks = synthetic_maps(images, size)
    maps = maps.to(session.device)
    regions = label_regions(masks).to(maps.device)
    run = synchronized(lambda: every(maps, regions, maps[: images // 4]), maps)
    run()
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        metrics = run()
        seconds.append(time.perf_counter() - begin)
    found = {"images": images, "size": size, "seconds": seconds, "metrics": metrics}
    _write(session, "metrics", found)
    return f"all pixel metrics of {images} × {size}²: {1e3 * statistics.median(seconds):.0f} ms"


def run_peer(session: Session) -> str:
    """Time ours and anomalib on the models that both projects have, in a process per model."""
    if session.peer_python is None:
        return "skipped: no --peer-python"
    shared = [name for name in session.models if name in PEER_MODELS]
    if not shared:
        return "skipped: the peer has none of these models"
    (session.out / "peer.log").unlink(missing_ok=True)
    models_by_end: dict[str, list[str]] = {}
    end = time.monotonic() + session.seconds("peer")
    for name in shared:
        left = end - time.monotonic()
        ended = _peer_of(session, name, left) if left > 0 else "not reached"
        models_by_end.setdefault(ended, []).append(name)
    parts = [f"{ended}: {', '.join(names)}" for ended, names in models_by_end.items()]
    return "; ".join([*parts, "see peer.log"])


def _peer_of(session: Session, name: str, limit_s: float) -> str:
    """Time both projects on one model, append the tables to the log, and say how it ended."""
    command = [sys.executable, "-m", "bench.perf.zoo", name, "--rounds", "1"]
    command += ["--device", session.device, "--peer-python", str(session.peer_python)]
    code = _run_logged(command, session.out / "peer.log", limit_s)
    if code is None:
        return "stopped"
    return "failed" if code else "timed"


STEPS: dict[str, Callable[[Session], str]] = {
    "tests": run_tests,
    "zoo": run_zoo,
    "bound": run_bound,
    "metrics": run_metrics,
    "peer": run_peer,
}


def _table(session: Session) -> str:
    """Return the measurements of all planned models as a table."""
    bound_file = session.out / "bound.json"
    bound = json.loads(bound_file.read_text("utf-8"))["images_per_s"] if bound_file.exists() else {}
    others = None if session.against is None else _records(session.against)
    table = session_table(
        [_case(name) for name in session.models],
        _records(_own_records(session)),
        others,
        bound,
        session.device,
    )
    missing = session.against is not None and not session.against.exists()
    return f"{table}\n{session.against} does not exist." if missing else table


def _own_records(session: Session) -> Path:
    return session.out / "results" / "runs" / "records.jsonl"


def _records(path: Path) -> list[Record]:
    return read_records([path]) if path.exists() else []


def _case(name: str) -> Case:
    return Case(name, "baseline", "surface", TEXTURE, "default", False, 0)


def _protocol(session: Session, name: str) -> Protocol:
    return resolve(
        MODELS[name],
        "baseline",
        PROFILES["standard"],
        precision=default_precision(session.device),
        image_size=session.image_size,
    )


def _child(session: Session, step: str, command: Sequence[str]) -> str:
    """Run a process within its step's time limit, log its output, and return the last line."""
    log = session.out / f"{step}.log"
    log.unlink(missing_ok=True)
    code = _run_logged(command, log, session.seconds(step))
    if code is None:
        return f"stopped after {session.seconds(step):.0f} s; see {log.name}"
    lines = log.read_text("utf-8").strip().splitlines()
    return f"exit {code}: {lines[-1] if lines else 'no output'}"


def _run_logged(command: Sequence[str], log: Path, limit_s: float) -> int | None:
    """Run a process, append its output to a log, and return its exit code; None at its time limit.

    At the limit it is interrupted as by Ctrl-C, so that it reports what it has and stops its own
    processes, and killed only if that does not help.
    """
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            _stop(process)
            return None


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _write(session: Session, name: str, value: object) -> None:
    (session.out / f"{name}.json").write_text(json.dumps(value, indent=1), encoding="utf-8")


def _options() -> tuple[Session, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("gpu_session"), metavar="DIR")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all steps (default 8)")
    parser.add_argument("--models", default="", metavar="A,B", help="default: every anomaly model")
    parser.add_argument("--steps", default=",".join(STEPS), metavar="A,B", help="default: all")
    parser.add_argument("--images-seen", type=int, default=256, metavar="N")
    parser.add_argument("--shrunk", action="store_true", help="64 px and 8 images, for a CPU")
    parser.add_argument("--peer-python", type=Path, metavar="PY")
    parser.add_argument("--against", type=Path, metavar="RECORDS")
    options = parser.parse_args()
    every_model = [name for name, entry in MODELS.items() if entry.task == "anomaly"]
    chosen = options.models.split(",") if options.models else every_model
    steps = options.steps.split(",")
    for word, known in ((chosen, every_model), (steps, list(STEPS))):
        if unknown := set(word) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    session = Session(
        out=options.out.resolve(),
        device=options.device,
        models=tuple(chosen),
        images_seen=8 if options.shrunk else options.images_seen,
        image_size=64 if options.shrunk else None,
        minutes=options.minutes,
        peer_python=options.peer_python,
        against=options.against,
    )
    return session, steps


if __name__ == "__main__":
    main()
