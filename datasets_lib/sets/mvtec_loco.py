"""MVTec LOCO AD: five categories with logical and structural anomalies, several masks an image.

Layout: the public reader in anomalib: that of MVTec AD with ``validation/good``, and with
``ground_truth/<kind>/<stem>/000.png``, one file a defect. A mask's pixel value tells the kind of
the defect, whose saturation `read_saturation` reads from ``defects_config.json``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.layouts.annotations import read_json, unusable
from datasets_lib.layouts.category import Category
from datasets_lib.layouts.mvtec_folders import FolderLayout

_COUNTS = {
    "breakfast_box": Counts(train=351, test=275, defective=173, validation=62),
    "juice_bottle": Counts(train=335, test=330, defective=236, validation=54),
    "pushpins": Counts(train=372, test=310, defective=172, validation=69),
    "screw_bag": Counts(train=360, test=341, defective=219, validation=60),
    "splicing_connectors": Counts(train=360, test=312, defective=193, validation=60),
}

ENTRY = DatasetEntry(
    name="mvtec_loco",
    title="MVTec LOCO AD",
    task="anomaly",
    categories=tuple(_COUNTS),
    license="CC BY-NC-SA 4.0",
    citation=(
        "Bergmann, Batzner, Fauser, Sattlegger, Steger: Beyond Dents and Scratches: Logical "
        "Constraints in Unsupervised Anomaly Detection and Localization, IJCV 2022"
    ),
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-loco",
    folders=("mvtec_loco_ad", "mvtec_loco_anomaly_detection"),
    reader="datasets_lib.sets.mvtec_loco:read",
    spro_regions="datasets_lib.sets.mvtec_loco_regions:saturated_regions",
    counts=MappingProxyType(_COUNTS),
    archives=(
        Archive(
            file="mvtec_loco_anomaly_detection.tar.xz",
            urls=(
                "https://www.mydrive.ch/shares/48237/1b9106ccdfbb09a0c414bd49fe44a14a/download/"
                "430647091-1646842701/mvtec_loco_anomaly_detection.tar.xz",
            ),
            sha256="9e7c84dba550fd2e59d8e9e231c929c45ba737b6b6a6d3814100f54d63aae687",
        ),
    ),
    ask_first=True,
    unverified=(
        "The archive's address and checksum are as public readers state them.",
        "The paper counts 1,772 training and 304 validation images, four users of the archive "
        "1,778 and 305: splicing_connectors has 360 and 60. The archive's counts stand here.",
        "The names of the fields of defects_config.json.",
    ),
)

_LAYOUT = FolderLayout(validation="validation")


@dataclass(frozen=True)
class Saturation:
    """Overlap at which a defect counts as fully detected (section 4.2 of the paper).

    Attributes:
        defect: Kind of the defect.
        threshold: The overlap: a share of the defect's area, or pixels of the original image.
        relative: Whether it is a share.
    """

    defect: str
    threshold: float
    relative: bool

    def area(self, defect_area: int, shrunk: float = 1.0) -> float:
        """Return the overlap that suffices for a defect, in pixels.

        Args:
            defect_area: Pixels of the defect at the evaluated size.
            shrunk: Pixels of the evaluated size per pixel of the original.

        Example:
            >>> Saturation("scratch", 0.5, relative=True).area(200)
            100.0
        """
        limit = self.threshold * defect_area if self.relative else self.threshold * shrunk
        return min(limit, defect_area)


def read(dataset: str, category: str, path: Path) -> Category:
    """Return one category, see `FolderLayout.read`."""
    return _LAYOUT.read(dataset, category, path)


def read_saturation(path: Path) -> Mapping[int, Saturation]:
    """Return the saturations in ``defects_config.json``, by pixel value of the masks.

    Raises:
        DatasetError: The file is missing or not as published.
    """
    file = path / "defects_config.json"
    wanted = (
        "a list of objects with defect_name, pixel_value, saturation_threshold and "
        "relative_saturation"
    )
    remedy = "Unpack the archive of MVTec LOCO AD again."
    rows = read_json(file, wanted, remedy)
    try:
        return MappingProxyType(dict(_saturation(row) for row in rows))
    except (ValueError, TypeError, KeyError) as error:
        raise unusable(file, repr(error), wanted, remedy) from error


def _saturation(row: Mapping[str, Any]) -> tuple[int, Saturation]:
    value, threshold = int(row["pixel_value"]), float(row["saturation_threshold"])
    if not 0 < value < 256 or not 0 < threshold < float("inf"):
        raise ValueError(f"pixel_value {value}, saturation_threshold {threshold}")
    return value, Saturation(str(row["defect_name"]), threshold, bool(row["relative_saturation"]))
