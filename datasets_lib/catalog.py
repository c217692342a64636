"""Every named dataset, as data; imports no torch. Folders found at run time join these."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from datasets_lib import surface

FOLDER_READER = "datasets_lib.folder:read_category"


@dataclass(frozen=True)
class DatasetEntry:
    """One named dataset.

    Attributes:
        name: The id's dataset value, in ``[a-z0-9_]``.
        title: How tables and texts call it.
        task: What models are asked on it.
        categories: Ids of its categories, in the publisher's order.
        licence: Terms of its images.
        citation: Whom to cite; empty where there is no publication.
        homepage: Where a person gets it; empty for a generated set.
        reader: Import path ``module:function`` of a ``(dataset, category, path) -> Category``.
        generator: Import path of a ``(category, root) -> path`` that draws a category into
            ``root``, for a set that needs no download; None where files must be there.
        version: Changes whenever a generated pixel would; empty without a generator.
    """

    name: str
    title: str
    task: Literal["anomaly", "classification"]
    categories: tuple[str, ...]
    licence: str
    citation: str = ""
    homepage: str = ""
    reader: str = FOLDER_READER
    generator: str | None = None
    version: str = ""


_MVTEC = DatasetEntry(
    name="mvtec",
    title="MVTec AD",
    task="anomaly",
    categories=(
        "bottle",
        "cable",
        "capsule",
        "carpet",
        "grid",
        "hazelnut",
        "leather",
        "metal_nut",
        "pill",
        "screw",
        "tile",
        "toothbrush",
        "transistor",
        "wood",
        "zipper",
    ),
    licence="CC BY-NC-SA 4.0",
    citation="Bergmann, Fauser, Sattlegger, Steger: MVTec AD, CVPR 2019",
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad",
)

_SURFACE = DatasetEntry(
    name="surface",
    title="Surface (generated)",
    task="anomaly",
    categories=surface.CATEGORIES,
    licence="Apache-2.0",
    generator="datasets_lib.surface.generate:generate",
    version=surface.VERSION,
)

DATASETS: Mapping[str, DatasetEntry] = MappingProxyType(
    {entry.name: entry for entry in (_MVTEC, _SURFACE)}
)
