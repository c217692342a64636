"""Simulated means over the categories of a dataset."""

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from bench.regression.measures import QUALITY, Array, Measure
from bench.regression.simulation.noise import Cases, Noise

CATEGORIES = 15
"""Categories of a dataset, as many as MVTec AD has."""


class Datasets:
    """Simulated datasets; a run is the mean of one run of each of their categories.

    They have the interface of `Cases`. A category that does not finish leaves the dataset without
    that run, so that the family's share of missing runs is one of means.

    Args:
        noise: The family, of the categories.
        measure: What is measured of the means.
        count: Number of datasets, N.
        random: Source of all draws.
        series: Series of a case, such as seeds.
    """

    def __init__(
        self, noise: Noise, measure: Measure, count: int, random: Generator, series: int = 1
    ) -> None:
        self.noise, self.measure, self.random = noise, measure, random
        self._categories = Cases(noise, QUALITY, count * CATEGORIES, random, series)

    def run(
        self,
        count: int,
        effect: ArrayLike = 0.0,
        night: ArrayLike = 0.0,
        missing: Array | float | None = None,
        seeds: NDArray[np.int64] | None = None,
    ) -> Array:
        """Return the next runs ``(N, count)`` of the means; the arguments are those of `Cases.run`.

        All categories of a dataset lose the same number of points as their mean.
        """
        levels = QUALITY.restore(self._categories.level)
        center = self.measure.transform(levels.reshape(-1, CATEGORIES).mean(1))[:, None]
        shape = len(center), count
        lost = self.measure.size(center, np.broadcast_to(np.asarray(effect), shape))
        of_each = QUALITY.step(self._categories.level[:, None], np.repeat(lost, CATEGORIES, axis=0))
        values = QUALITY.restore(self._categories.run(count, of_each, night, 0.0, seeds))
        means = values.reshape(-1, CATEGORIES, count).mean(1)
        chance = self.noise.missing if missing is None else missing
        absent = self.random.random(shape) < chance
        return np.where(absent, np.nan, self.measure.transform(means))

    def take(self, chosen: NDArray[np.int64]) -> "Datasets":
        """Return a subset that continues from its current state."""
        part = object.__new__(Datasets)
        part.noise, part.measure, part.random = self.noise, self.measure, self.random
        indices = chosen[:, None] * CATEGORIES + np.arange(CATEGORIES)
        part._categories = self._categories.take(indices.ravel())
        return part
