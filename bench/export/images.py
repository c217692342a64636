"""Images of the dataset that a checkpoint was trained on, to compare its export on."""

from collections.abc import Sequence
from pathlib import Path

from bench.checkpoint.metadata import Metadata
from bench.export.errors import ExportError
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import available_datasets
from datasets_lib.layouts.category import Category
from datasets_lib.layouts.split import limit
from datasets_lib.resolve import resolve_callable


def dataset_images(
    metadata: Metadata, data_dirs: Sequence[Path], cache_dir: Path, count: int
) -> list[Path]:
    """Return files of test images, of every kind of defect, topped up with training images.

    Args:
        metadata: Description of the checkpoint.
        data_dirs: Folders of datasets.
        cache_dir: Cache folder, where generated datasets are.
        count: Maximum number of images.

    Raises:
        DatasetError: The dataset cannot be read.
        ExportError: It is not there.
    """
    name = metadata.dataset
    category = metadata.categories[0] if metadata.categories else metadata.category
    entry = DATASETS.get(name)
    if entry and entry.generator:
        root = cache_dir / "generated" / f"{entry.name}-{entry.version}"
        path, reader = resolve_callable(entry.generator)(category or "", root), entry.reader
    else:
        found = available_datasets(data_dirs).get(name)
        if found is None or (category or "") not in {"", *found.categories}:
            raise ExportError(
                f"An export is checked on images of its model's dataset, {name}"
                f"{f'.{category}' if category else ''}, which was not found. Name its folder with "
                "--data-dir, or other images with --images."
            )
        path, reader = found.categories[category] if category else found.root, found.reader
    read: Category = resolve_callable(reader)(name, category or "", path)
    samples = [*limit(read.test, count), *read.train]
    return [sample.image for sample in samples[:count]]
