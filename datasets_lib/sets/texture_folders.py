"""Texture sets: folders of images by class; the classes do not matter. Imports no NumPy."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.folders import is_junk, marked_folder

SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class TextureFolders:
    """Names of the folders of a texture set.

    Attributes:
        tops: Possible names of its archive's top folder, in order of preference.
        marker: Relative path of a folder that the set always has.
        parts: Folders that hold one folder of images per class.
    """

    tops: tuple[str, ...]
    marker: str
    parts: tuple[str, ...]

    def find(self, root: Path) -> Mapping[str, Path] | None:
        """Return no categories if the folder holds the set; None if not."""
        return None if marked_folder(root, self.tops, self.marker) is None else {}

    def read(self, root: Path) -> list[Path]:
        """Return every image, sorted by path.

        Raises:
            DatasetError: There is none, or a folder cannot be listed.
        """
        root = marked_folder(root, self.tops, self.marker) or root
        try:
            files = [
                file
                for part in self.parts
                for kind in (root / part).iterdir()
                for file in _in(kind)
            ]
        except OSError as error:
            raise DatasetError(
                f"The folder {error.filename} cannot be listed: {error.strerror}. Wanted one "
                "folder of images per class, as in the publisher's archive. Unpack it again."
            ) from error
        if not files:
            raise DatasetError(
                f"The folder {root} has no images: wanted {', '.join(sorted(SUFFIXES))} files in "
                f"{' and '.join(f'{part}/<class>' for part in self.parts)}. Unpack the "
                "publisher's archive again."
            )
        return sorted(files)


def _in(folder: Path) -> list[Path]:
    if not folder.is_dir() or is_junk(folder.name):
        return []
    return [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not is_junk(file.name)
    ]
