"""Annotated regions of datasets where part of a defect's area counts as finding it."""

from collections.abc import Sequence

import torch

from bench.metrics.pixels import SaturatedRegions
from bench.metrics.regions import annotated_regions
from bench.run.predict import HeadPredictions
from datasets_lib.catalog import DATASETS
from datasets_lib.images.geometry import Geometry
from datasets_lib.layouts.category import Sample
from datasets_lib.resolve import resolve_callable


def saturated_regions(
    dataset: str, samples: Sequence[Sample], predictions: dict[str, HeadPredictions]
) -> SaturatedRegions | None:
    """Return the annotated regions at the maps' size; None for datasets without saturations.

    Args:
        dataset: Catalog name.
        samples: The test set.
        predictions: Predictions of the test set by head.
    """
    entry = DATASETS.get(dataset)
    shapes = {p.maps.shape for p in predictions.values() if p.maps is not None}
    if entry is None or entry.spro_regions is None or not shapes:
        return None
    images, height, width = next(iter(shapes))
    size = height if height == width else Geometry(height, width)
    annotated = resolve_callable(entry.spro_regions)(samples, size)
    regions = annotated_regions(
        (images, height, width),
        [(region.image, torch.from_numpy(region.mask)) for region in annotated],
    )
    saturation = torch.tensor([region.saturation for region in annotated], dtype=torch.float64)
    return SaturatedRegions(regions, saturation)
