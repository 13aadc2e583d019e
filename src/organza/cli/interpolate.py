"""organza interpolate RUN --out FILE."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional, final

from organza.cli.options import RunFolder, parse

DESCRIPTION = """A film of a walk through the latent space of a run, with its averaged generator.

Between seeds (or points that `organza project` found), along a direction that `organza directions` found, or from one
class to another. --out decides the form: .gif, .mp4 (with ffmpeg or imageio-ffmpeg), or .png, a strip of all frames."""


@final
@dataclass(frozen=True, kw_only=True)
class Interpolate:
    """What `organza interpolate` takes."""

    run: RunFolder
    """The run folder."""
    out: Path = Path("walk.gif")
    """A .gif, .mp4 or .png file, replaced if it is there."""
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    """Where the walk stops; a walk along a direction or between classes begins at the first."""
    points: tuple[Path, ...] = ()
    """Files of points to stop at instead, such as RUN/projections/NAME.safetensors."""
    count: int = 1
    """Samples side by side."""
    label: Optional[str] = None
    """A class by name or index; default: any."""
    to_label: Optional[str] = None
    """Walk from class --label to this one, between their embeddings."""
    direction: Optional[str] = None
    """NAME or NAME:INDEX of directions in the run folder, to walk along."""
    reach: float = 3.0
    """How far along it, to both sides, in deviations."""
    space: Literal["auto", "z", "w"] = "auto"
    """Where the line lies; auto: w where there is one."""
    curve: Literal["auto", "linear", "spherical"] = "auto"
    """auto: linear in w, spherical in z."""
    frames: int = 16
    """From each stop to the next; along a direction or between classes, of the whole film."""
    loop: bool = True
    """Come back to the beginning; a .png, which stands still, never does."""
    fps: float = 12.0
    """Frames per second; a GIF has 50 at most."""
    truncation: float = 1.0
    """Below 1 trades variety for typicality."""
    tuned: Optional[Path] = None
    """Weights of a tuned generator, NAME.tuned.safetensors."""
    checkpoint: str = "newest"
    """newest, best (by the run's --best-by) or the folder of a checkpoint."""
    mark: bool = True
    """Mark the file as made by a model."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


def main(args: list[str]) -> int:
    """Walk and write."""
    given = parse(Interpolate, args, verb="interpolate", description=DESCRIPTION)
    from organza import devices
    from organza.latent.film import check_film, write_frames
    from organza.latent.journey import journey
    from organza.latent.space import open_space
    from organza.run import open_run

    check_film(given.out, given.fps)
    run, device = open_run(given.run), devices.choose(given.device)
    game = run.game(path=run.checkpoint(given.checkpoint), device=device)
    frames = journey(
        run,
        open_space(run, game, given.space),
        seeds=given.seeds,
        points=given.points,
        count=given.count,
        label=given.label,
        to_label=given.to_label,
        direction=given.direction,
        reach=given.reach,
        curve=given.curve,
        frames=given.frames,
        loop=given.loop and given.out.suffix.lower() != ".png",
        truncation=given.truncation,
        tuned=given.tuned,
    )
    notes = {"Model": run.folder.name, "Seed": " ".join(map(str, given.seeds))}
    print(write_frames(frames, given.out, metadata=notes, fps=given.fps, mark=given.mark))
    return 0
