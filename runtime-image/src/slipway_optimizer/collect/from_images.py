"""A folder with one folder of images per class -> arrays. Owner file of Pillow."""

import argparse
import importlib.util
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from slipway.errors import Invalid
from slipway_optimizer.arrays import Array, Arrays

LABELS: Final = "labels"
_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
_MAX_BYTES: Final = 4 << 30


@dataclass(frozen=True, slots=True)
class Pictures:
    """How pixels become numbers: scaled to 0..1, less ``mean``, divided by ``std``."""

    height: int
    width: int
    channels: int = 3
    channels_first: bool = True
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    name: str = "image"

    @classmethod
    def parse(cls, options: argparse.Namespace) -> "Pictures":
        """From the command's words.

        Raises:
            Invalid: one that cannot be used.
        """
        size = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", options.size)
        if size is None:
            raise Invalid(f"--size is '{options.size[:40]}': use HEIGHTxWIDTH, as 224x224")
        channels = 1 if options.gray else 3
        std = _numbers("--std", options.std, channels)
        if not all(std):
            raise Invalid("--std has a zero, by which nothing can be divided")
        return cls(
            int(size[1]),
            int(size[2]),
            channels,
            options.layout == "nchw",
            _numbers("--mean", options.mean, channels),
            std,
            options.input,
        )


def _numbers(name: str, text: str, channels: int) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise Invalid(f"{name} is '{text[:40]}': use numbers, separated by commas") from error
    if len(values) not in (1, channels):
        raise Invalid(f"{name} has {len(values)} numbers: use 1, or one for each of {channels}")
    return values


def read(folder: Path, pictures: Pictures) -> Arrays:
    """Images and the index of their class; classes are folders, in alphabetical order.

    Raises:
        Invalid: no images, or one that is broken, by its path.
        OSError: the folder cannot be read.
    """
    if importlib.util.find_spec("PIL") is None:
        raise Invalid("reading images needs Pillow: pip install pillow")
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [
        (path, number)
        for number, place in enumerate(classes)
        for path in sorted(place.rglob("*"))
        if path.suffix.lower() in _SUFFIXES
    ]
    if not files:
        raise Invalid(
            f"{folder} has no images in folders: make one folder for each class, named as it"
        )
    needed = len(files) * pictures.height * pictures.width * pictures.channels * 4
    if needed > _MAX_BYTES:
        raise Invalid(f"{len(files)} images need {needed} bytes, more than 4 GiB: use fewer")
    images = np.stack([_image(path, pictures) for path, _ in files])
    return {pictures.name: images, LABELS: np.array([number for _, number in files], np.int64)}


def _image(path: Path, pictures: Pictures) -> Array:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # decompression bombs
            with Image.open(path) as opened:
                plain = opened.convert("L" if pictures.channels == 1 else "RGB")
                resized = plain.resize((pictures.width, pictures.height))
                pixels: Array = np.asarray(resized, dtype=np.float32)
    except (UnidentifiedImageError, OSError, SyntaxError, Warning) as error:
        raise Invalid(f"{path} is not readable as an image: remove or replace it") from error
    pixels = pixels.reshape(pictures.height, pictures.width, pictures.channels) / 255
    scaled: Array = (pixels - np.array(pictures.mean)) / np.array(pictures.std)
    ready = scaled.transpose(2, 0, 1) if pictures.channels_first else scaled
    return ready.astype(np.float32)
