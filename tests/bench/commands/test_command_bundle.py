"""A bundle is written here and unpacked by a Python that sees nothing of the project."""

import subprocess
import sys
import zipfile

import pytest

from bench.__main__ import main
from bench.airgap.bundle import Member, dataset_members, write_bundle
from bench.airgap.unbundle import BundleError, next_steps, unbundle
from bench.airgap.wheels import build_requirements, fetch_wheels, find_wheels, requirements
from bench.case import Case
from bench.commands.bundle import _datasets, _weights
from bench.needs import look_for_weights, without_textures
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import FoundDataset
from models.catalog import WEIGHTS

CASES = "rd_resnet18 and bars and scratch"


@pytest.fixture
def data(tmp_path, write_category):
    write_category(tmp_path / "data" / "bars" / "short", 3, 2, 2)
    return tmp_path / "data"


def bundled(tmp_path, data, *options):
    out = tmp_path / "out.tar"
    place = ["--data-dir", str(data)]
    return out, main(["bundle", str(out), "--study", "rd_backbone", *place, *options])


def test_bare_python_unpacks_a_bundle(tmp_path, data, root, capsys):
    out, code = bundled(tmp_path, data, "-k", CASES, "--no-wheels")
    assert code == 0
    assert "datasets" in capsys.readouterr().out
    subprocess.run(["tar", "xf", str(out), "unbundle.py"], cwd=tmp_path, check=True)
    bare = [sys.executable, "-I", "-S", "unbundle.py", out.name, "--to", "there"]
    done = subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True, check=True)
    there = tmp_path / "there"
    for name in ("bench/airgap/unbundle.py", "pyproject.toml"):
        assert (there / "project" / name).read_bytes() == (root / name).read_bytes()
    for file in (data / "bars").rglob("*.png"):
        assert (there / "data" / file.relative_to(data)).read_bytes() == file.read_bytes()
    assert (there / "requirements.txt").read_text().splitlines()[: len(requirements())] == (
        requirements()
    )
    assert f"-k 'rd_backbone and ({CASES})'" in done.stdout
    assert sorted(path.name for path in there.iterdir()) == ["data", "project", "requirements.txt"]


def test_a_plugin_is_bundled_and_named_in_the_next_command(tmp_path, data):
    plugin, out = tmp_path / "bundled plugin.py", tmp_path / "out.tar"
    plugin.write_text("# registers nothing\n")
    options = ["--study", "rd_backbone", "--data-dir", str(data), "-k", CASES, "--no-wheels"]
    twice = [f"--plugin={tmp_path / again / plugin.name}" for again in (".", "there/..")]
    assert main([*twice, "bundle", str(out), *options]) == 0
    manifest = unbundle(out, tmp_path / "there")
    assert (tmp_path / "there/plugins" / plugin.name).read_bytes() == plugin.read_bytes()
    command = next_steps(manifest, tmp_path / "there")[-1]
    assert "--plugin '../plugins/bundled plugin.py' -k " in command
    assert command.count("--plugin ") == 1


def test_missing_weights_need_partial(tmp_path, data, capsys):
    expression = ["-k", "rd_resnet50 and bars and not same", "--no-wheels"]
    out, code = bundled(tmp_path, data, *expression)
    said = capsys.readouterr()
    assert code == 2
    assert not out.exists()
    cases = "3 cases of rd_backbone need (profile standard, every recipe)"  # once, not by study
    assert f"missing: weights resnet50.tv_in1k, which {cases}" in said.out
    assert "-k, or add --partial" in said.err
    assert bundled(tmp_path, data, *expression, "--partial")[1] == 0
    assert unbundle(out, tmp_path / "to")["missing"] == ["weights resnet50.tv_in1k"]


def test_bundled_weights_resolve_by_name(tmp_path, data):
    from models.components.weights import resolve

    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "resnet18.pth").write_bytes(b"any")
    given = ["--weights-dir", str(tmp_path / "w"), "--no-wheels"]
    out, code = bundled(tmp_path, data, "-k", "rd_resnet18 and bars", *given)
    assert code == 0
    unbundle(out, tmp_path / "to")
    found = resolve("resnet18.tv_in1k", [tmp_path / "to" / "weights"])
    assert found.path.read_bytes() == b"any"


def test_missing_wheels_are_listed(tmp_path, data, capsys):
    (tmp_path / "wheels").mkdir()
    given = ["-k", CASES, "--wheels-dir", str(tmp_path / "wheels")]
    assert bundled(tmp_path, data, *given)[1] == 2
    pinned = requirements()
    wanted = [*pinned, *build_requirements(pinned)]
    assert f"missing: wheels of {len(wanted)} packages" in capsys.readouterr().out
    assert {"setuptools", "uv"} <= {requirement.partition("==")[0] for requirement in wanted}


def test_wheels_are_chosen_by_version_and_platform(tmp_path):
    names = (
        "one-1.0-py3-none-any.whl",
        "one-1.1-py3-none-any.whl",
        "two_words-2.0-cp27-cp27m-win32.whl",
        "three-3.0-py3-none-any.whl",
        "three-3.10-py3-none-any.whl",
        "broken.whl",
    )
    for name in names:
        (tmp_path / name).touch()
    found, lacking = find_wheels(["one==1.0", "two-words==2.0", "three", "four==4"], tmp_path)
    assert [file.name for file in found] == [names[0], names[4]]
    assert lacking == ["two-words==2.0", "four==4"]


def test_wheels_are_fetched_once(tmp_path, monkeypatch):
    source, folder = tmp_path / "source", tmp_path / "wheels"
    write_wheel(source, "tiny", "1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(source))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    fetch_wheels(["tiny==1.0"], folder)
    assert [file.name for file in folder.iterdir()] == ["tiny-1.0-py3-none-any.whl"]
    (source / "tiny-1.0-py3-none-any.whl").unlink()
    fetch_wheels(["tiny==1.0"], folder)
    with pytest.raises(BundleError, match=r"tiny==1.1.*--wheels-dir"):
        fetch_wheels(["tiny==1.1"], folder)


def write_wheel(folder, name, version):
    folder.mkdir()
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{info}/METADATA", metadata)
        kind = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", kind)
        wheel.writestr(f"{info}/RECORD", "")


def dataset_at(root):
    return FoundDataset("bars", root, {}, "")


def test_links_are_bundled_as_files(tmp_path):
    (tmp_path / "store" / "good").mkdir(parents=True)
    (tmp_path / "store" / "good" / "a.png").write_bytes(b"a")
    root = tmp_path / "bars"
    root.mkdir()
    for name in ("one", "two"):  # the same folder twice is not a loop
        (root / name).symlink_to(tmp_path / "store")
    (root / "b.png").symlink_to(tmp_path / "store" / "good" / "a.png")
    names = [member.name for member in dataset_members(dataset_at(root))]
    assert names == ["data/bars/b.png", "data/bars/one/good/a.png", "data/bars/two/good/a.png"]


@pytest.mark.parametrize("target", ["..", "none.png", "link"])
def test_broken_and_circular_links_are_errors(tmp_path, target):
    folder = tmp_path / "bars" / "short"
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(target)
    with pytest.raises(BundleError, match=f"{folder / 'link'} .*emove"):
        dataset_members(dataset_at(tmp_path / "bars"))


def test_output_must_not_be_a_folder(tmp_path, data, capsys):
    (tmp_path / "out.tar").mkdir()
    before = set(tmp_path.rglob("*"))
    assert bundled(tmp_path, data, "-k", CASES, "--wheels-dir", str(tmp_path / "w"))[1] == 2
    said = capsys.readouterr()
    assert "is a folder: name a file in it" in said.err
    assert said.out == ""
    assert set(tmp_path.rglob("*")) == before


def test_broken_installations_are_skipped_and_reported(tmp_path, data, monkeypatch, capsys):
    names = {"whole-1.0": "whole", "~hole-0.9": "whole", "nameless-1.0": None}
    for folder, name in names.items():
        (tmp_path / "site" / f"{folder}.dist-info").mkdir(parents=True)
        if name:
            text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {folder.partition('-')[2]}\n"
            (tmp_path / "site" / f"{folder}.dist-info" / "METADATA").write_text(text)
    before = requirements()
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert set(requirements()) - set(before) == {"whole==1.0"}
    assert bundled(tmp_path, data, "-k", CASES, "--no-wheels")[1] == 0
    said = capsys.readouterr().out
    for folder in ("~hole-0.9", "nameless-1.0"):
        assert f"half removed): {tmp_path}" in said
        assert f"{folder}.dist-info" in said


def test_invalid_studies_and_expressions_are_errors(tmp_path, data, capsys):
    assert main(["bundle", str(tmp_path / "o.tar"), "--study", "rd_backbones"]) == 2
    assert "rd_backbone" in capsys.readouterr().err
    assert bundled(tmp_path, data, "-k", "resnet1818", "--no-wheels")[1] == 2
    assert "No case" in capsys.readouterr().err
    assert bundled(tmp_path, data, "-k", "(resnet18", "--no-wheels")[1] == 2
    assert "is invalid" in capsys.readouterr().err


def test_file_that_changes_while_bundling_is_an_error(tmp_path):
    file = tmp_path / "growing"
    file.write_bytes(bytes(100))

    def change(done, total):
        if done == 100:  # hashed, not yet stored
            file.write_bytes(b"!" * 100)

    with pytest.raises(BundleError, match="changed while"):
        write_bundle(tmp_path / "out.tar", [Member("data/growing", file)], {}, change)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["growing"]


def test_nothing_is_downloaded_for_a_bundle_that_would_lack_something(tmp_path, data, monkeypatch):
    from bench.airgap import wheels

    def never(*_):
        raise AssertionError("a download began")

    monkeypatch.setattr(wheels, "fetch_wheels", never)
    monkeypatch.setattr("datasets_lib.download.fetch.download", never)
    monkeypatch.setenv("PROVING_GROUND_OFFLINE", "1")
    assert bundled(tmp_path, data, "-k", "rd_resnet50 and bars")[1] == 2


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """A machine without weights whose network works; return what it downloads."""
    begun = []

    def download(url, target, **_):
        begun.append(url)
        raise OSError("the connection broke")

    for name in ("PROVING_GROUND_OFFLINE", "HF_HUB_OFFLINE", "PROVING_GROUND_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("bench.needs.unreachable", lambda _: None)
    monkeypatch.setattr("models.components.weights._failures", {})
    monkeypatch.setattr("datasets_lib.download.fetch.download", download)
    monkeypatch.setattr("bench.airgap.wheels.fetch_wheels", lambda wanted, _: begun.extend(wanted))
    return begun


def test_nothing_is_downloaded_while_a_dataset_is_missing(tmp_path, data, downloads, capsys):
    assert bundled(tmp_path, data, "-k", "rd_resnet50 and (bars or mvtec)")[1] == 2
    said = capsys.readouterr()
    assert "missing: dataset mvtec" in said.out
    assert "Nothing was downloaded or written" in said.err
    assert downloads == []


def test_weights_are_downloaded_once_every_dataset_is_there(tmp_path, data, downloads, capsys):
    assert bundled(tmp_path, data, "-k", "rd_resnet50 and bars")[1] == 2
    assert "missing: weights resnet50.tv_in1k" in capsys.readouterr().out
    assert downloads == [WEIGHTS["resnet50.tv_in1k"].url]  # and no wheels, as it failed


def test_weights_of_parts_are_bundled_file_by_file(tmp_path):
    tags = ("cait_m48_448.fb_dist_in1k", "cait_s24_224.fb_dist_in1k")
    for tag in tags:
        (tmp_path / f"{tag}.pth").write_bytes(tag.encode())
    found = look_for_weights(["mcait.fb_dist_in1k"], [tmp_path], probe=False)
    members = _weights(found)
    assert [member.name for member in members] == [f"weights/{tag}.pth" for tag in tags]
    assert [member.path.read_bytes() for member in members] == [tag.encode() for tag in tags]


def test_a_models_textures_are_bundled_or_named(tmp_path):
    def found(name):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"a")
        return FoundDataset(name, tmp_path / name, {}, DATASETS[name].reader)

    case = Case("draem", "baseline", "mvtec", "bottle", "default", False, 0)
    both = {name: found(name) for name in ("mvtec", "dtd")}
    names = [member.name for member in _datasets([case], both)]
    assert any("dtd" in name for name in names)
    assert not without_textures([case], both)
    (remark,) = without_textures([case], {"mvtec": both["mvtec"]})
    assert remark == "draem trains on drawn textures in place of dtd, which is not on disk"
