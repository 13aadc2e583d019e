"""One image file to pixels, and pixels to the one shape a data set promises. Files are not trusted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from organza.data.spec import ImageSpec

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 200_000_000
Crop = Literal["center", "none", "tiles"]
"""How images of other sizes are brought to one, see `DataOptions.crop`; of what is no file `tiles` cuts the centre."""
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


class BadImageError(Exception):
    """A file that cannot become an image; the message is the reason, ready for the user."""


class NotAnImageError(BadImageError):
    """A file whose content is of none of the accepted formats."""


@contextmanager
def pillow_limits() -> Iterator[None]:
    """Inside, Pillow refuses more than `MAX_PIXELS` from the header alone, and does not warn.

    Pillow's limit and Python's warning filters belong to the process: enter this around a pool of threads, not in them.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.init()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # it warns above the limit and raises above twice the limit
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def read_pixels(file: BinaryIO) -> tuple[np.ndarray, str, str]:
    """Decode an image file completely; call it within `pillow_limits`.

    Colour is converted to 8-bit RGB (CMYK and others too), 1-bit and palette images are unpacked, a rotation told by
    EXIF is applied. Gray keeps its 8 or 16 bits.

    Returns:
        Pixels (H, W, C) with C of 1, 3 or 4, uint8 or uint16; the format; and the mode the file was stored in.

    Raises:
        BadImageError: With the reason.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.format != "MPO" and getattr(
                image, "is_animated", False
            ):  # MPO: a photo with a depth map or preview
                raise BadImageError(f"animated or of several pages ({image.format}); single images are needed")
            mode = _stored_mode(image)
            image.load()
            return _unpack(image), str(image.format), mode
    except BadImageError:
        raise
    except UnidentifiedImageError as error:
        raise NotAnImageError(f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image by its content") from error
    except Image.DecompressionBombError as error:
        raise BadImageError(f"more than {MAX_PIXELS // 10**6} million pixels") from error
    except Exception as error:  # a hostile file can make Pillow raise nearly anything, from struct.error to MemoryError
        raise BadImageError(f"damaged or truncated ({str(error) or type(error).__name__})") from error


def _stored_mode(image: Image.Image) -> str:
    """Pillow's mode; 16-bit colour, which Pillow reduces to 8 bits as it decodes, is told apart."""
    raw = " ".join(str(tile[3]) for tile in getattr(image, "tile", []))
    return f"{image.mode} of 16 bits" if ";16" in raw and not image.mode.startswith("I") else image.mode


def _unpack(image: Image.Image) -> np.ndarray:
    with suppress(Exception):  # damaged EXIF in a sound image: leave it as it stands
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None]
    if image.mode in ("I", "F"):
        raise BadImageError("32-bit pixels, whose range is not declared; save it with 8 or 16 bits")
    target = "RGBA" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"
    pixels = np.asarray(image.convert(target))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def conform(pixels: np.ndarray, *, spec: ImageSpec, crop: Crop) -> np.ndarray:
    """Pixels (H, W, C) of any size to what `spec` promises: (C, H, W), uint8 or uint16. Exact where nothing differs."""
    fitted = fit(recolour(pixels, spec.channels), height=spec.height, width=spec.width, crop=crop)
    if spec.bits == 8 and fitted.dtype == np.uint16:
        fitted = ((fitted.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif spec.bits == 16 and fitted.dtype == np.uint8:
        fitted = fitted.astype(np.uint16) * 257
    return fitted.transpose(2, 0, 1)


def recolour(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pixels (H, W, C) between gray, RGB and RGBA. Transparency that is lost shows white."""
    if pixels.shape[2] == channels:
        return pixels
    top = np.iinfo(pixels.dtype).max
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / top
        pixels = np.rint(pixels[..., :3] * alpha + top * (1 - alpha)).astype(pixels.dtype)
    if pixels.shape[2] == 3 and channels == 1:
        pixels = np.rint((pixels * LUMA).sum(axis=2, keepdims=True)).astype(pixels.dtype)
    if pixels.shape[2] == 1 and channels > 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if channels == 4:
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], top)], axis=2)
    return pixels


def fit(pixels: np.ndarray, *, height: int, width: int, crop: Crop) -> np.ndarray:
    """Pixels (H, W, C) to another size with a Lanczos filter: the centre cut to the target's shape, or stretched."""
    H, W, C = pixels.shape
    if (height, width) == (H, W):
        return pixels
    box = (0.0, 0.0, float(W), float(H))
    if crop != "none":
        scale = max(height / H, width / W)
        across, down = min(W, width / scale), min(H, height / scale)
        left, top = (W - across) / 2, (H - down) / 2
        box = (left, top, min(W, left + across), min(H, top + down))
    if pixels.dtype == np.uint8 and C in (1, 3, 4):
        image = Image.fromarray(pixels[..., 0] if C == 1 else pixels)
        fitted = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box=box))
        return fitted.reshape(height, width, C)
    planes = [Image.fromarray(pixels[..., channel].astype(np.float32)) for channel in range(C)]
    fitted = [np.asarray(plane.resize((width, height), Image.Resampling.LANCZOS, box=box)) for plane in planes]
    return np.rint(np.stack(fitted, axis=2)).clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
