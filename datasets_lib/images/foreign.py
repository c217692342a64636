"""What a file is that is not an image of a supported format, by its first bytes."""

import re

_MAGIC: tuple[tuple[str, str], ...] = (
    (r"GIF8[79]a", "a GIF file"),
    (r"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 file"),
    (r"\x00\x00\x00\x0cJXL |\xff\x0a", "a JPEG XL file"),
    (r"....ftyp(?:avif|avis)", "an AVIF file"),
    (r"....ftyp(?:heic|heix|hevc|heim|heis|mif1|msf1)", "a HEIC file"),
    (r"....ftyp", "a video"),
    (r"8BPS", "a Photoshop file"),
    (r"v/1\x01", "an OpenEXR file"),
    (r"P[1-7]\s", "a PNM file"),
    (r".{128}DICM", "a DICOM file"),
    (r"SIMPLE  =", "a FITS file"),
    (r"\x00\x00[\x01\x02]\x00", "an icon"),
    (r"\x93NUMPY", "a NumPy array"),
    (r"\x89HDF", "an HDF5 file"),
    (r"%PDF", "a PDF document"),
    (r"PK\x03\x04", "a ZIP archive"),
    (r"\x1f\x8b", "a gzip archive"),
    (r"\x00\x05\x16\x07", "an AppleDouble file, which macOS adds to copies"),
    (r"version https://git-lfs", "a Git LFS pointer; fetch the file itself with git lfs pull"),
    (r"\s*<svg|\s*<\?xml", "an SVG or XML file"),
    (r"\s*<(?:!doctype|html|head)", "a web page, as a failed download leaves one"),
)

_FLAGS = re.DOTALL | re.IGNORECASE


def kind_of(data: bytes) -> str | None:
    """Return what a file is; None if its first bytes are of no known kind.

    >>> kind_of(b"GIF89a...")
    'a GIF file'
    """
    if not data:
        return "an empty file"
    if not any(data[:4096]):
        return "nothing but zeros, as an interrupted copy leaves it"
    start = data[:256]
    for magic, kind in _MAGIC:
        if re.match(magic.encode("latin-1"), start, _FLAGS):
            return kind
    return None
