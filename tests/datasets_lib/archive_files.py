"""Archives written for tests, harmless and hostile."""

import io
import tarfile
import zipfile

TAR_MODES = {"tar": "w:", "tar.gz": "w:gz", "tar.xz": "w:xz", "tar.bz2": "w:bz2"}
KINDS = ("zip", *TAR_MODES)


def write_archive(path, kind, files, folders=()):
    """Write an archive of (name, content) pairs, whatever the names; return its path."""
    (write_zip if kind == "zip" else write_tar)(path, kind, files, folders)
    return path


def write_zip(path, _kind, files, folders):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in folders:
            archive.writestr(zip_info(f"{folder}/"), b"")
        for name, content in files:
            archive.writestr(zip_info(name), content, zipfile.ZIP_DEFLATED)


def write_unmarked_zip(path, files):
    """Write (name as bytes, content) pairs without the UTF-8 flag, as Windows does."""
    places = [f"{number:_<{len(name)}}".encode() for number, (name, _) in enumerate(files)]
    write_zip(path, "zip", [(p.decode(), c) for p, (_, c) in zip(places, files, strict=True)], ())
    data = path.read_bytes()
    for place, (name, _) in zip(places, files, strict=True):
        data = data.replace(place, name)
    path.write_bytes(data)


def zip_info(name):
    """An entry of exactly this name; the constructor would end it at a NUL."""
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    return info


def write_tar(path, kind, files, folders=(), form=tarfile.USTAR_FORMAT, encoding="utf-8"):
    with tarfile.open(path, TAR_MODES[kind], format=form, encoding=encoding) as archive:
        for folder in folders:
            archive.addfile(tar_info(folder, tarfile.DIRTYPE))
        for name, content in files:
            archive.addfile(tar_info(name, size=len(content)), io.BytesIO(content))


def tar_info(name, kind=tarfile.REGTYPE, size=0, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info
