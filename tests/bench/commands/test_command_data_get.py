"""``python -m bench data get``, ``prepare`` and ``list``: real archives, and a real server."""

import functools
import hashlib
import http.server
import json
import shutil
import sys
import threading
import zipfile
from types import MappingProxyType

import pytest
from filelock import FileLock

from bench.__main__ import main
from bench.commands import data_get
from datasets_lib import catalog, discover
from datasets_lib.download import place
from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.layouts.category import DatasetError

COUNTS = Counts(train=5, test=6, defective=3)


@pytest.fixture(autouse=True)
def home(isolated, tmp_path, monkeypatch):
    """Allow the network, and return the data home."""
    monkeypatch.delenv("PROVING_GROUND_OFFLINE")
    return tmp_path / "cache" / "data"


@pytest.fixture
def rods(tmp_path, write_category):
    """Write the dataset as its archive contains it."""
    return write_category(tmp_path / "source" / "rods_v1" / "short", 5, 3, 3).parent


@pytest.fixture
def add_entry(monkeypatch):
    """Return a function that adds an entry to the catalog, wherever it was imported."""

    def add(*archives, **fields):
        entry = DatasetEntry(
            **{
                "name": "rods",
                "title": "Rods",
                "task": "anomaly",
                "categories": ("short",),
                "license": "CC BY 4.0",
                "homepage": "https://rods.example",
                "counts": {"short": COUNTS},
                "archives": archives,
            }
            | fields
        )
        changed = MappingProxyType({**catalog.DATASETS, entry.name: entry})
        original = catalog.DATASETS
        assert {discover, place, data_get} <= set(sys.modules.values())
        for module in list(sys.modules.values()):
            if getattr(module, "DATASETS", None) is original:
                monkeypatch.setattr(module, "DATASETS", changed)

    return add


@pytest.fixture
def served(tmp_path):
    """Serve a folder over HTTP; return the folder and its URL."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def pack(archive, folder, top=""):
    with zipfile.ZipFile(archive, "w") as packed:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                packed.write(file, f"{top}{file.relative_to(folder).as_posix()}")
    return archive


def described(archive, url, **fields):
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    size = archive.stat().st_size
    return Archive(
        **{"file": archive.name, "urls": (url,), "bytes": size, "sha256": digest} | fields
    )


def content(folder):
    return {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture
def offered(rods, served, add_entry):
    """Add the dataset to the catalog and serve its archive."""
    folder, address = served
    archive = pack(folder / "rods_v1.zip", rods, top="rods_v1/")
    add_entry(described(archive, f"{address}/rods_v1.zip", strip="rods_v1"), ask_first=True)
    return archive


def test_get_downloads_unpacks_and_is_found(offered, rods, home, capsys):
    assert main(["data", "get", "rods", "--accept-license"]) == 0
    out = capsys.readouterr()
    assert "CC BY 4.0" in out.out
    assert "100%" in out.err
    assert content(home / "rods") == content(rods)
    assert sorted(path.name for path in home.iterdir()) == ["licenses.json", "rods"]
    assert main(["data", "get", "rods"]) == 0
    assert f"already at {home / 'rods'}" in capsys.readouterr().out
    assert main(["data", "verify", "rods"]) == 0
    assert "1 of 1 verify" in capsys.readouterr().out


def test_license_must_be_accepted_once(offered, home, capsys, monkeypatch):
    assert main(["data", "get", "rods"]) == 2
    assert "--accept-license" in capsys.readouterr().err
    assert not (home / "rods").exists()
    assert main(["data", "get", "rods", "--accept-license", "--keep-archive"]) == 0
    assert (home / ".downloads" / "rods" / "rods_v1.zip").read_bytes() == offered.read_bytes()
    shutil.rmtree(home / "rods")
    offered.unlink()  # the stored copy is enough
    assert main(["data", "get", "rods"]) == 0
    assert (home / "rods" / "short").is_dir()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 2), ("no", 2)])
def test_license_prompt_on_a_terminal(offered, home, monkeypatch, answer, code):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert main(["data", "get", "rods"]) == code
    assert (home / "rods").exists() == (code == 0)


def test_get_refuses_a_wrong_checksum(rods, served, add_entry, home, capsys):
    folder, address = served
    archive = pack(folder / "rods.zip", rods)
    add_entry(described(archive, f"{address}/rods.zip", sha256="0" * 64))
    assert main(["data", "get", "rods"]) == 2
    assert "sha256" in capsys.readouterr().err
    assert not (home / "rods").exists()


def test_get_uses_an_existing_download(offered, home):
    downloads = home / ".downloads" / "rods"
    downloads.mkdir(parents=True)
    (downloads / "rods_v1.zip").write_bytes(offered.read_bytes())
    offered.unlink()
    assert main(["data", "get", "rods", "--accept-license"]) == 0
    assert (home / "rods" / "short" / "train").is_dir()


def test_get_refuses_an_archive_without_the_dataset(served, add_entry, home, capsys, tmp_path):
    folder, address = served
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "readme.txt").write_text("no images here")
    archive = pack(folder / "rods.zip", tmp_path / "other")
    add_entry(described(archive, f"{address}/rods.zip"))
    assert main(["data", "get", "rods"]) == 2
    assert "is not Rods" in capsys.readouterr().err
    assert sorted(path.name for path in home.iterdir()) == [".downloads", ".rods.lock"]


def test_get_combines_several_archives(rods, served, add_entry, home, tmp_path, write_category):
    folder, address = served
    write_category(tmp_path / "long", 4, 2, 2)
    archives = [
        described(pack(folder / f"{name}.zip", path), f"{address}/{name}.zip", into=name)
        for name, path in (("short", rods / "short"), ("long", tmp_path / "long"))
    ]
    add_entry(*archives, categories=("short", "long"))
    assert main(["data", "get", "rods"]) == 0
    assert content(home / "rods" / "long") == content(tmp_path / "long")
    assert content(home / "rods" / "short") == content(rods / "short")


def test_prepare_adds_one_archive_at_a_time(
    rods, add_entry, home, tmp_path, write_category, capsys
):
    write_category(tmp_path / "long", 4, 2, 2)
    short = pack(tmp_path / "short.zip", rods / "short")
    long = pack(tmp_path / "long.zip", tmp_path / "long")
    add_entry(
        Archive("short.zip", into="short"),
        Archive("long.zip", into="long"),
        categories=("short", "long"),
    )
    assert main(["data", "prepare", str(short), "--as", "rods"]) == 0
    assert main(["data", "prepare", str(long), "--as", "rods"]) == 0
    before = content(home / "rods")
    assert before.keys() > {path for path in before if path.parts[0] == "long"} > set()
    assert main(["data", "prepare", str(long), "--as", "rods"]) == 2
    assert "already" in capsys.readouterr().err
    assert content(home / "rods") == before
    assert sorted(path.name for path in home.iterdir()) == [".rods.lock", "rods"]


def test_get_without_a_url_explains_prepare(add_entry, rods, tmp_path, home, capsys):
    archive = pack(tmp_path / "rods_v1.zip", rods)
    add_entry(described(archive, "", urls=()))
    assert main(["data", "get", "rods"]) == 2
    said = capsys.readouterr().err
    assert "https://rods.example" in said
    assert "python -m bench data prepare rods_v1.zip --as rods" in said
    assert main(["data", "prepare", str(archive), "--as", "rods"]) == 0
    assert content(home / "rods") == content(rods)


@pytest.mark.parametrize("form", ["zip", "gztar", "tar"])
@pytest.mark.parametrize("with_top", [True, False])
@pytest.mark.parametrize("strip", ["rods_v1", ""])
def test_prepare_accepts_archives_with_and_without_a_top_folder(
    rods, add_entry, tmp_path, form, with_top, strip
):
    add_entry(Archive("rods.any", strip=strip))
    base = rods.parent if with_top else rods
    if with_top:
        (base / "readme.txt").write_text("next to the top folder")
    archive = shutil.make_archive(str(tmp_path / "mine"), form, base)
    to = tmp_path / "chosen"
    assert main(["data", "prepare", archive, "--as", "rods", "--data-dir", str(to)]) == 0
    assert content(to / "rods") == content(rods)


def test_prepare_ignores_remains_of_a_killed_process(rods, add_entry, tmp_path, home):
    archive = pack(tmp_path / "rods.zip", rods)
    add_entry(Archive("rods.zip"))
    shutil.copytree(rods, home / ".rods.preparing" / "whole" / "half")
    assert main(["data", "prepare", str(archive), "--as", "rods"]) == 0
    assert content(home / "rods") == content(rods)
    assert [path.name for path in home.iterdir()] == ["rods"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sha256": "", "md5": "0" * 32}, f"{'0' * 32} was expected"),
        ({"bytes": 7}, "7 were expected"),
    ],
)
def test_prepare_warns_about_a_different_file(
    rods, add_entry, tmp_path, home, capsys, fields, said
):
    archive = pack(tmp_path / "rods.zip", rods)
    add_entry(described(archive, "", urls=(), **fields))
    assert main(["data", "prepare", str(archive), "--as", "rods"]) == 0
    warned = capsys.readouterr().err
    assert warned.startswith(f"warning: {archive} is not the file")
    assert said in warned
    found = hashlib.md5(archive.read_bytes()).hexdigest()
    assert (
        f"{archive.stat().st_size:,} bytes were found" if "bytes" in fields else found
    ) in warned
    assert content(home / "rods") == content(rods)


def test_prepare_refuses_a_file_without_the_dataset(add_entry, tmp_path, home, capsys):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "readme.txt").write_text("no images here")
    archive = pack(tmp_path / "rods.zip", tmp_path / "other")
    add_entry(described(archive, "", urls=(), sha256="0" * 64))
    assert main(["data", "prepare", str(archive), "--as", "rods"]) == 2
    assert "is not Rods" in capsys.readouterr().err
    assert not (home / "rods").exists()


def test_prepare_names_the_nearest_layout(rods, tmp_path, home, capsys):
    for name in ("bolt", "nut"):
        shutil.copytree(rods / "short" / "train" / "good", tmp_path / "parts" / name)
    archive = pack(tmp_path / "mine.zip", tmp_path / "parts")
    assert main(["data", "prepare", str(archive), "--as", "mine"]) == 2
    assert "it has the classes bolt, nut without a split" in capsys.readouterr().err


def test_prepare_accepts_alternative_folder_names(rods, add_entry, tmp_path, home):
    add_entry(Archive("rods.zip"), folders=("rods_ad",))
    archive = pack(tmp_path / "rods.zip", rods)
    assert main(["data", "prepare", str(archive), "--as", "rods_ad"]) == 0
    assert content(home / "rods") == content(rods)
    assert not (home / "rods_ad").exists()


@pytest.mark.parametrize("name", ["", "custom"])
def test_prepare_refuses_invalid_names(rods, tmp_path, home, capsys, name):
    archive = pack(tmp_path / "rods.zip", rods)
    assert main(["data", "prepare", str(archive), "--as", name]) == 2
    assert "such as my_parts" in capsys.readouterr().err
    assert not home.exists() or not list(home.iterdir())


def test_concurrent_placements_do_not_mix(rods, tmp_path):
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    archive = pack(tmp_path / "rods.zip", rods)
    caught = []

    def second():
        try:
            place.place("mine", [place.Piece(archive)], data_dir)
        except DatasetError as error:
            caught.append(error)

    # The first one is this test: it holds the lock and places its set before releasing it.
    thread = threading.Thread(target=second)
    with FileLock(data_dir / ".mine.lock"):
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        (data_dir / "mine").mkdir()
        (data_dir / "mine" / "first.txt").write_text("the first one's")
    thread.join()
    assert len(caught) == 1
    assert "already exists" in str(caught[0])
    assert [path.name for path in (data_dir / "mine").iterdir()] == ["first.txt"]
    assert sorted(path.name for path in data_dir.iterdir()) == [".mine.lock", "mine"]


def test_get_checks_the_target_before_downloading(offered, home, capsys):
    (home / "rods").mkdir(parents=True)
    offered.unlink()  # a download would fail, and say so
    assert main(["data", "get", "rods", "--accept-license"]) == 2
    said = capsys.readouterr().err
    assert f"{home / 'rods'} already exists" in said
    assert "nothing was downloaded" in said
    assert [path.name for path in home.iterdir()] == ["rods"]


def test_get_ignores_repeated_names(offered, home, capsys):
    assert main(["data", "get", "rods", "rods", "--accept-license"]) == 0
    assert capsys.readouterr().out.count("Rods: CC BY 4.0") == 1


def test_prepare_refuses_folders_and_existing_datasets(rods, add_entry, tmp_path, home, capsys):
    add_entry(Archive("rods.zip"))
    assert main(["data", "prepare", str(rods), "--as", "rods"]) == 2
    assert f"--data-dir {rods.parent}" in capsys.readouterr().err
    archive = pack(tmp_path / "rods.zip", rods)
    assert main(["data", "prepare", str(archive), "--as", "rods"]) == 0
    assert main(["data", "prepare", str(archive), "--as", "rods"]) == 2
    assert "already exists" in capsys.readouterr().err
    assert main(["data", "prepare", str(tmp_path / "no.zip"), "--as", "rods"]) == 2


def test_prepare_accepts_custom_data(rods, tmp_path, home, capsys):
    archive = pack(tmp_path / "mine.zip", rods, top="whatever/")
    assert main(["data", "prepare", str(archive), "--as", "My Rods"]) == 2
    assert "my_rods" in capsys.readouterr().err
    assert main(["data", "prepare", str(archive), "--as", "my_rods"]) == 0
    assert main(["data", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out.partition("\n")[2])}
    assert rows["my_rods"]["here"] == str(home / "my_rods")
    assert rows["my_rods"]["categories"] == 1


def test_list_shows_location_and_unverified_facts(rods, add_entry, tmp_path, capsys):
    add_entry(
        Archive("a.zip", ("https://rods.example/a.zip",), bytes=30_000_000),
        Archive("b.zip", ("https://rods.example/b.zip",), bytes=12_000_000),
        unverified=("The address of b.zip.",),
    )
    assert main(["data", "list"]) == 0
    [line] = [row for row in capsys.readouterr().out.splitlines() if row.startswith("rods")]
    _, note, *cells = line.split()
    assert cells == ["Rods", "anomaly", "1", "11", "42", "MB", "CC", "BY", "4.0", "missing"]
    rods.rename(rods.with_name("rods"))
    assert main(["data", "list", "--data-dir", str(rods.parent)]) == 0
    out = capsys.readouterr().out
    assert str(rods.with_name("rods")) in out
    assert f"{note} not verified: The address of b.zip." in out
    [embedded] = [row for row in out.splitlines() if row.startswith("surface ")]
    assert embedded.endswith("embedded")
