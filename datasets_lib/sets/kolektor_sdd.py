"""KolektorSDD: electrical commutators, some with a crack.

Layout: the publisher's page and the public reader in anomalib: ``kos01`` to ``kos50``, each with
``Part0.jpg`` and so on and ``Part0_label.bmp`` next to it. A label that marks anything is a defect.
There is no official split for training on normal images alone: as for custom data, a fifth of
them is tested, by stable hash. Parts of one commutator may lie on both sides.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.folders import list_folder, relative_name, subfolders
from datasets_lib.layouts.split import split_category

CATEGORY = "commutator"

ENTRY = DatasetEntry(
    name="kolektor_sdd",
    title="KolektorSDD",
    task="anomaly",
    categories=(CATEGORY,),
    license="CC BY-NC-SA 4.0",
    citation=(
        "Tabernik, Šela, Skvarč, Skočaj: Segmentation-based deep-learning approach for "
        "surface-defect detection, Journal of Intelligent Manufacturing 2020"
    ),
    homepage="https://www.vicos.si/resources/kolektorsdd/",
    folders=("kolektorsdd", "kolektor"),
    finder="datasets_lib.sets.kolektor_sdd:find",
    reader="datasets_lib.sets.kolektor_sdd:read",
    # 399 images, 52 of them defective; 69 is a fifth of the 347 normal ones.
    counts=MappingProxyType({CATEGORY: Counts(train=278, test=121, defective=52)}),
    archives=(
        Archive(
            file="KolektorSDD.zip",
            urls=("https://go.vicos.si/kolektorsdd",),
            sha256="65dc621693418585de9c4467d1340ea7958a6181816f0dc2883a1e8b61f9d4dc",
        ),
    ),
    ask_first=True,
    unverified=("The archive's address and checksum are those that public dataset loaders state.",),
)

_LAYOUT = "kos01/Part0.jpg, kos01/Part0_label.bmp, up to kos50"
_PREFIX, _LABEL = "kos", "_label.bmp"


def find(root: Path) -> Mapping[str, Path] | None:
    """Return the single category if the folder holds commutators; None if not."""
    items = [f for f in subfolders(root) if f.name.startswith(_PREFIX) and f.name[3:].isdecimal()]
    return {CATEGORY: root} if items else None


def read(dataset: str, category: str, path: Path) -> Category:
    """Return the samples of all commutators in natural order; decodes labels to find defects.

    Raises:
        DatasetError: An image has no label or a label cannot be read, or there are no images.
    """
    items = [name for name in list_folder(path, _LAYOUT).folders if name.startswith(_PREFIX)]
    samples = [sample for item in items for sample in _parts(path, item)]
    return split_category(dataset, category, path, samples, any(s.masks for s in samples))


def _parts(path: Path, item: str) -> list[Sample]:
    files = list_folder(path / item, _LAYOUT).files
    return [
        _part(path, path / item / name, name.removesuffix(".jpg") + _LABEL in files)
        for name in files
        if name.endswith(".jpg")
    ]


def _part(path: Path, image: Path, labeled: bool) -> Sample:
    # Imported here: this module is imported at collection and must stay light.
    from datasets_lib.images.decode import marks_defect

    label = image.with_name(image.stem + _LABEL)
    if not labeled:
        raise DatasetError(
            f"The image {image} has no label: wanted {label}, empty where there is no defect. "
            "Unpack the archive of KolektorSDD again."
        )
    name = relative_name(image, path)
    return Sample(name, image, (label,), "crack") if marks_defect(label) else Sample(name, image)
