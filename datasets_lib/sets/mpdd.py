"""MPDD, metal parts defect detection: six categories in the MVTec AD layout.

Layout: the public reader in anomalib. Counts: the file list of the published archive, whose sums
are the paper's 888 training and 458 test images.
"""

from types import MappingProxyType

from datasets_lib.entry import Archive, Counts, DatasetEntry

_COUNTS = {
    "bracket_black": Counts(train=289, test=79, defective=47),
    "bracket_brown": Counts(train=185, test=77, defective=51),
    "bracket_white": Counts(train=110, test=60, defective=30),
    "connector": Counts(train=128, test=44, defective=14),
    "metal_plate": Counts(train=54, test=97, defective=71),
    "tubes": Counts(train=122, test=101, defective=69),
}

ENTRY = DatasetEntry(
    name="mpdd",
    title="MPDD",
    task="anomaly",
    categories=tuple(_COUNTS),
    license="CC BY-NC-SA 4.0",
    citation=(
        "Jezek, Jonak, Burget, Dvorak, Skotak: Deep learning-based defect detection of metal "
        "parts, ICUMT 2021"
    ),
    homepage="https://github.com/stepanje/MPDD",
    counts=MappingProxyType(_COUNTS),
    archives=(Archive(file="MPDD.zip", strip="MPDD"),),
    ask_first=True,
    unverified=(
        "The archive's file name and top folder; its page links to a shared folder to open "
        "in a browser.",
        "The license is the one that public dataset loaders state; the page itself names none.",
    ),
)
