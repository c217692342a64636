"""BTAD, beanTech anomaly detection: three products, ``ok`` and ``ko`` for good and bad.

Layout: the page of the dataset (VT-ADL) and the public reader in anomalib: ``train/ok``,
``test/ok``, ``test/ko``, ``ground_truth/ko``. Images are BMP or PNG by product, and so are masks.
"""

from types import MappingProxyType

from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.layouts.mvtec_folders import FolderLayout

_COUNTS = {
    "01": Counts(train=400, test=70, defective=49),
    "02": Counts(train=399, test=230, defective=200),
    "03": Counts(train=1000, test=441, defective=41),
}

_LAYOUT = FolderLayout(normal="ok")

ENTRY = DatasetEntry(
    name="btad",
    title="BTAD",
    task="anomaly",
    categories=tuple(_COUNTS),
    license="CC BY-SA 4.0",
    citation=(
        "Mishra, Verk, Fornasier, Piciarelli, Foresti: VT-ADL: A Vision Transformer Network for "
        "Image Anomaly Detection and Localization, ISIE 2021"
    ),
    homepage="https://github.com/pankajmishra000/VT-ADL",
    folders=("btech", "btech_dataset_transformed"),
    finder=_LAYOUT.find,
    reader=_LAYOUT.read,
    counts=MappingProxyType(_COUNTS),
    archives=(
        Archive(
            file="btad.zip",
            urls=("https://avires.dimi.uniud.it/papers/btad/btad.zip",),
            sha256="461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a",
            strip="BTech_Dataset_transformed",
        ),
    ),
    unverified=(
        "The checksum is the one that public dataset loaders state.",
        "The counts by product: their sum, 2,540, is the published one; the page gives 1,000 "
        "images to product 02 and 399 to 03, and the archive the other way around.",
    ),
)
