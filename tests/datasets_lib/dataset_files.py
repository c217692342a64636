"""Tiny datasets on disk, written as their publishers lay them out."""

import json

import numpy as np
from PIL import Image


def touch(root, *files):
    """Empty files below a folder, which is returned."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def names(samples):
    """The names of samples."""
    return [sample.name for sample in samples]


def write_image(file, seed=0, size=(12, 10)):
    """A random RGB image of (width, height), in the format of its suffix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def write_mask(file, values, mode="L"):
    """A mask file of an (H, W) array of values."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, np.uint8))
    if mode == "P":
        image = image.convert("P")
        image.putpalette([v for value in range(256) for v in (value, 0, 0)])
    elif mode == "1":
        image = image.point(lambda value: 255 if value else 0).convert("1")
    image.convert(mode).save(file)
    return file


def box(top, left, value=255, shape=(10, 12)):
    """A mask with a rectangle of 3 × 4 pixels."""
    mask = np.zeros(shape, np.uint8)
    mask[top : top + 3, left : left + 4] = value
    return mask


def write_visa(root, rows=None, newline="\r\n", encoding="utf-8"):
    """Two categories of VisA; ``rows`` replaces the lines of the table."""
    for category in ("candle", "pcb1"):
        data = root / category / "Data"
        for n in range(4):
            write_image(data / "Images" / "Normal" / f"{n:04}.JPG", n)
        for n in range(2):
            write_image(data / "Images" / "Anomaly" / f"{n:03}.JPG", 10 + n)
            write_mask(data / "Masks" / "Anomaly" / f"{n:03}.png", box(n, n, n + 1))
    table = root / "split_csv" / "1cls.csv"
    table.parent.mkdir()
    rows = visa_rows("candle") + visa_rows("pcb1") if rows is None else rows
    text = newline.join(["object,split,label,image,mask", *rows, ""])
    table.write_bytes(text.encode(encoding))
    return table


def visa_rows(category):
    """The table's lines of a category, unordered like the publisher's."""
    images, masks = f"{category}/Data/Images", f"{category}/Data/Masks"
    return [
        f"{category},train,normal,{images}/Normal/0003.JPG,",
        f"{category},train,normal,{images}/Normal/0001.JPG,",
        f"{category},test,anomaly,{images}/Anomaly/001.JPG,{masks}/Anomaly/001.png",
        f"{category},test,anomaly,{images}/Anomaly/000.JPG,{masks}/Anomaly/000.png",
        f"{category},train,normal,{images}/Normal/0000.JPG,",
        f"{category},test,normal,{images}/Normal/0002.JPG,",
    ]


def write_real_iad(root, size="realiad_1024", nested=True):
    """One category of Real-IAD: three training, one normal and two defective test images."""
    images = root / size / "audiojack"
    normal = [f"OK/S000{n}/audiojack_000{n}_OK_C1_2023.jpg" for n in range(4)]
    defects = [f"NG/{kind}/S0009/audiojack_0009_NG_{kind}_C1_2023" for kind in ("QS", "BX")]
    rows = {"train": [_row(name) for name in normal[:3]], "test": [_row(normal[3])]}
    for seed, name in enumerate(normal):
        write_image(images / name, seed)
    for seed, name in enumerate(defects):
        write_image(images / f"{name}.jpg", 10 + seed)
        write_mask(images / f"{name}.png", box(seed, 2))
        rows["test"].append(_row(f"{name}.jpg", f"{name}.png", name.split("/")[1]))
    folder = root / "realiad_jsons" / "realiad_jsons" if nested else root / "realiad_jsons"
    folder.mkdir(parents=True)
    file = folder / "audiojack.json"
    meta = {"prefix": "audiojack/", "normal_class": "OK"}
    file.write_text(json.dumps({"meta": meta, **rows}), encoding="utf-8")
    return file


def _row(image, mask=None, kind="OK"):
    return {
        "category": "audiojack",
        "anomaly_class": kind,
        "image_path": image,
        "mask_path": mask,
    }


def write_kolektor(root, items=4, parts=3, crack=(("kos01", 1), ("kos03", 0))):
    """Commutators of KolektorSDD, their labels 8-bit BMP, empty but for cracks."""
    for item in range(1, items + 1):
        for part in range(parts):
            folder = root / f"kos{item:02}"
            write_image(folder / f"Part{part}.jpg", 10 * item + part)
            cracked = (folder.name, part) in crack
            write_mask(folder / f"Part{part}_label.bmp", box(2, 2, 255 if cracked else 0))
    return root
