"""MVTec AD: fifteen industrial categories, the layout that others follow."""

from datasets_lib.entry import DatasetEntry

ENTRY = DatasetEntry(
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
    folders=("mvtec_ad", "mvtec_anomaly_detection"),
    ask_first=True,
)
