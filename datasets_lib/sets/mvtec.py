"""MVTec AD: fifteen industrial categories, the layout that others follow.

Layout and counts: table 1 of the paper and its page; the counts agree with the lists of the test
images that UniAD (NeurIPS 2022) publishes. The archive holds the categories at its top.
"""

from types import MappingProxyType

from datasets_lib.entry import Archive, Counts, DatasetEntry

_COUNTS = {
    "bottle": Counts(train=209, test=83, defective=63),
    "cable": Counts(train=224, test=150, defective=92),
    "capsule": Counts(train=219, test=132, defective=109),
    "carpet": Counts(train=280, test=117, defective=89),
    "grid": Counts(train=264, test=78, defective=57),
    "hazelnut": Counts(train=391, test=110, defective=70),
    "leather": Counts(train=245, test=124, defective=92),
    "metal_nut": Counts(train=220, test=115, defective=93),
    "pill": Counts(train=267, test=167, defective=141),
    "screw": Counts(train=320, test=160, defective=119),
    "tile": Counts(train=230, test=117, defective=84),
    "toothbrush": Counts(train=60, test=42, defective=30),
    "transistor": Counts(train=213, test=100, defective=40),
    "wood": Counts(train=247, test=79, defective=60),
    "zipper": Counts(train=240, test=151, defective=119),
}

ENTRY = DatasetEntry(
    name="mvtec",
    title="MVTec AD",
    task="anomaly",
    categories=tuple(_COUNTS),
    license="CC BY-NC-SA 4.0",
    citation="Bergmann, Fauser, Sattlegger, Steger: MVTec AD, CVPR 2019",
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    folders=("mvtec_ad", "mvtec_anomaly_detection"),
    counts=MappingProxyType(_COUNTS),
    archives=(
        Archive(
            file="mvtec_anomaly_detection.tar.xz",
            urls=(
                "https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/download/"
                "420938113-1629960298/mvtec_anomaly_detection.tar.xz",
            ),
            sha256="cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
        ),
    ),
    ask_first=True,
    unverified=("The archive's address and checksum are those that public dataset loaders state.",),
)
