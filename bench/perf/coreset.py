"""Time coreset selection: ours and, with ``--peer-python``, anomalib's, on the same features.

Run ``python -m bench.perf.coreset --images FOLDER --state FILE --peer-python PYTHON``. It extracts
patch features of the images with a ResNet18, projects them as the peer does, and prints medians of
alternating rounds, their ratio, and the share of equal picks. Each pick costs the peer the same, so
its total is extrapolated from the first few. Without --images the features are random clusters.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.catalog import WEIGHTS
from models.components.backbone import Backbone
from models.components.coreset import k_center_greedy
from models.components.random_projection import sparse_projection
from models.patchcore.embedding import ConcatenatedEmbedding

_WEIGHTS = "resnet18.tv_in1k"
_BATCH = 20

# The peer skips its own projection for three-dimensional features.
SCRIPT = """
import json, sys, time
import numpy as np, torch
from anomalib.models.components import KCenterGreedy

features = torch.from_numpy(np.load(sys.argv[1]))[:, :, None]
picks, threads, seed = map(int, sys.argv[2:])
torch.set_num_threads(threads)
torch.manual_seed(seed)
sampler = KCenterGreedy(features, 0.5)
sampler.coreset_size = picks
start = time.perf_counter()
chosen = sampler.select_coreset_idxs()
print(json.dumps({"seconds": time.perf_counter() - start, "picks": chosen}))
"""


def real_features(folder: Path, state: Path, count: int) -> Tensor:
    """Return ``(N, p)`` projected patch features of the first ``count`` images, at 256 pixels."""
    loaded = torch.load(state, weights_only=True)
    backbone = Backbone(WEIGHTS[_WEIGHTS], loaded.get("state_dict", loaded), (2, 3))
    embed = ConcatenatedEmbedding(backbone.channels)
    files = sorted(file for file in folder.iterdir() if file.is_file())[:count]
    parts = []
    for begin in range(0, len(files), _BATCH):
        images = torch.stack([_image(file) for file in files[begin : begin + _BATCH]])
        with torch.inference_mode():
            parts.append(embed(backbone(images)).permute(0, 2, 3, 1).flatten(0, 2))
    rows = torch.cat(parts)
    return rows @ sparse_projection(rows.shape[1], len(rows))


def _image(file: Path) -> Tensor:
    image = Image.open(file).convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def drawn_features(count: int) -> Tensor:
    """Return ``(1024 · count, 312)`` features: 300 clusters with variance 1 / i along axis i."""
    spread = torch.arange(1, 313) ** -0.5
    centers = 3 * torch.randn(300, 312) * spread
    cluster = torch.randint(300, (1024 * count,))
    return centers[cluster] + torch.randn(1024 * count, 312) * spread


def peer(python: str, file: Path, picks: int, seed: int) -> tuple[float, list[int]]:
    """Return the peer's seconds, without imports and reading, and its picks."""
    answer = subprocess.run(
        [python, "-c", SCRIPT, str(file), str(picks), str(torch.get_num_threads()), str(seed)],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise RuntimeError(f"the peer's coreset failed under {python}: {answer.stderr[-500:]}")
    result = json.loads(answer.stdout)
    return result["seconds"], result["picks"]


def compare(options: argparse.Namespace, features: Tensor) -> None:
    """Time both implementations and print a table."""
    total = int(options.ratio * len(features))
    timed = min(options.peer_picks, total)
    features = features - features.mean(dim=0)
    seconds: dict[str, list[float]] = {"ours": [], "anomalib": []}
    agreeing = ordered = 0
    print(
        f"{total} of {len(features)} × {features.shape[1]}, {options.device}, "
        f"{torch.get_num_threads()} threads, medians of {options.rounds}"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "features.npy"
        np.save(file, features.numpy())
        own = features.to(options.device)
        for seed in range(options.rounds):
            picks = [0]
            if options.peer_python:
                taken, picks = peer(options.peer_python, file, timed, seed)
                seconds["anomalib"].append(taken * (total - 1) / (timed - 1))
            begin = time.perf_counter()
            ours = k_center_greedy(own, total, picks[0]).tolist()
            seconds["ours"].append(time.perf_counter() - begin)
            agreeing += len(set(ours[: len(picks)]) & set(picks))
            ordered += sum(a == b for a, b in zip(ours, picks, strict=False))
    print(f"ours     {statistics.median(seconds['ours']):8.1f} s")
    if options.peer_python:
        theirs, shared = statistics.median(seconds["anomalib"]), timed * options.rounds
        ratio = theirs / statistics.median(seconds["ours"])
        print(f"anomalib {theirs:8.1f} s {ratio:7.1f}×  (extrapolated from {timed} picks)")
        print(f"the same picks: {agreeing / shared:.4%}, in the same place: {ordered / shared:.4%}")


def main() -> None:
    """Compute features, then compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, help="folder of images")
    parser.add_argument("--state", type=Path, help="file of ResNet18 weights")
    parser.add_argument(
        "--count", type=int, default=209, help="number of images, of 1024 patches each"
    )
    parser.add_argument("--ratio", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="number of threads (default: torch's)")
    parser.add_argument("--device", default="cpu", help="device of ours")
    parser.add_argument("--peer-python", help="interpreter that has anomalib")
    parser.add_argument(
        "--peer-picks", type=int, default=500, help="number of the peer's picks to time"
    )
    options = parser.parse_args()
    if (options.images is None) != (options.state is None):
        parser.error("--images and --state go together")
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.images:
        features = real_features(options.images, options.state, options.count)
    else:
        features = drawn_features(options.count)
    compare(options, features)


if __name__ == "__main__":
    main()
