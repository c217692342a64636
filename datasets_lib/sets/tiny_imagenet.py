"""Tiny-ImageNet-200: 64×64 photographs of 200 classes; its validation split is the test split.

Classes are ordered by their sorted WordNet ids, not as ``wnids.txt`` lists them. The publisher's
``test`` folder has no labels and is ignored. Imports no NumPy.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.layouts.category import DatasetError, Sample
from datasets_lib.layouts.classification import Classification, FileSplit
from datasets_lib.layouts.folders import first_names, marked_folder, subfolders

NAME = "tiny_imagenet"
FOLDER = "tiny-imagenet-200"
WNIDS, WORDS, ANNOTATIONS = "wnids.txt", "words.txt", "val/val_annotations.txt"
SUFFIX = ".JPEG"


def locate(root: Path) -> Path | None:
    """Return the folder of `WNIDS`: the root, or the archive's top folder in it."""
    return marked_folder(root, (FOLDER,), WNIDS)


def find(root: Path) -> Mapping[str, Path] | None:
    """Return no categories if the folder holds the list of classes; None if not."""
    return None if locate(root) is None else {}


def read(root: Path) -> Classification:
    """Return the train split in class order, and the val split as ``test``.

    Args:
        root: Folder of ``wnids.txt``, or its parent.

    Raises:
        DatasetError: A file or class is missing, or the annotations do not fit the images.
    """
    folder = locate(root)
    if folder is None:
        raise DatasetError(
            f"The folder {root} does not hold Tiny-ImageNet: wanted the file {WNIDS} there or in "
            f"{FOLDER}. Unpack the publisher's archive there."
        )
    wnids = _wnids(folder / WNIDS)
    classes = _class_names(folder / WORDS, wnids)
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    return Classification(
        NAME,
        train=_train(folder, classes, label_of),
        test=_val(folder, classes, label_of),
    )


def _wnids(path: Path) -> list[str]:
    wnids = [line.strip() for line in _lines(path)]
    if not wnids or len(set(wnids)) != len(wnids) or "" in wnids:
        found = f"{len(wnids)} lines, {len(set(wnids) - {''})} different ids"
        raise _refused(path, "one WordNet id per line, none twice", found)
    return sorted(wnids)


def _class_names(path: Path, wnids: list[str]) -> tuple[str, ...]:
    """Return the first word of each class; with its id if another class shares the word."""
    words = {}
    for line in _lines(path):
        # <id>\t<word>, <synonym>, …; the file lists many more ids than the set has.
        wnid, separator, names = line.partition("\t")
        if separator:
            words[wnid] = names.split(",")[0].strip()
    missing = [wnid for wnid in wnids if not words.get(wnid)]
    if missing:
        raise _refused(path, "words for every class", f"none for {first_names(missing)}")
    uses = Counter(words[wnid] for wnid in wnids)
    return tuple(words[w] if uses[words[w]] == 1 else f"{words[w]} ({w})" for w in wnids)


def _train(folder: Path, classes: tuple[str, ...], label_of: Mapping[str, int]) -> FileSplit:
    train = folder / "train"
    present = {path.name for path in _subfolders(train)}
    if unknown := sorted(present - label_of.keys()):
        raise _refused(train, f"folders of the classes in {WNIDS}", f"also {first_names(unknown)}")
    samples, labels = [], []
    for wnid, label in label_of.items():
        names = _images(train / wnid / "images")
        if not names:
            raise _refused(train / wnid / "images", f"{SUFFIX} images of its class", "none")
        samples += [_sample(folder, f"train/{wnid}/images/{name}") for name in names]
        labels += [label] * len(names)
    return FileSplit(classes, tuple(samples), tuple(labels))


def _val(folder: Path, classes: tuple[str, ...], label_of: Mapping[str, int]) -> FileSplit:
    annotated = _annotations(folder / ANNOTATIONS, label_of)
    images = folder / "val" / "images"
    present = _images(images)
    if missing := sorted(annotated.keys() - set(present)):
        raise _refused(images, f"the images that {ANNOTATIONS} names", f"no {first_names(missing)}")
    if extra := [name for name in present if name not in annotated]:
        found = f"no line for {first_names(extra)}"
        raise _refused(folder / ANNOTATIONS, "a line for every image of val/images", found)
    samples = tuple(_sample(folder, f"val/images/{name}") for name in annotated)
    return FileSplit(classes, samples, tuple(annotated.values()))


def _annotations(path: Path, label_of: Mapping[str, int]) -> dict[str, int]:
    """Return labels by file name, in the file's order; its other columns, a box, are ignored."""
    labels: dict[str, int] = {}
    wanted = "lines of image, class and the four sides of a box, separated by tabs"
    for number, line in enumerate(_lines(path), start=1):
        columns = line.split("\t")
        if len(columns) != 6:
            raise _refused(path, wanted, f"{len(columns)} columns in line {number}")
        name, wnid = columns[:2]
        if wnid not in label_of:
            raise _refused(path, f"classes of {WNIDS}", f"'{wnid[:40]}' in line {number}")
        if name in labels:
            raise _refused(path, "one line per image", f"{name[:40]} again in line {number}")
        labels[name] = label_of[wnid]
    if not labels:
        raise _refused(path, wanted, "none")
    return labels


def _sample(folder: Path, name: str) -> Sample:
    return Sample(name, folder / name)


def _images(folder: Path) -> list[str]:
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise _refused(folder, "a folder of images", error.strerror or str(error)) from error
    return sorted(name for name in names if name.endswith(SUFFIX) and not name.startswith("."))


def _subfolders(folder: Path) -> list[Path]:
    try:
        return subfolders(folder)
    except OSError as error:
        raise _refused(folder, "a folder per class", error.strerror or str(error)) from error


def _lines(path: Path) -> list[str]:
    try:
        # Only line feeds end lines: another separator in a line must not split it.
        lines = path.read_bytes().decode().replace("\r\n", "\n").split("\n")
    except OSError as error:
        raise _refused(path, "a text file", error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _refused(path, "a text file", f"bytes that are not UTF-8 ({error.reason})") from error
    return lines[:-1] if lines[-1] == "" else lines


def _refused(path: Path, wanted: str, found: str) -> DatasetError:
    return DatasetError(
        f"Tiny-ImageNet cannot be read at {path}: wanted {wanted}, found {found}. Unpack the "
        "publisher's archive again."
    )


ENTRY = DatasetEntry(
    name=NAME,
    title="Tiny-ImageNet-200",
    task="classification",
    categories=(),
    license="ImageNet's terms: non-commercial research and education",
    citation="Le, Yang: Tiny ImageNet Visual Recognition Challenge, 2015",
    homepage="http://cs231n.stanford.edu",
    folders=("tiny_imagenet_200", "tinyimagenet", "tiny_imagenet200"),
    finder=find,
    reader=read,
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
