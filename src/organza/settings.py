"""How a run is carried out, whatever the family. Imports no torch, so that `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional, final, get_args

from organza.errors import UsageError

DoctorMode = Literal["off", "warn", "stop", "treat"]
TrackerName = Literal["tensorboard", "wandb", "trackio", "mlflow"]
DEFAULT_RECIPE = "auto"
DEFAULT_MINUTES = 1.75
"""Budget of plain `organza train`: with start-up and the report it ends within two minutes."""


@final
@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Budget, cadence, machine and folder of a run."""

    samples: Optional[int] = None
    """Train until this many real samples were seen."""
    epochs: Optional[float] = None
    """Train for so many passes over the data."""
    minutes: Optional[float] = None
    """Train for so many minutes."""
    seed: int = 0
    """Determines the initial weights, the order of the data and all noise."""
    run: Optional[Path] = None
    """Run folder; by default runs/NNNN-recipe-data below the current folder."""
    checkpoint_every: int = 50_000
    """Samples between checkpoints, or two minutes or more if that is sooner; one more is written at the end."""
    keep: int = 2
    """How many of the newest checkpoints remain; the best one remains as well."""
    sample_every: Optional[int] = None
    """Samples between sample grids; default: 40 grids over the run."""
    log_every: int = 2_000
    """Samples between rows of metrics.jsonl."""
    doctor: DoctorMode = "warn"
    """What the doctor does about an illness: warn; stop the run; treat (go back to the newest healthy checkpoint with
    the proposed change); off: never examine."""
    doctor_every: int = 10_000
    """Samples between examinations; at most a tenth of the run, if it has rows (--log-every) so often."""
    doctor_share: float = 0.025
    """Share of the training time up to which there are more examinations than one per tenth of the run."""
    track: tuple[TrackerName, ...] = ()
    """Experiment trackers that hear of rows, sample grids and findings; in Python one name will do. TensorBoard's files
    are in RUN/tensorboard; the others go where their own environment variables say."""
    webhook: Optional[str] = None
    """URL that the doctor's findings are sent to as JSON."""
    evaluate_every: Optional[int] = None
    """Samples between evaluations of 2,000 samples against real ones; default: never."""
    best_by: str = "distance"
    """Measure that decides which checkpoint is the best: distance (sliced Wasserstein, of pixels), or one of those of
    --evaluate-every, such as frechet, precision, recall, density, coverage, recognised; for images made from images
    also psnr, ssim, absolute_error, masked_absolute_error, perceptual, cycle, of results beside their truths."""
    patience: Optional[int] = None
    """Evaluations without improvement of --best-by after which the run ends; default: it takes its whole budget."""
    pause_at: Optional[int] = None
    """End after so many samples as an interruption would; budget and schedules stay as they are. Several processes
    agree on it during the next step."""
    micro_batch: Optional[int] = None
    """Samples per forward pass and rank, to save memory; results depend on it only where there is batch norm."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    devices: int = 1
    """Processes to train with on this machine, one per GPU or group of cores."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """bf16 runs networks under autocast; auto uses it on GPUs that have it."""
    compile: bool = False
    """Compile the networks for turns that need first derivatives only."""

    def __post_init__(self) -> None:
        track = (self.track,) if isinstance(self.track, str) else tuple(dict.fromkeys(self.track))
        object.__setattr__(self, "track", track)
        for name in track:
            if name not in get_args(TrackerName):
                raise UsageError(f"there is no tracker {name!r}; --track takes {', '.join(get_args(TrackerName))}")
        if self.webhook is not None and not self.webhook.startswith(("https://", "http://")):
            raise UsageError(f"--webhook must be a URL that begins with https:// or http://; got {self.webhook!r}")
        given = [name for name in ("samples", "epochs", "minutes") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"give one budget, not {len(given)}: " + ", ".join(f"--{name}" for name in given))
        positive = (
            "samples",
            "epochs",
            "minutes",
            "checkpoint_every",
            "keep",
            "sample_every",
            "log_every",
            "doctor_every",
            "evaluate_every",
            "patience",
        )
        for name in (*positive, "pause_at", "micro_batch", "devices"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} must be above 0; got {value}")
        if self.patience is not None and self.evaluate_every is None:
            raise UsageError(f"--patience {self.patience} counts evaluations, so it needs --evaluate-every SAMPLES")
        if not 0 < self.doctor_share <= 1:
            raise UsageError(f"--doctor-share is a share above 0, at most 1; got {self.doctor_share}")
        if not 0 <= self.seed < 2**64:
            raise UsageError(f"--seed must be from 0 to {2**64 - 1}; got {self.seed}")
