"""What Linux says about the CPU."""

from pathlib import Path

import pytest

from models.components import processor


@pytest.mark.parametrize(
    ("info", "intel"),
    [
        ("processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\n", True),
        ("processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\n", False),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", False),
        (None, False),
    ],
)
def test_the_vendor_is_linuxs(info, intel, monkeypatch, request):
    def read_text(path: Path) -> str:
        assert path == Path("/proc/cpuinfo")
        if info is None:
            raise FileNotFoundError(path)
        return info

    monkeypatch.setattr(Path, "read_text", read_text)
    processor.cpu_info.cache_clear()
    request.addfinalizer(processor.cpu_info.cache_clear)
    assert processor.is_intel() is intel
