"""MVTec LOCO AD: five categories with logical and structural anomalies, several masks per image.

Layout: the public reader in anomalib: that of MVTec AD with ``validation/good``, and with
``ground_truth/<kind>/<stem>/000.png``, one file per defect.
"""

from types import MappingProxyType

from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.layouts.mvtec_folders import FolderLayout

_COUNTS = {
    "breakfast_box": Counts(train=351, test=275, defective=173, validation=62),
    "juice_bottle": Counts(train=335, test=330, defective=236, validation=54),
    "pushpins": Counts(train=372, test=310, defective=172, validation=69),
    "screw_bag": Counts(train=360, test=341, defective=219, validation=60),
    "splicing_connectors": Counts(train=360, test=312, defective=193, validation=60),
}

_LAYOUT = FolderLayout(validation="validation")

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
    finder=_LAYOUT.find,
    reader=_LAYOUT.read,
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
        "The archive's address and checksum are those that public dataset loaders state.",
        "The paper counts 1,772 training and 304 validation images, four users of the archive "
        "1,778 and 305: splicing_connectors has 360 and 60. The archive's counts are used here.",
        "The names of the fields of defects_config.json.",
    ),
)
