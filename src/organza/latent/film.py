"""Frames to files: .gif by Pillow, .mp4 by ffmpeg where it is there, .png as a strip."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from organza import __version__, pictures
from organza.errors import StorageError, UsageError
from organza.latent.sheets import frames_sheet

NO_FFMPEG = 'films need ffmpeg, which is not here: pip install "organza[video]" (or: apt install ffmpeg)'


def write_frames(
    frames: np.ndarray, out: Path, *, metadata: dict[str, str], fps: float = 12, columns: int = 0, mark: bool = True
) -> str:
    """Write a film, or a strip of its frames.

    Args:
        frames: (F, N, H, W, C) uint8 or uint16: N images side by side in each frame.
        out: .gif, .mp4, or .png: a row for each of the N, a column for each frame. Replaced if it is there.
        metadata: Text entries of the .png.
        fps: Frames per second.
        columns: Images per row in a frame; 0: as many as rows.
        mark: Say in the file that a model made it.

    Returns:
        A line that says what was written.

    Raises:
        UsageError: Another ending, or no ffmpeg.
        StorageError: It could not be written.
    """
    check_film(out, fps)
    kind, count = out.suffix.lower(), frames.shape[1]
    columns = columns or -(-count // int(count**0.5))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        match kind:
            case ".png":
                pictures.save_png(frames_sheet(frames), out, metadata=metadata, mark=mark)
                return f"{len(frames)} frames side by side in {out}"
            case ".gif":
                pictures.save_gif(pages(frames, columns), out, fps=fps, mark=mark)
            case _:
                save_mp4(pages(frames, columns), out, fps=fps, mark=mark)
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error}") from error
    return f"{len(frames)} frames in {out}"


def check_film(out: Path, fps: float) -> None:
    """Refuse what cannot be written, before anything is computed.

    Raises:
        UsageError: Another ending, no ffmpeg for an .mp4, or a rate that makes no sense.
    """
    if not 0 < fps <= 240:
        raise UsageError(f"--fps must be above 0 and at most 240; got {fps}")
    kind = out.suffix.lower()
    if kind not in (".gif", ".mp4", ".png"):
        raise UsageError(f"cannot write {kind or 'a folder'}; use .gif, .mp4 (films) or .png (a strip)")
    if kind == ".mp4":
        try:
            ffmpeg()
        except UsageError as error:
            raise UsageError(f"{error}; a .gif needs nothing") from error


def pages(frames: np.ndarray, columns: int) -> list[pictures.Picture]:
    """Each frame as a picture."""
    cell = 56 if frames.shape[1] > 1 else 224
    return [pictures.grid(frame, columns=columns, cell=cell) for frame in frames]


def ffmpeg() -> str:
    """The program: the system's, or that of imageio-ffmpeg.

    Raises:
        UsageError: There is neither.
    """
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    try:
        return import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise UsageError(NO_FFMPEG) from error


def save_mp4(frames: Sequence[pictures.Picture], path: Path, *, fps: float, mark: bool = True) -> None:
    """Write frames as H.264 that every browser plays, at once or not at all; sides are made even with white.

    Raises:
        UsageError: There is no ffmpeg, or it refused.
        OSError: It could not be written.
    """
    program = ffmpeg()
    first = np.asarray(pictures.on_screen(frames[0]).convert("RGB"))
    height, width = first.shape[0] + first.shape[0] % 2, first.shape[1] + first.shape[1] % 2
    note = f"organza {__version__}; DigitalSourceType={pictures.SOURCE_TYPE}"
    command = [
        *(program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"),
        *("-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-", "-c:v", "libx264", "-crf", "16"),
        *("-pix_fmt", "yuv420p", "-movflags", "+faststart", *(("-metadata", f"comment={note}") if mark else ())),
        *("-f", "mp4"),
    ]
    raw = bytearray()
    for frame in frames:
        canvas = np.full((height, width, 3), 255, np.uint8)
        canvas[: first.shape[0], : first.shape[1]] = np.asarray(pictures.on_screen(frame).convert("RGB"))
        raw += canvas.tobytes()

    def write(aside: Path) -> None:
        done = subprocess.run([*command, str(aside)], input=bytes(raw), capture_output=True, check=False)
        if done.returncode:
            raise UsageError(f"ffmpeg could not make {path}: {done.stderr.decode(errors='replace').strip()[-300:]}")

    pictures.save_aside(path, write)
