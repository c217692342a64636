"""Tiny-ImageNet-200: 64×64 photographs of 200 classes; its validation split is the test split."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.layouts.folders import marked_folder

FOLDER = "tiny-imagenet-200"
WNIDS, WORDS, ANNOTATIONS = "wnids.txt", "words.txt", "val/val_annotations.txt"

ENTRY = DatasetEntry(
    name="tiny_imagenet",
    title="Tiny-ImageNet-200",
    task="classification",
    categories=(),
    license="ImageNet's terms: non-commercial research and education",
    citation="Le, Yang: Tiny ImageNet Visual Recognition Challenge, 2015",
    homepage="http://cs231n.stanford.edu",
    folders=("tiny_imagenet_200", "tinyimagenet", "tiny_imagenet200"),
    finder="datasets_lib.sets.tiny_imagenet:find",
    reader="datasets_lib.sets.tiny_imagenet_reader:read",
    counts=MappingProxyType({"": Counts(train=100_000, test=10_000)}),
    image_size=64,
    archives=(
        Archive(
            file="tiny-imagenet-200.zip",
            urls=("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
            bytes=248_100_043,
            sha256="6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",
            md5="90528d7ca1a48142e341f4ef8d21d0de",
            strip=FOLDER,
        ),
    ),
    ask_first=True,
    unverified=("The checksums are those that users report; the publisher states none.",),
)


def locate(root: Path) -> Path | None:
    """Return the folder of `WNIDS`: the root, or the archive's top folder in it."""
    return marked_folder(root, (FOLDER,), WNIDS)


def find(root: Path) -> Mapping[str, Path] | None:
    """Return no categories if the folder holds the list of classes; None if not."""
    return None if locate(root) is None else {}
