"""A trained model on images of the user's own: files, folders and films, of any size."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from organza import __version__
from organza.data.images import FORMATS, BadImageError, NotAnImageError, pillow_limits, read_pixels, recolour
from organza.data.masks import is_hole, is_light
from organza.data.scan import MASK
from organza.data.source import decode, encode
from organza.data.spec import ImageSpec
from organza.errors import DataError, StorageError, UsageError, cause
from organza.game import Game, Request
from organza.latent.film import ffmpeg
from organza.pictures import picture, save_aside, save_png
from organza.run import Run

EDGE = 7 / 16
"""Share of what two tiles have in common that does not count at the edge of either."""
FILMS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi", ".gif": "gif"}
"""Endings, and what ffmpeg calls the formats."""
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
"""Of files in a folder that are taken; what they are, their content tells."""


@final
@dataclass(frozen=True, kw_only=True)
class Applier:
    """Images to images, whole or in tiles that overlap.

    Args:
        game: Makes images from images.
        given: What it takes.
        made: What it makes.
        reverse: The other way round, where it goes both ways.
        tile: Largest side, in pixels, that goes through the networks at once; 0: any.
        overlap: Pixels that neighbouring tiles share; they fade into each other.
        seed: Of noise, where the model has any.
        strength: From what is nearest to the truth (0) to what looks real (1), where the model knows both.
    """

    game: Game
    given: ImageSpec
    made: ImageSpec
    reverse: bool = False
    tile: int = 0
    overlap: int = 32
    seed: int = 0
    strength: float = 1.0

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, C), uint8 or uint16 of 1, 3 or 4 channels, to what is made of it."""
        if self.game.fills and not is_hole(recolour(pixels, 4)).any():
            raise DataError(
                "the image has no holes to fill: give it transparent parts, or show them in white on black with "
                "--mask FILE"
            )
        stored = in_bits(recolour(pixels, self.given.channels), self.given.bits)
        image = decode({"image": torch.from_numpy(stored.transpose(2, 0, 1)[None].copy())}, self.given)["image"]
        return encode(self.whole(image) if self.fits(image) else self.tiled(image), self.made)[0]

    def fits(self, image: Tensor) -> bool:
        """Whether it goes through at once."""
        return not self.tile or max(image.shape[2:]) <= self.tile

    def whole(self, image: Tensor) -> Tensor:
        """(1, C, H, W) to (1, C', H', W')."""
        request = Request(1, seed=self.seed, sources=image, reverse=self.reverse, strength=self.strength)
        return self.game.generate(request)["image"].cpu()

    def tiled(self, image: Tensor) -> Tensor:
        """The same in tiles: where they overlap, a weighted mean that fades from one to the next."""
        height, width = image.shape[2:]
        total = weights = torch.zeros(())
        for top, bottom in spans(height, self.tile, self.overlap):
            for left, right in spans(width, self.tile, self.overlap):
                part = self.whole(image[:, :, top:bottom, left:right])
                scale = part.shape[2] // (bottom - top)
                if not weights.ndim:
                    total = torch.zeros(1, part.shape[1], height * scale, width * scale)
                    weights = torch.zeros(height * scale, width * scale)
                fades = [
                    faded(begin, end, length, self.overlap, scale)
                    for begin, end, length in ((top, bottom, height), (left, right, width))
                ]
                weight = fades[0][:, None] * fades[1]
                here = (..., slice(top * scale, bottom * scale), slice(left * scale, right * scale))
                total[here] += part * weight
                weights[here] += weight
        return total / weights


def spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Beginnings and ends of tiles along a side, evenly spread, each sharing at least `overlap` with the next."""
    if length <= tile:
        return [(0, length)]
    count = -(-(length - overlap) // (tile - overlap))
    begins = np.linspace(0, length - tile, count).round().astype(int)
    return [(int(begin), int(begin) + tile) for begin in begins]


def faded(begin: int, end: int, length: int, overlap: int, scale: int) -> Tensor:
    """Weights along a side of a tile: rising after its beginning and falling before its end, if it is not the image's.

    What two tiles share is taken from the one whose edge is further away, with a short fade in the middle: networks
    know less of what lies near the edge of a tile.
    """
    place = torch.arange((end - begin) * scale) + 0.5
    if not overlap:
        return torch.ones_like(place)
    unsure, fade = EDGE * overlap * scale, (1 - 2 * EDGE) * overlap * scale
    rise = ((place - unsure) / fade).clamp(0, 1) if begin else torch.ones_like(place)
    fall = (((end - begin) * scale - place - unsure) / fade).clamp(0, 1) if end < length else torch.ones_like(place)
    return rise * fall


def in_bits(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Between uint8 and uint16."""
    if bits == 8 and pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return pixels.astype(np.uint16) * 257 if bits == 16 and pixels.dtype == np.uint8 else pixels


def applier(
    run: Run,
    *,
    checkpoint: str,
    device: str,
    reverse: bool = False,
    tile: int = 0,
    overlap: int | None = None,
    seed: int = 0,
    strength: float = 1.0,
) -> Applier:
    """What applies a run; see `Applier`. Without `overlap` tiles share 32 pixels, or half a side if that is less.

    Raises:
        UsageError: The run makes images from nothing, goes one way only, knows one strength only, moves images
            as a whole and not in tiles, or the tiles or the strength make no sense.
    """
    spec = run.spec
    if not isinstance(spec, ImageSpec) or spec.source is None:
        raise UsageError(
            f"{run.folder} makes {spec.key} data from noise, not from images; make samples with: organza generate "
            f"{run.quoted}"
        )
    overlap = min(32, tile // 2) if overlap is None else overlap
    if tile < 0 or (tile and not 0 <= overlap < tile):
        raise UsageError(f"--tile must be at least 0, and --overlap at least 0 and below it; got {tile} and {overlap}")
    game = run.game(path=run.checkpoint(checkpoint), device=device)
    if tile and game.frames:
        raise UsageError(f"{run.folder} zooms and shifts images as a whole, so it makes no tiles: leave out --tile")
    if reverse and not game.reverses:
        raise UsageError(f"{run.folder} goes one way only: leave out --reverse, or train with: organza train cyclegan")
    if strength != 1 and not game.weakens:
        raise UsageError(
            f"{run.folder} knows one strength only: leave out --strength, or train a model that knows both ends with: "
            "organza train srgan"
        )
    if not 0 <= strength <= 1:
        raise UsageError(f"--strength must be from 0 (least error) to 1 (looks real); got {strength:g}")
    given, made = (spec.alone, spec.source) if reverse else (spec.source, spec.alone)
    return Applier(
        game=game, given=given, made=made, reverse=reverse, tile=tile, overlap=overlap, seed=seed, strength=strength
    )


Model = Callable[[np.ndarray], np.ndarray]
"""(H, W, C) to (H', W', C')."""


@final
@dataclass(frozen=True)
class Masks:
    """Where holes are, by white in pictures of their own.

    Args:
        path: A picture for all images, or a folder of them by the names of the images, or those and `_mask`.
        inverted: Whether black marks the holes.
    """

    path: Path
    inverted: bool = False

    def __call__(self, pixels: np.ndarray, image: Path) -> np.ndarray:
        """An image (H, W, C) with its holes transparent, (H, W, 4).

        Raises:
            DataError: There is no such mask, or it cannot be read, or has another size.
        """
        path = self.beside(image) if self.path.is_dir() else self.path
        try:
            with pillow_limits(), path.open("rb") as file:
                found, _, _ = read_pixels(file)
        except (OSError, BadImageError) as error:
            raise DataError(f"cannot read the mask {path}: {cause(error)}") from error
        if found.shape[:2] != pixels.shape[:2]:
            (h, w), (H, W) = found.shape[:2], pixels.shape[:2]
            raise DataError(f"the mask {path} has {w}x{h} pixels and {image} {W}x{H}: make it as large as the image")
        shown = is_light(found)
        holed = recolour(pixels, 4).copy()
        holed[shown != self.inverted] = 0
        return holed

    def beside(self, image: Path) -> Path:
        """The mask of an image, in the folder of masks."""
        names = {path.stem: path for path in sorted(self.path.iterdir()) if path.suffix.lower() in SUFFIXES}
        for stem in (f"{image.stem}_mask", image.stem):
            if stem in names:
                return names[stem]
        raise DataError(
            f"{self.path} holds no mask for {image.name}: name it {image.stem}.png or {image.stem}_mask.png"
        )


def apply(model: Model, source: Path, out: Path, *, masks: Masks | None = None, mark: bool = True) -> Iterator[str]:
    """Run a model on a file, a folder of images or a film, and say what was written, file by file.

    Args:
        model: What to do.
        source: What to read. Files of a folder that are no images are told and left.
        out: A file for a file or a film, or a folder that is there; for a folder, a folder that is made or added to:
            the same names as .png (of a.png and a.jpg a.png.png and a.jpg.png).
        masks: What of the images is to be filled, by a model that does that.
        mark: Say in the files that a model made them.

    Raises:
        DataError: There is no such file, or no image in it.
        StorageError: It could not be written.
    """
    if not source.exists():
        raise DataError(f"no such file or folder: {source}")
    is_film = source.suffix.lower() in FILMS
    if out.is_dir() and not source.is_dir():
        out /= source.name if is_film else f"{source.stem}.png"
    for read in (source, masks.path if masks else source):
        if out.exists() and read.exists() and out.samefile(read):
            raise UsageError(f"{out} is what is read, and would be lost: name another place to write to")
    if source.is_dir():
        yield from apply_to_folder(model, source, out, masks=masks, mark=mark)
    elif is_film:
        yield apply_to_film(model, source, out, masks=masks, mark=mark)
    else:
        try:
            size = apply_to_file(model, source, out, masks=masks, mark=mark)
        except BadImageError as error:
            raise DataError(f"cannot read {source}: {error}") from error
        yield f"{source} -> {out} ({size})"


def apply_to_file(model: Model, source: Path, out: Path, *, masks: Masks | None, mark: bool) -> str:
    """One image; its size as it was and is."""
    kind = out.suffix.lower()
    if kind not in SUFFIXES:
        found = f"of the kind {kind}" if kind else f"without an ending; for a folder name {out / source.stem}.png"
        raise UsageError(f"cannot write {out}, a file {found}; endings are {', '.join(sorted(SUFFIXES))}")
    try:
        with pillow_limits(), source.open("rb") as file:
            pixels, _, _ = read_pixels(file)
    except OSError as error:
        raise DataError(f"cannot read {source}: {error}") from error
    made = model(pixels if masks is None else masks(pixels, source))
    metadata = {"Software": f"organza {__version__}", "Source": source.name}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if kind == ".png":
            save_png(picture(made), out, metadata=metadata, mark=mark)
        else:
            shown = picture(made)
            shown = shown.convert("RGB") if kind in (".jpg", ".jpeg") and shown.mode != "L" else shown
            save_aside(out, lambda aside: shown.save(aside, format=FORMAT_OF[kind], quality=95))
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error}") from error
    (h, w), (H, W) = pixels.shape[:2], made.shape[:2]
    return f"{w}x{h}" if (h, w) == (H, W) else f"{w}x{h} to {W}x{H}"


FORMAT_OF = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
assert {*FORMAT_OF.values(), "PNG"} <= set(FORMATS)


def apply_to_folder(model: Model, source: Path, out: Path, *, masks: Masks | None, mark: bool) -> Iterator[str]:
    """Every image below a folder, to the same place below another."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{source} is a folder and {out} is a file: name a folder to write into")
    if not out.exists() and out.suffix.lower() in {*SUFFIXES, *FILMS}:
        raise UsageError(
            f"{source} is a folder and {out} would be a file: name a folder, such as {out.with_suffix('')}"
        )
    if out.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{out} lies within {source}, whose images are read: name a folder beside it")
    files = sorted(path for path in source.rglob("*") if path.is_file() and path.suffix.lower() in SUFFIXES)
    if masks is not None and masks.path.is_dir() and masks.path.resolve() == source.resolve():
        files = [path for path in files if not MASK.fullmatch(path.stem)]
    alike = Counter(str(path.with_suffix("")).casefold() for path in files)
    done = 0
    for path in files:
        name = path.stem if alike[str(path.with_suffix("")).casefold()] == 1 else path.name
        target = out / path.relative_to(source).with_name(f"{name}.png")
        try:
            size = apply_to_file(model, path, target, masks=masks, mark=mark)
        except (BadImageError, NotAnImageError, DataError) as error:
            yield f"{path}: left out, {error}"
            continue
        done += 1
        yield f"{path} -> {target} ({size})"
    if not done:
        raise DataError(f"{source} holds no image that can be read; it needs files such as .png or .jpg")
    yield f"{done} image{'' if done == 1 else 's'} in {out}"


def apply_to_film(model: Model, source: Path, out: Path, *, masks: Masks | None, mark: bool) -> str:
    """Frame by frame, at the pace and with the sound that it has."""
    program = ffmpeg()
    kind = out.suffix.lower()
    if kind not in FILMS:
        raise UsageError(f"{source} is a film, so the result is one: name a file such as {source.stem}.mp4")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run_ffmpeg([program, "-i", str(source), "-fps_mode", "passthrough", str(folder / "%06d.png")], source)
        frames = sorted(folder.glob("*.png"))
        if not frames:
            raise DataError(f"{source} holds no frames that ffmpeg can read")
        for frame in frames:
            apply_to_file(model, frame, folder / f"made-{frame.name}", masks=masks, mark=False)
        told = subprocess.run([program, "-i", str(source)], capture_output=True, text=True, check=False).stderr
        rate = re.search(r"([\d.]+) fps", told)
        note = ["-metadata", f"comment=organza {__version__}; made by a model"] if mark else []
        sound = ("-c:a", "copy") if kind == source.suffix.lower() else ()
        film = ["-map", "0:v"] if kind == ".gif" else [
            *("-i", str(source), "-map", "0:v", "-map", "1:a?", *sound, "-pix_fmt", "yuv420p", "-crf", "16"),
            *("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"),
        ]  # fmt: skip
        film += ["-f", FILMS[kind]]
        pace = ["-framerate", rate[1] if rate else "25", "-i", str(folder / "made-%06d.png")]
        out.parent.mkdir(parents=True, exist_ok=True)
        save_aside(out, lambda aside: run_ffmpeg([program, "-y", *pace, *film, *note, str(aside)], source))
    return f"{source} -> {out} ({len(frames)} frames)"


def run_ffmpeg(command: list[str], source: Path) -> None:
    """Run it; its last words are the reason if it fails."""
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()[-300:]
        raise DataError(f"ffmpeg could not work on {source}: {words}")
