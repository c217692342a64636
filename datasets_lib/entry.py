"""Catalog entries of datasets: frozen dataclasses without torch, because collection reads them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FOLDER_FINDER = "datasets_lib.layouts.mvtec_folders:MVTEC.find"
FOLDER_READER = "datasets_lib.layouts.mvtec_folders:MVTEC.read"

Task = Literal["anomaly", "classification", "texture"]

Finder = str | Callable[[Path], Mapping[str, Path] | None]
"""Function, or its import path ``module:function``, that maps a dataset's folder to the paths of
its categories by id, or to None if the folder holds something else. It runs at collection, so it
looks at folder names only. Sets without categories return an empty mapping."""

Reader = str | Callable[..., Any]
"""Function, or its import path, that reads a dataset: ``(dataset, category, path) -> Category``
for anomaly sets, ``(root) -> Classification`` for classification sets, ``(root) -> list of files``
for texture sets."""


@dataclass(frozen=True)
class Archive:
    """One file that a publisher offers for download.

    Attributes:
        file: File name on disk.
        urls: Addresses, the publisher's own first, then mirrors. Empty where the publisher asks
            for a form or a login: a person fetches the file and runs `data prepare`.
        bytes: Size in bytes, where known.
        sha256: SHA-256 in hex, where known.
        md5: MD5 in hex, where the publisher states no other checksum.
        strip: Top folder to drop when unpacking; empty for none.
        into: Folder below the dataset's own to unpack into; empty for the dataset's own.
    """

    file: str
    urls: tuple[str, ...] = ()
    bytes: int | None = None
    sha256: str = ""
    md5: str = ""
    strip: str = ""
    into: str = ""


@dataclass(frozen=True)
class Counts:
    """Number of images in a category or in a classification set.

    Attributes:
        train: Training images.
        test: Test images, including normal ones.
        defective: Test images with a defect.
        validation: Normal images of an official validation split.
    """

    train: int
    test: int
    defective: int = 0
    validation: int = 0


@dataclass(frozen=True)
class SaturatedRegion:
    """One defect of one image and the overlap that counts as finding all of it.

    Attributes:
        image: Index of the image.
        mask: Bool (S, S).
        saturation: Overlap in pixels, above 0 and at most the area of the mask.
    """

    image: int
    mask: "npt.NDArray[np.bool_]"
    saturation: float


@dataclass(frozen=True)
class DatasetEntry:
    """One named dataset.

    Attributes:
        name: Dataset id in case names, in ``[a-z0-9_]``.
        title: Name in tables and texts.
        task: Task of the models that run on it; ``texture`` sets only serve other sets.
        categories: Ids of the categories in the publisher's order; empty for other tasks.
        license: License of the images.
        citation: Publication to cite; empty if there is none.
        homepage: Address of the publisher; empty for a generated set.
        folders: Other names, as ids, that the dataset's folder may have below a data folder, such
            as the name its archive unpacks to.
        finder: Recognizes the dataset in a folder of its name, see `Finder`.
        reader: Reads the dataset, see `Reader`.
        generator: Function ``(category, root) -> path``, or its import path, that draws a category
            into ``root``, for a set that needs no download; None where files must exist.
        version: Version of the generated pixels; changes when any of them changes.
        embedded: Whether the set needs no files of its own: generated, or part of a dependency.
        spro_regions: Function ``(samples, size) -> list of SaturatedRegion``, or its import path,
            for sets whose defects count as found before all of their area is marked (sPRO).
        counts: Published number of images by category; under ``""`` for other tasks.
        known_flaws: Number of known problems in the published files, by the kinds of `verify`.
        image_size: Image side that classifiers train at; None where it depends on the model.
        package: Distribution on the Python package index that holds the files, such as
            ``elpv-dataset``; its module has the same name, with underscores. Empty if there is
            none.
        archives: Files to download.
        ask_first: Whether the license must be acknowledged before a download.
        unverified: Statements about addresses or checksums that could not be confirmed.
    """

    name: str
    title: str
    task: Task
    categories: tuple[str, ...]
    license: str
    citation: str = ""
    homepage: str = ""
    folders: tuple[str, ...] = ()
    finder: Finder = FOLDER_FINDER
    reader: Reader = FOLDER_READER
    generator: str | Callable[[str, Path], Path] | None = None
    version: str = ""
    embedded: bool = False
    spro_regions: str | Callable[..., list[SaturatedRegion]] | None = None
    counts: Mapping[str, Counts] = field(default_factory=lambda: MappingProxyType({}))
    known_flaws: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    image_size: int | None = None
    package: str = ""
    archives: tuple[Archive, ...] = ()
    ask_first: bool = False
    unverified: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A layout that a folder of any name may have.

    Attributes:
        name: Name of the layout, in ``[a-z0-9_]``.
        finder: Recognizes the layout, see `Finder`.
        reader: Reads a dataset of the layout, see `Reader`.
        task: Task of the models that run on it.
    """

    name: str
    finder: Finder
    reader: Reader
    task: Task = "anomaly"
