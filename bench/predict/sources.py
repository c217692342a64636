"""Where images come from: files, folders, patterns, a watched folder, standard input."""

import glob
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from bench.predict.frames import is_image_data, split_frames
from bench.predict.stream import Frame
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.folders import is_image, list_folder, unread_images

_POLL_SECONDS = 0.2
_QUEUED = 8


def named_frames(source: str) -> Iterator[Frame]:
    """Yield the images of a file, a folder and the folders in it, or a pattern such as ``*.png``.

    A file given by name is yielded whether it can be read or not, and so are images of a folder in
    formats that are not read: none is left out without a word.

    Raises:
        DatasetError: A folder or a pattern has no image.
    """
    path = Path(source)
    if path.is_dir():
        has_images = False
        for file in _below(path):
            has_images = True
            yield Frame(str(file), file, picture_stem=str(file.relative_to(path).with_suffix("")))
        if not has_images:
            raise DatasetError(
                f"The folder {path} and its subfolders contain no image: wanted files such as "
                "*.png or *.jpg. Name another folder."
            )
    elif glob.has_magic(source) and not path.exists():
        matching = glob.glob(source, recursive=True)  # noqa: PTH207 - absolute patterns too
        names = sorted(name for name in matching if Path(name).is_file())
        if not names:
            raise DatasetError(
                f"No file matches the pattern {source}. Name files or a folder of them."
            )
        yield from map(file_frame, map(Path, names))
    else:
        yield file_frame(path)


def file_frame(path: Path) -> Frame:
    """Return the image of a file."""
    return Frame(str(path), path, picture_stem=path.stem or "image")


def watched_frames(folder: Path, idle_seconds: float | None) -> Iterator[Frame | None]:
    """Yield the images of a folder, and then those that are added to it, until interrupted.

    A file is yielded once its size and time stay the same for a fifth of a second, so that files
    being written are left alone, and again when it has changed. None is yielded after every scan.

    Args:
        folder: Folder to watch.
        idle_seconds: Stop after waiting this long without an image that is new or still grows;
            the time that others take with the images is not waiting. None never stops.

    Raises:
        DatasetError: The folder cannot be listed.
    """
    seen: dict[str, tuple[int, int]] = {}
    growing: dict[str, tuple[int, int]] = {}
    waited = 0.0
    while idle_seconds is None or waited < idle_seconds:
        time.sleep(_POLL_SECONDS if waited or growing else 0)
        waited += _POLL_SECONDS
        states = dict(_states(folder))
        seen = {name: state for name, state in seen.items() if name in states}
        for name, state in states.items():
            if seen.get(name) == state:
                continue
            waited = 0.0
            if growing.get(name) == state:
                seen[name] = state
                yield file_frame(folder / name)
        growing = states
        yield None


def piped_frames(stream: BinaryIO) -> Iterator[Frame | None]:
    """Yield the images of standard input: paths, one per line, or image files one after another.

    The first bytes tell which of the two it is. None is yielded whenever nothing waits to be read.
    """
    waiting: queue.Queue[Frame | None] = queue.Queue(_QUEUED)
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for frame in _read_pipe(stream):
                waiting.put(frame)
        except BaseException as error:  # raised where the frames are read
            failures.append(error)
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            frame = waiting.get(timeout=0.02)
        except queue.Empty:
            yield None
            continue
        if frame is None:
            break
        yield frame
    if failures:
        raise failures[0]


def _read_pipe(stream: BinaryIO) -> Iterator[Frame]:
    start = stream.read(8)
    if is_image_data(start):
        for number, data in enumerate(split_frames(start, stream)):
            name = f"frame-{number:06}"
            yield Frame(name, Path(name), data, picture_stem=name)
        return
    yield from map(file_frame, map(Path, _lines(start, stream)))


def _lines(start: bytes, stream: BinaryIO) -> Iterable[str]:
    first, newline, rest = start.partition(b"\n")
    if newline:
        yield from filter(None, [os.fsdecode(first).strip()])
        while b"\n" in rest:
            first, _, rest = rest.partition(b"\n")
            yield from filter(None, [os.fsdecode(first).strip()])
        start = rest
    for line in stream:
        yield from filter(None, [os.fsdecode(start + line).strip()])
        start = b""
    yield from filter(None, [os.fsdecode(start).strip()])


def _below(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Yield image files in natural order, those of a folder before those of the folders in it."""
    real = os.path.realpath(folder)
    if real in above:  # a link to a parent folder would be followed forever
        return
    names = list_folder(folder, "DIR/*.png")
    yield from (folder / name for name in _images(names.files))
    for name in names.folders:
        yield from _below(folder / name, above | {real})


def _states(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield size and time of change of the image files in a folder, by name."""
    for name in _images(list_folder(folder, "DIR/*.png").files):
        try:
            stat = (folder / name).stat()
        except OSError:  # removed in the meantime
            continue
        yield name, (stat.st_size, stat.st_mtime_ns)


def _images(names: list[str]) -> Iterator[str]:
    """Yield the names of image files, of formats that are read or not, in their order."""
    unread = set(unread_images(names))
    yield from (name for name in names if is_image(name) or name in unread)
