"""Files that training cannot resume from are named for what they are."""

import pytest
import torch

from bench.run.training.resume import ResumeError, resumable

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<!DOCTYPE html><html>Not found</html>", "a web page"),
        (b"\n<html><head>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "a Git LFS"),
        (b"/annex/objects/SHA256E-s9--ab.pth\n", "a git-annex pointer"),
        (b"", "an empty file"),
        (b'{"error": "forbidden"}', "text that begins with"),
        (b"\x1f\x8b\x08rest", "a gzip archive"),
        (b"PK\x03\x04 not really", "a file that cannot be read as one"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a file that cannot be read as one"),
    ],
)
def test_other_files_are_named(tmp_path, content, kind):
    file = tmp_path / "state.pth"
    file.write_bytes(content)
    with pytest.raises(ResumeError, match=f"state.pth: wanted a training state.* found {kind}"):
        resumable(file, CPU)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ResumeError, match=r"absent\.pth.*FileNotFoundError"):
        resumable(tmp_path / "absent.pth", CPU)


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_in_either_format_of_torch_are_read(tmp_path, zipped):
    file = tmp_path / "state.pth"
    torch.save({"weight": torch.ones(2)}, file, _use_new_zipfile_serialization=zipped)
    assert torch.equal(resumable(file, CPU)["weight"], torch.ones(2))
