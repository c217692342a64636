"""A bundle is unpacked completely and as its manifest states, or not at all."""

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from folder_content import content_of

from bench.__main__ import main
from bench.airgap.bundle import Member, write_bundle
from bench.airgap.unbundle import BundleError, next_steps, unbundle


@pytest.fixture
def small(tmp_path):
    """A bundle of two files, and their contents."""
    files = {"project/run.sh": b"echo\n", "data/a b/ü.bin": bytes(3_000_000)}
    members = []
    for number, (name, content) in enumerate(files.items()):
        (tmp_path / str(number)).write_bytes(content)
        members.append(Member(name, tmp_path / str(number)))
    (tmp_path / "0").chmod(0o755)
    facts = {"keyword": "x", "missing": [], "wheels": False, "python": "3.11", "platform": "any"}
    write_bundle(tmp_path / "small.tar", members, facts)
    return tmp_path / "small.tar", files


def rewritten(bundle, change):
    """A copy of a bundle whose members went through ``(info, bytes) -> members``."""
    copy = bundle.with_name("changed.tar")
    with tarfile.open(bundle) as old, tarfile.open(copy, "w") as new:
        for info in old:
            for changed, content in change(info, old.extractfile(info).read()):
                changed.size = len(content)
                new.addfile(changed, io.BytesIO(content))
    return copy


def test_manifest_has_sizes_and_hashes(small):
    bundle, files = small
    with tarfile.open(bundle) as tar:
        assert tar.getnames()[:2] == ["unbundle.py", "manifest.json"]
        manifest = json.loads(tar.extractfile("manifest.json").read())
        for name in files:
            digest = hashlib.sha256(tar.extractfile(name).read()).hexdigest()
            assert manifest["files"][name] == {"sha256": digest, "size": len(files[name])}


def test_unbundle_restores_files(small, tmp_path):
    bundle, files = small
    unbundle(bundle, tmp_path / "to")
    assert {name: (tmp_path / "to" / name).read_bytes() for name in files} == files
    assert (tmp_path / "to/project/run.sh").stat().st_mode & 0o777 == 0o755
    with pytest.raises(BundleError, match="already exists"):
        unbundle(bundle, tmp_path / "to")


@pytest.mark.parametrize("left", ["lost+found", ".unbundling/data"])
def test_an_empty_folder_is_filled_and_not_replaced(small, tmp_path, monkeypatch, left):
    bundle, files = small
    disk = tmp_path / "disk"
    (disk / left).mkdir(parents=True)  # of a new file system, or of a killed run
    (tmp_path / "link").symlink_to("disk", target_is_directory=True)
    before, inode = set(tmp_path.iterdir()), disk.stat().st_ino
    measured, usage = [], shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: measured.append(path) or usage(path))
    unbundle(bundle, tmp_path / "link")
    assert disk.stat().st_ino == inode  # the mount point itself
    assert [Path(path).parent for path in measured] == [disk]
    assert content_of(disk) == files
    assert not (disk / ".unbundling").exists()
    assert set(tmp_path.iterdir()) == before


def test_a_link_to_a_folder_that_does_not_exist_creates_it(small, tmp_path):
    bundle, files = small
    (tmp_path / "link").symlink_to("disk/to", target_is_directory=True)
    unbundle(bundle, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert content_of(tmp_path / "disk/to") == files


def test_an_existing_folder_is_empty_again_after_an_error(small, tmp_path, monkeypatch):
    (tmp_path / "to").mkdir()
    with pytest.raises(BundleError, match="is not what was bundled"):
        unbundle(rewritten(small[0], flipped), tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []
    rename, moved = Path.rename, []

    def fail_later(path, target):
        if moved:
            raise OSError(5, "Input/output error", str(target))
        moved.append(target)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_later)
    with pytest.raises(BundleError, match="Input/output error"):
        unbundle(small[0], tmp_path / "to")
    assert moved
    assert list((tmp_path / "to").iterdir()) == []


def test_a_run_that_was_killed_while_it_moved_files_is_reported(small, tmp_path):
    for folder in (".unbundling/data", "project"):
        (tmp_path / "to" / folder).mkdir(parents=True)
    with pytest.raises(BundleError, match=r"earlier run was interrupted .*Delete what is in it"):
        unbundle(small[0], tmp_path / "to")
    assert {path.name for path in (tmp_path / "to").iterdir()} == {".unbundling", "project"}


def flipped(info, content):
    return [(info, content[:-1] + b"!" if info.name == "data/a b/ü.bin" else content)]


def shorter(info, content):
    return [(info, content[:-1] if info.name == "data/a b/ü.bin" else content)]


def dropped(info, content):
    return [] if info.name == "data/a b/ü.bin" else [(info, content)]


def added(info, content):
    return [(info, content), *([(tarfile.TarInfo("more"), b"")] if "run" in info.name else [])]


def doubled(info, content):
    return [(info, content)] * (2 if info.name == "project/run.sh" else 1)


def linked(info, content):
    if info.name == "project/run.sh":
        info.type, info.linkname, content = tarfile.SYMTYPE, "/etc/passwd", b""
    return [(info, content)]


def no_manifest(info, content):
    return [] if info.name == "manifest.json" else [(info, content)]


def escaping(info, content):
    if info.name == "manifest.json":
        content = content.replace(b"project/run.sh", b"../project/run")
    if info.name == "project/run.sh":
        info.name = "../project/run"
    return [(info, content)]


def future(info, content):
    if info.name == "manifest.json":
        content = content.replace(b'"format": 1', b'"format": 9')
    return [(info, content)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (flipped, "is not what was bundled"),
        (shorter, "is not what was bundled"),
        (dropped, "lacks 1 files"),
        (added, "holds 'more'"),
        (doubled, "holds 'project/run.sh'"),
        (linked, "holds 'project/run.sh'"),
        (escaping, "'../project/run' is not a valid path for a file"),
        (no_manifest, "is not a bundle"),
        (future, "has format 9"),
    ],
)
def test_altered_bundle_is_an_error(small, tmp_path, change, said):
    altered = rewritten(small[0], change)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(BundleError, match=said):
        unbundle(altered, tmp_path / "new" / "to")
    assert set(tmp_path.rglob("*")) == before


def test_sparse_member_is_never_unpacked(small, tmp_path, monkeypatch):
    def declared(info, content):
        if info.name == "project/run.sh":  # one empty block, declared as 1 TB
            info.pax_headers = {
                "GNU.sparse.major": "0",
                "GNU.sparse.minor": "1",
                "GNU.sparse.map": "0,5",
                "GNU.sparse.size": str(10**12),
            }
        return [(info, content)]

    sparse = rewritten(small[0], declared)
    with tarfile.open(sparse) as tar:
        assert tar.getmember("project/run.sh").issparse()
        assert tar.getmember("project/run.sh").size == 10**12
    monkeypatch.setattr(tarfile.TarFile, "extractfile", only(tarfile.TarFile.extractfile))
    with pytest.raises(BundleError, match=r"holds 'project/run\.sh'"):
        unbundle(sparse, tmp_path / "to")


def only(extract):
    """Open only the manifest, because a test that waits for a terabyte would never fail."""

    def opened(tar, member):
        assert member.name == "manifest.json"
        return extract(tar, member)

    return opened


def test_oversized_member_is_not_opened(small, tmp_path, monkeypatch):
    def longer(info, content):
        return [(info, content + b"!" if info.name == "project/run.sh" else content)]

    altered = rewritten(small[0], longer)
    monkeypatch.setattr(tarfile.TarFile, "extractfile", only(tarfile.TarFile.extractfile))
    with pytest.raises(BundleError, match="is not what was bundled"):
        unbundle(altered, tmp_path / "to")


SHA = "0" * 64
FACTS = {
    "format": 1,
    "keyword": "x",
    "missing": [],
    "wheels": False,
    "python": "3.11",
    "platform": "any",
    "files": {},
}


@pytest.mark.parametrize(
    "manifest",
    [
        {"format": 1},
        [],
        "[" * 100_000,
        FACTS | {"files": []},
        FACTS | {"files": {"a": {}}},
        FACTS | {"files": {"a": []}},
        FACTS | {"files": {"a": {"size": "1", "sha256": SHA}}},
        FACTS | {"files": {"a": {"size": -1, "sha256": SHA}}},
        FACTS | {"files": {"a": {"size": 0, "sha256": 0}}},
        FACTS | {"files": {name: {"size": 0, "sha256": SHA} for name in ("a/b/c", "a")}},
        FACTS | {"missing": None},
        FACTS | {"keyword": 1},
        FACTS | {"python": "3.11; rm x"},
        FACTS | {"plugins": None},
        FACTS | {"plugins": ["absent.py"]},
        {name: FACTS[name] for name in FACTS if name != "platform"},
    ],
)
def test_malformed_manifest_is_an_error(small, tmp_path, manifest, capsys):
    def malformed(info, content):
        if info.name == "manifest.json":
            text = manifest if isinstance(manifest, str) else json.dumps(manifest)
            return [(info, text.encode())]
        return [(info, content)]

    altered = rewritten(small[0], malformed)
    before = set(tmp_path.rglob("*"))
    assert main(["unbundle", str(altered), "--to", str(tmp_path / "new" / "to")]) == 2
    said = capsys.readouterr().err
    assert "manifest.json is missing or damaged (" in said
    assert "Copy it again" in said
    assert set(tmp_path.rglob("*")) == before


def test_the_malformed_manifests_are_one_change_from_a_good_one(small, tmp_path):
    def empty(info, content):
        if info.name == "manifest.json":
            return [(info, json.dumps(FACTS).encode())]
        return []

    assert unbundle(rewritten(small[0], empty), tmp_path / "to") == FACTS


def test_unreadable_bundle_creates_no_folder(small, tmp_path):
    for bundle in (tmp_path / "none.tar", tmp_path):
        with pytest.raises(BundleError, match="Name a readable file"):
            unbundle(bundle, tmp_path / "new" / "to")
        assert not (tmp_path / "new").exists()


def test_impossible_target_is_an_error(small, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="Name another folder with --to"):
        unbundle(small[0], tmp_path / "file" / "to")


@pytest.mark.parametrize("keep", [0, 100, 1_500_000])
def test_truncated_bundle_is_an_error(small, tmp_path, keep, capsys):
    bundle, _ = small
    bundle.write_bytes(bundle.read_bytes()[:keep])
    assert main(["unbundle", str(bundle), "--to", str(tmp_path / "to")]) == 2
    assert str(bundle) in capsys.readouterr().err
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    ("files", "options"),
    [
        (["data/a", "weights/b"], "--data-dir ../data --weights-dir ../weights "),
        (["data/a"], "--data-dir ../data "),
        (["project/c"], ""),
    ],
)
def test_the_next_command_names_no_folder_that_was_not_bundled(tmp_path, files, options):
    manifest = {"files": dict.fromkeys(files), "missing": [], "wheels": False}
    manifest |= {"python": "3.11", "platform": "any", "keyword": "zoo and not x"}
    assert next_steps(manifest, tmp_path)[-1].endswith(f"pytest bench {options}-k 'zoo and not x'")
