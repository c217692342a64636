"""Where images come from."""

import io
import threading
import time

import pytest

from bench.predict.sources import named_frames, piped_frames, watched_frames
from datasets_lib.layouts.category import DatasetError


@pytest.fixture
def folder(tmp_path):
    for name in ("10.png", "2.png", "b/1.JPG", "b/notes.txt", ".hidden.png", "c d/[x].bmp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def names(frames, folder):
    return [frame.path.relative_to(folder).as_posix() for frame in frames]


def test_folders_are_read_in_natural_order_with_those_in_them(folder):
    frames = list(named_frames(str(folder)))
    assert names(frames, folder) == ["2.png", "10.png", "b/1.JPG", "c d/[x].bmp"]
    assert [frame.picture_stem for frame in frames] == ["2", "10", "b/1", "c d/[x]"]


def test_images_of_every_format_are_yielded_and_sidecars_are_not(tmp_path):
    files = ("1.jfif", "2.webp", "3.JPE", "4.heic", "5.gif", "6.jpg", "6.DNG", "notes.txt")
    for name in files:
        (tmp_path / name).write_bytes(b"")
    assert names(named_frames(str(tmp_path)), tmp_path) == [*files[:6]]
    watched = filter(None, watched_frames(tmp_path, idle_seconds=0.5))
    assert names(watched, tmp_path) == [*files[:6]]


def test_a_link_to_a_folder_above_is_not_followed_forever(folder):
    alone = [frame.path for frame in named_frames(str(folder))]
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    assert [frame.path for frame in named_frames(str(folder))] == alone


def test_patterns_and_files_whose_names_look_like_patterns(folder):
    assert names(named_frames(f"{folder}/**/*.[jJ]*"), folder) == ["b/1.JPG"]
    assert names(named_frames(f"{folder}/c d/[x].bmp"), folder) == ["c d/[x].bmp"]
    assert names(named_frames(f"{folder}/absent.png"), folder) == ["absent.png"]


@pytest.mark.parametrize("source", ["*.gif", "empty"])
def test_nothing_found_is_an_error(folder, source):
    (folder / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"gif|empty"):
        list(named_frames(str(folder / source)))


@pytest.mark.parametrize(
    "text", [b"a.png\nb b.png\n", b"a.png\r\n\nb b.png", b"a.png\nb b.png\n\n\n"]
)
def test_paths_come_one_a_line(text):
    frames = [frame for frame in piped_frames(io.BytesIO(text)) if frame]
    assert [str(frame.path) for frame in frames] == ["a.png", "b b.png"]


def test_short_lines_within_the_first_bytes_are_paths_too():
    frames = [frame for frame in piped_frames(io.BytesIO(b"a\nb\nc\nd\nlong.png")) if frame]
    assert [frame.name for frame in frames] == ["a", "b", "c", "d", "long.png"]
    assert not [frame for frame in piped_frames(io.BytesIO(b"")) if frame]


def test_watched_folder_gives_what_is_whole_once_and_again_when_changed(tmp_path):
    (tmp_path / "old.png").write_bytes(b"old")
    stop = threading.Event()

    def write():
        (tmp_path / "notes.txt").write_bytes(b"no image")
        with (tmp_path / "slow.png").open("wb") as file:
            while not stop.wait(0.03):  # longer than two polls
                file.write(b"x")
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    seen, looks = [], 0
    try:
        for frame in watched_frames(tmp_path, idle_seconds=1.0):
            looks += frame is None
            if frame is not None:
                seen.append(frame.name.rpartition("/")[2])
                if seen == ["old.png"]:
                    (tmp_path / "new.png").write_bytes(b"new")
                elif seen == ["old.png", "new.png"]:
                    (tmp_path / "old.png").write_bytes(b"older")
            if looks == 6:
                stop.set()
                writer.join()
    finally:
        stop.set()
    assert sorted(seen) == ["new.png", "old.png", "old.png", "slow.png"]
    assert seen[-1] == "slow.png" or seen.count("old.png") == 2


def test_watching_stops_when_nothing_comes(tmp_path):
    begin = time.monotonic()
    assert not [frame for frame in watched_frames(tmp_path, 0.3) if frame]
    assert time.monotonic() - begin < 60
    with pytest.raises(DatasetError, match="absent"):
        list(watched_frames(tmp_path / "absent", 1.0))


def test_the_time_that_predicting_takes_is_not_waiting(tmp_path):
    (tmp_path / "a.png").write_bytes(b"a")
    seen = []
    for frame in watched_frames(tmp_path, 0.3):
        if frame is not None:
            seen.append(frame.name)
            if frame.name.endswith("a.png"):  # a slow batch, while the next image arrives
                (tmp_path / "b.png").write_bytes(b"b")
                time.sleep(0.5)
    assert [name.rpartition("/")[2] for name in seen] == ["a.png", "b.png"]


def test_even_a_short_idle_time_looks_twice(tmp_path):
    (tmp_path / "a.png").write_bytes(b"a")
    assert len([frame for frame in watched_frames(tmp_path, 0.05) if frame]) == 1
