"""The saturated overlap of datasets whose defects are found from less than their whole area."""

from collections.abc import Sequence

import torch

from bench.metrics.ranking import rank_regions
from bench.metrics.regions import annotated_regions
from bench.metrics.spro import auspro
from bench.run.evaluate import Predictions
from datasets_lib.catalog import DATASETS
from datasets_lib.layouts.category import Sample
from datasets_lib.resolve import resolve_callable

LIMITS = {"auspro_30": 0.3, "auspro_05": 0.05}


def spro_areas(
    dataset: str, samples: Sequence[Sample], predictions: dict[str, Predictions]
) -> dict[str, dict[str, float]]:
    """Area under the sPRO curve by head and limit; empty for datasets without saturations.

    Args:
        dataset: Catalog name.
        samples: The test set.
        predictions: Its predictions by head.
    """
    entry = DATASETS.get(dataset)
    shapes = {s.maps.shape for s in predictions.values() if s.maps is not None}
    if entry is None or entry.spro_regions is None or not shapes:
        return {}
    images, height, width = next(iter(shapes))
    read = resolve_callable(entry.spro_regions)
    found = read(samples, height)
    regions = annotated_regions(
        (images, height, width), [(one.image, torch.from_numpy(one.mask)) for one in found]
    )
    saturation = torch.tensor([one.saturation for one in found], dtype=torch.float64)
    areas = {}
    for head, result in predictions.items():
        if result.maps is not None:
            ranks = rank_regions(result.maps, regions)
            values = auspro(ranks, regions, saturation, list(LIMITS.values()))
            areas[head] = dict(zip(LIMITS, values, strict=True))
    return areas
