"""Samples as pictures: grids of images, clouds of points, PNG files that say a model made them, and films.

Everything here is quick enough to be called while training: numpy and Pillow, no plotting library.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from organza import __version__

Picture = Image.Image

REAL_COLOUR = (150, 205, 170)
"""Pale green: real points."""
FAKE_COLOUR = (108, 63, 197)
"""Purple: fake points."""
PAPER = (255, 255, 255)
FRAME = (226, 224, 232)
INK = (70, 66, 82)
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for media made by a trained model."""


def picture(image: np.ndarray) -> Picture:
    """One stored image, (H, W, C) uint8 or uint16, pixel for pixel.

    Gray keeps its 16 bits. Pillow has no 16-bit colour, so 16-bit RGB and RGBA are rounded to 8. Where there are two
    channels or more than four, the first is shown, or the first three.
    """
    channels = image.shape[2]
    shown = image if channels in (1, 3, 4) else image[:, :, : 3 if channels > 4 else 1]
    if shown.shape[2] == 1:
        return Image.fromarray(np.ascontiguousarray(shown[:, :, 0]))
    return Image.fromarray(np.ascontiguousarray(shown if shown.dtype == np.uint8 else to_8_bits(shown)))


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """uint16 to uint8, rounded: 65535 becomes 255."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def grid(images: np.ndarray, *, columns: int = 8, pad: int = 2, cell: int = 56) -> Picture:
    """Images in rows, the first at the top left.

    Args:
        images: (N, H, W, C), uint8 or uint16.
        columns: Images per row; the last row may be short.
        pad: Pixels between images and around them: white, or transparent where the images have alpha.
        cell: Small images are enlarged by a whole number until their shorter side has so many pixels; 1 leaves them.

    Returns:
        A picture of ceil(N / columns) rows.
    """
    count, height, width, channels = images.shape
    scale = -(-cell // min(height, width))
    columns = max(1, min(columns, count))
    rows = max(1, -(-count // columns))
    step_y, step_x = height * scale + pad, width * scale + pad
    sheet = np.full((rows * step_y + pad, columns * step_x + pad, channels), np.iinfo(images.dtype).max, images.dtype)
    if channels == 4:
        sheet[:, :, 3] = 0
    for index, image in enumerate(images):
        y, x = pad + index // columns * step_y, pad + index % columns * step_x
        sheet[y : y + height * scale, x : x + width * scale] = image.repeat(scale, axis=0).repeat(scale, axis=1)
    return picture(sheet)


def captioned(sheet: Picture, *, top: Sequence[str], left: Sequence[str] = ()) -> Picture:
    """A grid with words over its columns and before its rows, on paper: 8 bits, RGB.

    Args:
        sheet: What `grid` made.
        top: One for each column, over its middle; cut where it is longer than the column is wide.
        left: One for each row, or none.
    """
    font = ImageFont.load_default(size=13)
    widest = max((font.getlength(word) for word in left), default=0)
    margin, line = (round(widest) + 8 if left else 0), 20
    page = Image.new("RGB", (sheet.width + margin, sheet.height + line), PAPER)
    page.paste(on_screen(sheet), (margin, line))
    draw = ImageDraw.Draw(page)
    for index, word in enumerate(top):
        middle = margin + sheet.width * (index + 0.5) / len(top)
        while word and font.getlength(word) > sheet.width / len(top):
            word = word[:-1]
        draw.text((middle, line / 2), word, fill=INK, font=font, anchor="mm")
    for index, word in enumerate(left):
        middle = line + sheet.height * (index + 0.5) / len(left)
        draw.text((margin - 4, middle), word, fill=INK, font=font, anchor="rm")
    return page


def joined(sides: Sequence[np.ndarray]) -> np.ndarray:
    """Images beside each other, each side (N, H, W, C) of its own size and depth: (N, H, W, C), uint8.

    Smaller ones are enlarged by a whole number as far as the largest allows, and stand at the top; gray becomes RGB
    beside colour, and is opaque beside transparency. Where only the first has any, its holes are shown in colour.
    """
    if sides[0].shape[3] == 4 and all(side.shape[3] < 4 for side in sides[1:]):
        sides = [over_holes(sides[0]), *sides[1:]]
    channels = max(3 if side.shape[3] == 2 else min(side.shape[3], 4) for side in sides)
    height = max(side.shape[1] for side in sides)
    parts = []
    for side in sides:
        pixels = side if side.dtype == np.uint8 else to_8_bits(side)
        pixels = pixels if pixels.shape[3] in (1, 3, 4) else pixels[..., : 3 if pixels.shape[3] > 4 else 1]
        pixels = pixels.repeat(channels if channels < 4 else 3, axis=3) if pixels.shape[3] == 1 < channels else pixels
        if pixels.shape[3] < channels:
            pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=3)
        scale = height // pixels.shape[1]
        pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
        below = height - pixels.shape[1]
        parts.append(np.pad(pixels, ((0, 0), (0, below), (0, 0), (0, 0)), constant_values=255))
    return np.concatenate(parts, axis=2)


def over_holes(images: np.ndarray) -> np.ndarray:
    """RGBA images (N, H, W, 4) laid over the colour of fakes, (N, H, W, 3), uint8."""
    pixels = images if images.dtype == np.uint8 else to_8_bits(images)
    share = pixels[..., 3:] / 255
    return (pixels[..., :3] * share + np.array(FAKE_COLOUR) * (1 - share)).round().astype(np.uint8)


def scatter(points: np.ndarray, real: np.ndarray, *, side: int = 480) -> Picture:
    """Points over real ones: a cloud for pairs of numbers, two histograms for single ones.

    The axes follow from the real points alone, so that pictures of one run make a film. Points beyond the frame are
    drawn on its edge; non-finite ones are left out.

    Args:
        points: Fakes, (N, 1) or (N, 2), purple. Of longer vectors the first two numbers are shown.
        real: Real points, (M, 1) or (M, 2), pale green.
        side: Width and height of the picture in pixels.
    """
    points, real = (values[np.isfinite(values).all(axis=1)] for values in (points, real))
    canvas = histograms(points, real, side) if real.shape[1] == 1 else cloud(points[:, :2], real[:, :2], side)
    canvas[[0, -1]] = canvas[:, [0, -1]] = FRAME
    return Image.fromarray(canvas)


def cloud(points: np.ndarray, real: np.ndarray, side: int) -> np.ndarray:
    """Both sets as discs on one square with equal scales: (side, side, 3) uint8."""
    low, high = (real.min(axis=0), real.max(axis=0)) if len(real) else (np.full(2, -1.0), np.full(2, 1.0))
    middle, reach = (low + high) / 2, max(float((high - low).max()) / 2, 1e-6) * 1.25
    canvas = np.broadcast_to(np.array(PAPER, np.float32), (side, side, 3)).copy()
    for values, colour, opacity, radius in ((real, REAL_COLOUR, 0.5, 0.011), (points, FAKE_COLOUR, 0.45, 0.0055)):
        place = (values - middle) / (2 * reach) + 0.5
        ink = stamp(np.clip(np.stack([place[:, 0], 1 - place[:, 1]], axis=1), 0, 1), side=side, radius=radius)
        cover = (1 - (1 - opacity) ** ink)[:, :, None]
        canvas += cover * (np.array(colour, np.float32) - canvas)
    return canvas.round().astype(np.uint8)


def stamp(places: np.ndarray, *, side: int, radius: float) -> np.ndarray:
    """How many discs lie over each pixel: (side, side) float32. Drawn at twice the size, so that their edges are soft.

    Args:
        places: Centres (N, 2) as x and y from the top left, each 0 to 1.
        side: Pixels of the square.
        radius: Of a disc, as a share of the side.
    """
    fine, radius = 2 * side, radius * 2 * side
    span = np.arange(-int(radius) - 1, int(radius) + 2)
    dy, dx = (offset.ravel() for offset in np.meshgrid(span, span, indexing="ij"))
    disc = dx**2 + dy**2 <= radius**2
    margin = int(radius) + 2
    centres = (margin + places * (fine - 1 - 2 * margin)).round().astype(np.int64)
    flat = (centres[:, 1, None] + dy[disc]) * fine + centres[:, 0, None] + dx[disc]
    ink = np.bincount(flat.ravel(), minlength=fine * fine).reshape(side, 2, side, 2)
    return ink.mean(axis=(1, 3)).astype(np.float32)


def histograms(points: np.ndarray, real: np.ndarray, side: int) -> np.ndarray:
    """Densities of both sets over one axis: real ones filled, fakes as translucent bars. (side, side, 3) uint8."""
    low, high = (float(real.min()), float(real.max())) if len(real) else (-1.0, 1.0)
    margin = 0.15 * max(high - low, 1e-6)
    edges = np.linspace(low - margin, high + margin, 61)
    canvas = np.broadcast_to(np.array(PAPER, np.float32), (side, side, 3)).copy()
    bins = np.arange(side) * 60 // side
    from_bottom = np.arange(side, 0, -1)[:, None]
    top = np.histogram(real, edges)[0].max(initial=1) / max(len(real), 1)
    for values, colour, opacity in ((real, REAL_COLOUR, 0.75), (points, FAKE_COLOUR, 0.55)):
        share = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(len(values), 1)
        tall = np.minimum(share / (1.6 * top), 1)[bins] * (side - 2)
        cover = (opacity * (from_bottom <= tall[None, :]))[:, :, None]
        canvas += cover * (np.array(colour, np.float32) - canvas)
    return canvas.round().astype(np.uint8)


def save_png(image: Picture, path: Path, *, metadata: dict[str, str], mark: bool = True) -> None:
    """Write a PNG at once or not at all, with a note that a model made it.

    Args:
        image: What to write.
        path: Replaced if it is there.
        metadata: Text entries, such as Model, Seed and Samples; Software is added.
        mark: Write those entries and an XMP packet with IPTC's digital source type. False for real data: nothing
            but pixels is written.

    Raises:
        OSError: It could not be written; what was at `path` is untouched.
    """
    notes = PngInfo()
    if mark:
        for key, value in ({"Software": f"organza {__version__}"} | metadata).items():
            notes.add_text(key, value)
        notes.add_itxt("XML:com.adobe.xmp", xmp_packet())
    save_aside(path, lambda aside: image.save(aside, format="PNG", pnginfo=notes))


def save_gif(frames: Sequence[Picture], path: Path, *, fps: float = 12, mark: bool = True) -> None:
    """Write frames as an endless film, at once or not at all.

    Args:
        frames: At least one, of equal size.
        path: Replaced if it is there.
        fps: Frames per second; GIF counts in hundredths of a second, and viewers slow down anything above 50.
        mark: Write a comment that names organza and IPTC's digital source type.

    Raises:
        OSError: It could not be written; what was at `path` is untouched.
    """
    pages = [on_screen(frame) for frame in frames]
    note = {"comment": f"organza {__version__}; DigitalSourceType={SOURCE_TYPE}".encode()} if mark else {}
    duration = max(20, round(100 / fps) * 10)

    def write(aside: Path) -> None:
        pages[0].save(aside, format="GIF", save_all=True, append_images=pages[1:], duration=duration, loop=0, **note)

    save_aside(path, write)


def on_screen(image: Picture) -> Picture:
    """The picture with 8 bits, gray or RGB, alpha laid on white: what every viewer shows."""
    if image.mode == "I;16":
        return Image.fromarray(to_8_bits(np.asarray(image)))
    if image.mode == "RGBA":
        return Image.alpha_composite(Image.new("RGBA", image.size, (*PAPER, 255)), image).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def save_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Write under a temporary name beside `path`, then rename, so that a reader never sees half a file."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def xmp_packet() -> str:
    """The XMP packet that marks a picture as made by a trained model.

    Source: IPTC Photo Metadata Standard, property Digital Source Type.
    """
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' xmp:CreatorTool="organza {__version__}" Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )
