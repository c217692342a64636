"""MVTec AD 2: eight categories, with a validation split and a public test split.

Layout: the public reader in anomalib: ``train/good``, ``validation/good``,
``test_public/{good,bad}`` and ``test_public/ground_truth/bad``. The private test splits have no
labels, only the publisher's server scores them: they are skipped, and not counted here.
Counts: as three independent users of the archive list them.
"""

from types import MappingProxyType

from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.layouts.mvtec_folders import FolderLayout

_COUNTS = {
    "can": Counts(train=412, test=162, defective=90, validation=46),
    "fabric": Counts(train=387, test=156, defective=90, validation=43),
    "fruit_jelly": Counts(train=263, test=80, defective=60, validation=37),
    "rice": Counts(train=313, test=132, defective=90, validation=35),
    "sheet_metal": Counts(train=137, test=114, defective=90, validation=19),
    "vial": Counts(train=291, test=140, defective=105, validation=41),
    "wallplugs": Counts(train=293, test=150, defective=90, validation=33),
    "walnuts": Counts(train=432, test=150, defective=90, validation=48),
}

_LAYOUT = FolderLayout(
    test="test_public", truth="test_public/ground_truth", validation="validation"
)

ENTRY = DatasetEntry(
    name="mvtec_ad2",
    title="MVTec AD 2",
    task="anomaly",
    categories=tuple(_COUNTS),
    license="CC BY-NC-SA 4.0",
    citation=(
        "Heckler-Kram, Neudeck, Scheler, König, Steger: The MVTec AD 2 Dataset: Advanced "
        "Scenarios for Unsupervised Anomaly Detection, arXiv:2503.21622"
    ),
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad-2",
    folders=("mvtec_ad_2", "mvtecad2"),
    finder=_LAYOUT.find,
    reader=_LAYOUT.read,
    counts=MappingProxyType(_COUNTS),
    archives=(
        Archive(
            file="mvtec_ad_2.tar.gz",
            urls=(
                "https://www.mydrive.ch/shares/150997/701c90d3aea6588f404936e32a674602/download/"
                "466712769-1743429042/mvtec_ad_2.tar.gz",
            ),
            sha256="c0ded99ef32bfc8e352d52beb44515e5b292b8598cb963aadfa91ca0763505e4",
        ),
    ),
    ask_first=True,
    unverified=(
        "The archive's address and checksum are those that public dataset loaders state; whether "
        "it has a top folder is not known.",
    ),
)
