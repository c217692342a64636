"""Time single images, from file to score: ``python -m bench.perf.latency MODEL --images-dir DIR``.

A session trains each model briefly on synthetic images in ``DIR`` and saves it. Then these
alternate image by image: the bare model with its backbone on a float tensor already on the device;
`Predictor.score` on decoded pixels; and all of ``python -m bench predict`` from the file. With
``--peer-python PY``, anomalib's model runs from the file too. Values are medians in milliseconds.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tabulate import tabulate

from bench.environment import environment
from bench.perf import mvtec_like
from bench.perf.zoo_peer import MODELS as PEER_MODELS
from bench.perf.zoo_sides import PEER_SCRIPT, ROOT, timed
from bench.predict.predictor import Predictor, as_tensor, load_checkpoint
from bench.predict.preprocessing import decode
from bench.predict.sources import file_frame
from bench.predict.stream import predict_stream
from bench.run.batch import make_batch
from bench.run.training.precision import to_float
from datasets_lib.images.decode import read_file
from datasets_lib.paths import absolute_path
from models.catalog import MODELS
from models.components.base import AnomalyModel

WARM_UP = 10


def main() -> None:
    """Train, time and print the table."""
    options = _options()
    data_dir = absolute_path(options.images_dir)
    mvtec_like.write_mvtec_like(data_dir)
    category = data_dir / mvtec_like.DATASET / mvtec_like.CATEGORY
    images = sorted(category.glob("test/*/*.png"))[: options.images]
    rows = []
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            predictor = load_checkpoint(_train(model, data_dir, Path(folder), options.weights_dir))
        ours = measure(predictor, images, options.rounds)
        peer = _peer(model, category, options)
        over = ours["scored"] / ours["bare"]
        ratio = "–" if peer is None else f"{peer / ours['from file']:.1f} ×"
        rows.append([model, *ours.values(), over, "–" if peer is None else peer, ratio])
        print(f"{model}: {ours}, peer {peer}", flush=True)
    machine = environment("cpu")
    print(
        f"\n{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}; 900 × 900 PNG\n"
    )
    headings = ["ms", "bare model", "score", "from file", "score / bare", "peer", "peer / ours"]
    print(tabulate(rows, headings, "pipe", floatfmt=("", ".1f", ".1f", ".1f", ".2f", ".1f")))


def measure(predictor: Predictor, images: list[Path], rounds: int) -> dict[str, float]:
    """Return the median milliseconds per image of the bare model, `score`, and the whole path."""
    own = predictor.metadata.preprocessing
    decoded = [decode(read_file(path), path, own).pixels[None] for path in images]
    model = predictor.model
    if not isinstance(model, AnomalyModel):
        raise SystemExit(f"wanted an anomaly model, found {predictor.metadata.model}")
    tensors = [to_float(as_tensor(each), predictor.device) for each in decoded]

    def bare(number: int) -> None:
        with torch.inference_mode():
            model.predict(make_batch(model, tensors[number], predictor.device))

    def scored(number: int) -> None:
        predictor.score(decoded[number])

    def from_file(number: int) -> None:
        list(predict_stream(predictor, [file_frame(images[number])], 1))

    ways: dict[str, Callable[[int], None]] = {
        "bare": bare,
        "scored": scored,
        "from file": from_file,
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(WARM_UP + rounds * len(images)):
        for name, way in ways.items():
            begin = time.perf_counter()
            way(turn % len(images))
            if turn >= WARM_UP:
                taken[name].append(1e3 * (time.perf_counter() - begin))
    return {name: statistics.median(values) for name, values in taken.items()}


def _train(model: str, data_dir: Path, folder: Path, weights_dir: Path | None) -> Path:
    dataset = f"{mvtec_like.DATASET}.{mvtec_like.CATEGORY}"
    state = "pretrained" if weights_dir is not None and MODELS[model].weights else "scratch"
    expression = f"{model}-{dataset}-default-{state}-s0"
    command = [sys.executable, "-m", "pytest", "bench", "-q", "-k", expression, "--save-models"]
    command += ["--profile", "original", "--recipes", "baseline", "--device", "cpu"]
    command += ["--images-seen", "64", "--no-pictures", "--no-measurements"]
    command += ["--data-dir", str(data_dir), "--results-dir", str(folder)]
    command += ["--cache-dir", str(folder / "cache")]
    if weights_dir is not None:
        command += ["--weights-dir", str(weights_dir.absolute())]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    checkpoint = next(folder.rglob("model.pth"), None)
    if checkpoint is None:
        raise SystemExit(
            f"{model} was not trained: wanted its weights in {weights_dir}; without --weights-dir, "
            "random ones are used"
        )
    return checkpoint


def _peer(model: str, category: Path, options: argparse.Namespace) -> float | None:
    if options.peer_python is None or model not in PEER_MODELS:
        return None
    command = [str(options.peer_python), "-I", str(PEER_SCRIPT), model, str(category)]
    command += ["--single-images", str(options.images), "--images-seen", "64"]
    _, printed = timed(command, options.timeout)
    return float(printed.rstrip().rpartition("\n")[2])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("models", nargs="+", choices=sorted(MODELS), metavar="MODEL")
    add("--images-dir", type=Path, default=Path(tempfile.gettempdir()) / "proving_ground_perf")
    add("--weights-dir", type=Path, help="folder of backbone weights (default: random weights)")
    add("--peer-python", type=Path, help="interpreter that has anomalib")
    add("--images", type=int, default=16)
    add("--rounds", type=int, default=5)
    add("--timeout", type=float, default=1800.0, metavar="S", help="limit of the peer's process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
