"""Run the peer's pixel metrics in a separate interpreter; `bench.perf.metrics` starts it."""

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from torch import Tensor

# Imports and reading precede the first answer; each line of input starts a timed round. The time
# includes the updates, because ours also processes the whole set in one call.
SCRIPT = """
import json, sys, time
from pathlib import Path
from types import SimpleNamespace
import numpy as np, torch
from anomalib.metrics import AUPIMO, AUPRO, AUROC, F1Max

folder, threads = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
batch = SimpleNamespace(
    anomaly_map=torch.from_numpy(np.load(folder / "maps.npy")),
    gt_mask=torch.from_numpy(np.load(folder / "masks.npy")),
)
fields = ["anomaly_map", "gt_mask"]

def run(metric):
    start = time.perf_counter()
    metric.update(batch)
    value = float(metric.compute())
    return value, time.perf_counter() - start

def flat(metric):
    metric.update = lambda whole, plain=metric.update: plain(
        SimpleNamespace(anomaly_map=whole.anomaly_map.flatten(), gt_mask=whole.gt_mask.flatten())
    )
    return metric

print("ready", flush=True)
for line in sys.stdin:
    metrics = {"pixel_auroc": AUROC(fields), "aupro_30": AUPRO(fields), "f1": flat(F1Max(fields))}
    if line.strip() == "aupimo":
        metrics = {"aupimo": AUPIMO(fields=fields)}
    results = {name: run(metric) for name, metric in metrics.items()}
    answer = {name: value for name, (value, _) in results.items()}
    answer["seconds"] = sum(seconds for _, seconds in results.values())
    print(json.dumps(answer), flush=True)
"""


class Peer:
    """A running interpreter that computes the peer's metrics on request.

    Args:
        python: Interpreter that has the peer installed.
        maps: ``(N, H, W)`` float32 in [0, 1]; the peer's AUROC applies a sigmoid to other values.
        masks: ``(N, H, W)`` booleans.
        folder: Folder for the files of maps and masks.
        threads: Number of threads of the peer's torch.
    """

    def __init__(
        self, python: str, maps: Tensor, masks: Tensor, folder: Path, threads: int
    ) -> None:
        np.save(folder / "maps.npy", maps.cpu().numpy())
        np.save(folder / "masks.npy", masks.cpu().numpy())
        self._process = subprocess.Popen(
            [python, "-c", SCRIPT, str(folder), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._line() != "ready":
            raise RuntimeError(f"the peer's metrics could not be imported by {python}")

    def round(self, what: str = "all") -> dict[str, Any]:
        """Return the metrics of a round by name, and their ``seconds``."""
        if self._process.stdin is None:
            raise RuntimeError("the peer's process has no input")
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        answer = self._line()
        if not answer:
            raise RuntimeError(f"the peer stopped with status {self._process.wait()}")
        metrics: dict[str, Any] = json.loads(answer)
        return metrics

    def _line(self) -> str:
        return self._process.stdout.readline().strip() if self._process.stdout else ""

    def __enter__(self) -> "Peer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
