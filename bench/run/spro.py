"""Annotated regions with saturations, for datasets whose defects are found from part of an area."""

from collections.abc import Callable, Sequence

import torch

from bench.metrics.pixels import SaturatedRegions
from bench.metrics.regions import annotated_regions
from bench.run.evaluate import Predictions
from datasets_lib.catalog import DATASETS
from datasets_lib.entry import SaturatedRegion
from datasets_lib.import_string import import_string
from datasets_lib.layouts.category import Sample


def saturated_regions(
    dataset: str, samples: Sequence[Sample], predictions: dict[str, Predictions]
) -> SaturatedRegions | None:
    """Return the annotated regions at the maps' size; None for datasets without saturations.

    Args:
        dataset: Name in the catalog.
        samples: The test set.
        predictions: Its predictions by head.
    """
    entry = DATASETS.get(dataset)
    shapes = {s.maps.shape for s in predictions.values() if s.maps is not None}
    if entry is None or entry.saturated is None or not shapes:
        return None
    images, height, width = next(iter(shapes))
    read: Callable[[Sequence[Sample], int], list[SaturatedRegion]] = import_string(entry.saturated)
    annotated = read(samples, height)
    regions = annotated_regions(
        (images, height, width), [(each.image, torch.from_numpy(each.mask)) for each in annotated]
    )
    saturation = torch.tensor([each.saturation for each in annotated], dtype=torch.float64)
    return SaturatedRegions(regions, saturation)
