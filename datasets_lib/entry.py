"""What the catalog says of a dataset; frozen, and free of torch, for it is read at collection."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FOLDER_FINDER = "datasets_lib.layouts.mvtec_folders:find_categories"
FOLDER_READER = "datasets_lib.layouts.mvtec_folders:read_category"

Task = Literal["anomaly", "classification", "texture"]


@dataclass(frozen=True)
class Archive:
    """One file a publisher offers.

    Attributes:
        file: Its name on disk.
        urls: Where it is, the publisher's own first, then mirrors. Empty where the publisher asks
            for a form or a login: a person fetches it, `data prepare` takes it.
        bytes: Its size, where known.
        sha256: Its sha256 in hex, where known.
        md5: Its md5 in hex, where that is all the publisher states.
        strip: Top folder left out when it is unpacked; empty for none.
        into: Folder below the dataset's own that it is unpacked into; empty for the dataset's own.
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
    """How many images a split of a category, or of a classification set, holds.

    Attributes:
        train: Images to fit on.
        test: Images to judge on, normal ones included.
        defective: Of the test images, those with a defect.
        validation: Normal images of an official validation split.
    """

    train: int
    test: int
    defective: int = 0
    validation: int = 0


@dataclass(frozen=True)
class SaturatedRegion:
    """One defect of one image, and how much of it must be marked for it to be found.

    Attributes:
        image: Index of its image.
        mask: Bool (S, S).
        saturation: Pixels, above 0 and at most the mask's.
    """

    image: int
    mask: "npt.NDArray[np.bool_]"
    saturation: float


@dataclass(frozen=True)
class DatasetEntry:
    """One named dataset.

    Attributes:
        name: The id's dataset value, in ``[a-z0-9_]``.
        title: How tables and texts call it.
        task: What models are asked on it; ``texture`` sets only serve others.
        categories: Ids of its categories, in the publisher's order; empty for other tasks.
        license: Terms of its images.
        citation: Whom to cite; empty where there is no publication.
        homepage: Where a person gets it; empty for a generated set.
        folders: Other names, as ids, that its folder goes by below a data folder, such as the
            name its archive unpacks to.
        finder: Import path of a ``(root) -> {category id: path} | None``: which of its
            categories lie in a folder of its name; None means that it is something else. Runs at
            collection: looks at folder names alone.
        reader: Import path of a ``(dataset, category, path) -> Category`` for anomaly sets, of a
            ``(root) -> Classification`` for classification sets, and of a ``(root) -> list of
            files`` for textures.
        generator: Import path of a ``(category, root) -> path`` that draws a category into
            ``root``, for a set that needs no download; None where files must be there.
        version: Changes whenever a generated pixel would; empty without a generator.
        embedded: Whether it needs no files of its own: drawn, or part of a dependency.
        saturated: Import path of a ``(samples, size) -> [SaturatedRegion]``, for sets whose defects
            are found from less than their whole area; None for others.
        counts: What its publisher says it holds, by category; of other tasks under ``""``.
        known_flaws: How many problems of a kind it has as published, by the words of `verify`.
        image_size: Side that classifiers are trained at; None where it depends on the model.
        archives: What to download.
        ask_first: Whether its license must be acknowledged before a download.
        unverified: What could not be confirmed from here, in words: an address, a checksum.
    """

    name: str
    title: str
    task: Task
    categories: tuple[str, ...]
    license: str
    citation: str = ""
    homepage: str = ""
    folders: tuple[str, ...] = ()
    finder: str = FOLDER_FINDER
    reader: str = FOLDER_READER
    generator: str | None = None
    version: str = ""
    embedded: bool = False
    saturated: str | None = None
    counts: Mapping[str, Counts] = field(default_factory=lambda: MappingProxyType({}))
    known_flaws: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    image_size: int | None = None
    archives: tuple[Archive, ...] = ()
    ask_first: bool = False
    unverified: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A layout that folders of any name may have.

    Attributes:
        finder: As of `DatasetEntry`.
        reader: As of `DatasetEntry`.
        task: What models are asked on it.
    """

    finder: str
    reader: str
    task: Task = "anomaly"
