"""Folder contents: ids from folder names, listings in natural order, categories of a dataset."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from datasets_lib.layouts.category import DatasetError, Sample

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp"}
)
"""Suffixes of the image files that are read, in lower case."""

_UNREAD_SUFFIXES = frozenset(
    {".avif", ".gif", ".heic", ".heif", ".j2k", ".jp2", ".jxl", ".pbm", ".pgm", ".pnm", ".ppm"}
    | {".arw", ".cr2", ".cr3", ".dcm", ".dng", ".exr", ".nef", ".orf", ".raf", ".rw2", ".tga"}
)
"""Suffixes of image files that are not read, in lower case."""

_JUNK = frozenset(
    {"$recycle.bin", "__macosx", "desktop.ini", "lost+found", "recycler", "thumbs.db"}
    | {"system volume information", "ehthumbs.db", "icon\r", "network trash folder"}
    | {"@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot"}
)


def folder_id(name: str) -> str:
    """Return a folder's name as an id of ``a-z``, ``0-9`` and ``_``, as a keyboard types it.

    Letters of other scripts are spelled by their Unicode names, ideographs by their code points,
    accents are dropped, other characters become underscores, and none leads. Names that differ in
    their Unicode normal form alone have one id.

    >>> folder_id("MVTec AD-2"), folder_id("너트"), folder_id("_Größe"), folder_id("零件")
    ('mvtec_ad_2', 'neoteu', 'grosse', 'u96f6u4ef6')
    """
    folded = composed(unicodedata.normalize("NFKC", name).casefold())
    typed = "".join(map(spelled, folded)).lstrip("_")
    return typed or "".join(f"u{ord(character):x}" for character in folded)


def spelled(character: str, other: str = "_") -> str:
    """Return a character in ``a-z``, ``0-9`` and ``_``; ``other`` if it is no letter or digit."""
    for plain in (character, unicodedata.normalize("NFKD", character)[0]):
        if re.fullmatch("[a-z0-9_]", plain):
            return plain
    category = unicodedata.category(character)
    if category.startswith("M"):  # a combining mark without a letter before it
        return ""
    if not category.startswith("L"):
        return str(unicodedata.digit(character, other))
    # HANGUL SYLLABLE NEO, CYRILLIC SMALL LETTER BE, CJK UNIFIED IDEOGRAPH-96F6
    words = re.fullmatch(
        r".*\b(?:SYLLABLE|LETTER) ([A-Z ]+?)(?: WITH .*)?", unicodedata.name(character, "")
    )
    return words[1].replace(" ", "").lower() if words else f"u{ord(character):x}"


def composed(name: str) -> str:
    """Return a name in the composed Unicode normal form, the same on every system."""
    return unicodedata.normalize("NFC", name)


def same_name(name: str) -> str:
    """Return a name in the form in which names are compared: composed, in lower case."""
    return composed(name).casefold()


def is_junk(name: str) -> bool:
    """Return whether a file or folder was left by the system: hidden, trash, thumbnails.

    >>> is_junk(".DS_Store"), is_junk("@eaDir"), is_junk("Thumbs.db"), is_junk("bolt")
    (True, True, True, False)
    """
    return name.startswith((".", "~$")) or name.lower() in _JUNK


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, without those that `is_junk` recognizes.

    Raises:
        OSError: The folder cannot be listed.
    """
    with os.scandir(folder) as entries:
        return [Path(e.path) for e in entries if not is_junk(e.name) and _is_folder(e)]


def ids_of(folders: Iterable[Path], kind: str) -> dict[str, Path]:
    """Return the folders by id, sorted by id.

    Of several folders that give one id, the one with that very name keeps it; each other one gets
    four more digits, which depend only on its name.

    Args:
        folders: Folders of datasets or of categories.
        kind: ``datasets`` or ``categories``, for the error message.

    Raises:
        DatasetError: Two folders have one name, in two Unicode normal forms.
    """
    groups: dict[str, list[Path]] = {}
    for folder in sorted(folders):
        groups.setdefault(folder_id(folder.name), []).append(folder)
    by_id: dict[str, Path] = {}
    for name, group in groups.items():
        for folder in group:
            own = name if len(group) == 1 or folder.name == name else f"{name}_{_digits(folder)}"
            if own in by_id:
                raise DatasetError(
                    f"Two {kind} would share the id '{own}': {by_id[own]} and {folder}. Rename one "
                    "of them."
                )
            by_id[own] = folder
    return dict(sorted(by_id.items()))


def _digits(folder: Path) -> str:
    name = composed(folder.name).encode("utf-8", "surrogateescape")
    return hashlib.sha256(name).hexdigest()[:4]


def child(folder: Path, *names: str) -> Path:
    """Return a path in a folder, whatever case or Unicode normal form its names have on disk.

    The exact name takes precedence, and is also returned if no name matches.
    """
    for name in names:
        exact = folder / name
        if not os.path.lexists(exact):
            with suppress(OSError):
                wanted = same_name(name)
                others = sorted(p for p in folder.iterdir() if same_name(p.name) == wanted)
                exact = others[0] if others else exact
        folder = exact
    return folder


def categories_in(root: Path, is_category: Callable[[Path], bool]) -> dict[str, Path] | None:
    """Return the categories in a folder by id; None if there are none.

    Next to known categories, an unreadable folder counts as a category: its cases fail by name,
    while dropping it would silently shorten the benchmark.

    Raises:
        OSError: The folder cannot be listed.
        DatasetError: Two folders give the same id.
    """
    folders = subfolders(root)
    known = [folder for folder in folders if is_category(folder)]
    closed = [folder for folder in folders if not os.access(folder, os.R_OK | os.X_OK)]
    return ids_of({*known, *closed}, "categories") if known else None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def marked_folder(root: Path, inner: tuple[str, ...], marker: str) -> Path | None:
    """Return the dataset's root or a folder in it that holds a marker; None if none does.

    Args:
        root: Folder of the dataset.
        inner: Possible names of its archive's top folder, in order of preference.
        marker: Relative path of a file or folder that the dataset always has.
    """
    for folder in (root, *(root / name for name in inner)):
        if (folder / marker).exists():
            return folder
    return None


class Listing(NamedTuple):
    """Names of files and folders in a folder, in natural order."""

    files: list[str]
    folders: list[str]


def list_folder(folder: Path, layout: str) -> Listing:
    """List the names in a folder in natural order (``2.png`` before ``10.png``), without junk.

    Args:
        folder: Folder to list.
        layout: Description of the expected layout for the error message.

    Raises:
        DatasetError: The folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            folder_by_name = {e.name: e.is_dir() for e in entries if not is_junk(e.name)}
    except OSError as error:
        raise DatasetError(
            f"The folder {folder} cannot be listed: {error.strerror}. Wanted the layout {layout}; "
            "check that it exists and that you have permission to read it."
        ) from error
    names = sorted(folder_by_name, key=natural)
    return Listing(
        [name for name in names if not folder_by_name[name]],
        [name for name in names if folder_by_name[name]],
    )


def list_images(folder: Path, layout: str) -> list[Path]:
    """List the image files of a folder; hidden files and other files are skipped.

    Raises:
        DatasetError: The folder cannot be listed, or holds images in a format that is not read.
    """
    names = list_folder(folder, layout).files
    check_formats(folder, names)
    return [folder / name for name in names if is_image(name)]


def check_formats(folder: Path, names: Sequence[str]) -> None:
    """Check that a folder holds no images that would be left out because of their format.

    Args:
        folder: Folder whose images are read.
        names: Names of all files in it.

    Raises:
        DatasetError: It does.
    """
    if unread := unread_images(names):
        raise DatasetError(
            f"{folder} holds {len(unread):,} images in formats that are not read "
            f"({first_names(unread)}): wanted files ending in {in_words(IMAGE_SUFFIXES)}. Convert "
            "them to PNG, or move them out of the folder."
        )


def unread_images(names: Sequence[str]) -> list[str]:
    """Return the names of images in formats that are not read, in their order.

    A file next to a readable image of the same name, such as a camera's raw file, does not count.

    >>> unread_images(["1.heic", "2.HEIC", "2.jpg", "notes.txt"])
    ['1.heic']
    """
    unread = [name for name in names if _suffix(name) in _UNREAD_SUFFIXES]
    read = {same_name(Path(name).stem) for name in names if is_image(name)} if unread else ()
    return [name for name in unread if same_name(Path(name).stem) not in read]


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and below it in natural order, without what `is_junk` recognizes.

    Folders that cannot be listed are skipped: readers report those that matter.
    """
    seen: set[str] = set()
    for outer, inner, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(outer)
        if real in seen:  # a link to a parent folder would be followed forever
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted((name for name in inner if not is_junk(name)), key=natural)
        shown = sorted((name for name in names if not is_junk(name)), key=natural)
        yield from (Path(outer, name) for name in shown)


def is_image(name: str) -> bool:
    """Return whether a file of this name counts as an image.

    >>> is_image("003.PNG")
    True
    """
    return _suffix(name) in IMAGE_SUFFIXES


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a sort key that puts ``2.png`` before ``10.png``.

    >>> sorted(["10.png", "2.png"], key=natural)
    ['2.png', '10.png']
    """
    parts = re.split(r"([0-9]+)", name)
    # Digits sort as numbers; the name itself breaks the tie between 1.png and 01.png.
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name


def relative_name(file: Path, root: Path) -> str:
    """Return a file's path relative to a folder, with ``/``, the same on every system.

    macOS decomposes accents and Hangul in names; the composed form is what hashes and records hold.
    """
    return composed(file.relative_to(root).as_posix())


def in_order(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Sort samples: normal images first, each group in natural order."""
    return tuple(sorted(samples, key=lambda s: (s.defect is not None, natural(s.name))))


def in_words(suffixes: Iterable[str]) -> str:
    """Return suffixes as a list for an error message."""
    return ", ".join(sorted(suffixes))


def first_names(names: Sequence[str], quote: str = "") -> str:
    """Return the first three names for an error message, and how many more there are.

    Args:
        names: The names; of long ones only the beginning is shown.
        quote: Character on either side of a name.

    Example:
        >>> first_names(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(f"{quote}{name[:40]}{quote}" for name in names[:3]) + more
