"""A clone of the project's code in its own git repository, and nights in it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

PLUGIN = '''"""Small models: one without randomness, one with a little of it, one that trains."""

import torch
from torch import nn
from torch.nn import functional as F

from models.catalog import ModelEntry, Recipe, register_model
from models.components.anomaly_map import of_maps, upsample_and_blur
from models.components.base import AnomalyModel


class MeanImage(AnomalyModel):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(3, 16, 16))
        self.register_buffer("count", torch.zeros(()))

    def update(self, batch):
        self.total += F.adaptive_avg_pool2d(batch.get_images(), 16).sum(0)
        self.count += len(batch.get_images())

    def compute(self):
        self.total /= self.count

    def predict(self, batch):
        small = F.adaptive_avg_pool2d(batch.get_images(), 16)
        maps = (small - self.total).square().mean(1)
        return {"score": of_maps(upsample_and_blur(maps, batch.size, 2.0))}


class NoisyImage(MeanImage):
    def compute(self):
        super().compute()
        self.total += 0.02 * torch.randn_like(self.total)


class MeanColor(AnomalyModel):
    def __init__(self):
        super().__init__()
        self.color = nn.Parameter(torch.rand(1, 3, 1, 1))

    def loss(self, batch):
        return self._maps(batch).mean()

    def predict(self, batch):
        return {"score": of_maps(self._maps(batch))}

    def _maps(self, batch):
        return (batch.get_images() - self.color).square().mean(1)


def build_image(*, weights, state):
    return MeanImage()


def build_noisy(*, weights, state):
    return NoisyImage()


def build_color(*, weights, state):
    return MeanColor()


for name, build, optimizer, randomness in (
    ("mean_image", build_image, "none", "none"),
    ("noisy_image", build_noisy, "none", "seed"),
    ("mean_color", build_color, "adam", "seed"),
):
    register_model(
        ModelEntry(
            name=name,
            family="toy",
            build=build,
            weights=None,
            recipes={"baseline": Recipe(optimizer=optimizer, lr=0.05, epochs=1, source="test")},
            randomness=randomness,
        )
    )
'''


MAPS = "models/components/anomaly_map.py"
FIRST = "    rows = _upsample_blur_matrix(maps.shape[1], "
SHIFTED = f"    maps = maps.roll(3, 2)\n{FIRST}"


class Clone:
    """The code in its own repository, a dataset, and a folder of results."""

    def __init__(self, folder: Path) -> None:
        self.code, self.folder = folder / "code", folder
        self.results = folder / "results"
        self.plugin = folder / "toys.py"

    def copy(self, folder):
        """Return a copy with its own code, data and results."""
        shutil.copytree(self.folder, folder, symlinks=True)
        made = Clone(folder)
        made.git("status")  # the times of the copied files are new to git
        return made

    def git(self, *arguments):
        done = subprocess.run(
            ["git", *arguments], cwd=self.code, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def change(self, file, old, new):
        """Replace text in a file and commit it."""
        path = self.code / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        self.git("commit", "-qam", f"change {file}")
        return self.git("rev-parse", "HEAD")

    def command(self, name, *more, keyword="mean_image"):
        """Return the command line of one of our commands."""
        results = ("--results-dir", self.results)
        mine = results if name in {"history", "accept"} else self._session(keyword)
        words = ("-m", "bench", "--plugin", self.plugin, name, *more, *mine)
        return [sys.executable, *map(str, words)]

    def _session(self, keyword):
        where = ("--data-dir", self.folder / "data", "--cache-dir", self.folder / "cache")
        size = (
            "--profile",
            "smoke",
            "--device",
            "cpu",
            "--image-size",
            "64",
            "--images-seen",
            "32",
        )
        less = ("--no-pictures", "--no-measurements", "--results-dir", self.results)
        return ("-k", f"tiny and {keyword}", *where, *size, *less)

    def session(self, *more):
        """Run a session of pytest."""
        words = ("-m", "pytest", "bench", "--plugin", self.plugin, "-p", "no:cacheprovider")
        return self.start(
            [sys.executable, *map(str, (*words, *self._session("mean_image"), *more))]
        )

    @property
    def environment(self):
        return {**os.environ, "PYTHONPATH": str(self.code), "OMP_NUM_THREADS": "1"}

    def run(self, name, *more, **how):
        """Run a command and return its result."""
        return self.start(self.command(name, *more, **how))

    def start(self, command):
        """Run a command line to its end."""
        return subprocess.run(
            command,
            cwd=self.code,
            env=self.environment,
            capture_output=True,
            text=True,
        )

    def night(self, *more, **how):
        return self.run("nightly", "--canaries", "0", "--rotation", "0", *more, **how)

    def baseline(self):
        """Return the lines of the baseline."""
        file = self.results / "baselines" / "nightly" / "main.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()]

    def report(self):
        """Return the newest report."""
        pages = sorted((self.results / "nightly").glob("*.md"), key=lambda p: p.stat().st_mtime_ns)
        return pages[-1].read_text()
