"""TensorBoard: event files in the run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from PIL import Image

from organza.errors import require
from organza.hooks.trackers.tracker import Part, Tracker, simple
from organza.run_config import flatten


@final
class TensorBoard(Tracker):
    """Event files in RUN/tensorboard, for `tensorboard --logdir RUN`."""

    @classmethod
    def check(cls) -> None:
        """Its package is there."""
        require("tensorboard", extra="tensorboard")
        require("torch.utils.tensorboard", extra="tensorboard")

    def __init__(self, part: Part) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        self.id = "tensorboard"
        self.writer = SummaryWriter(
            str(part.folder / self.id), purge_step=part.samples + 1 if part.id else None, flush_secs=10
        )
        if part.id is None:
            # Not add_hparams: it opens a second file, and TensorBoard reads no file any more once it has seen a newer.
            shown = dict.fromkeys(("distance", "health/distance", "real_accuracy", "fake_accuracy"), 0.0)
            for summary in hparams(dict(flatten(simple(part.config))), shown):
                self.write(summary, 0)
            self.writer.add_text("run.json", "```json\n" + json.dumps(part.config, indent=2) + "\n```", 0)

    def write(self, summary: Any, samples: int) -> None:
        """Add a protocol buffer as it is."""
        self.writer._get_file_writer().add_summary(summary, samples)

    def scalars(self, values: Mapping[str, float], samples: int) -> None:
        """One curve a number; on disk at once."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, samples)
        self.writer.flush()

    def image(self, name: str, path: Path, samples: int) -> None:
        """The file as it is: nothing is encoded again, and 16 bits stay 16 bits."""
        proto = require("tensorboard.compat.proto.summary_pb2", extra="tensorboard")
        with Image.open(path) as picture:
            (width, height), bands = picture.size, len(picture.getbands())
        size = {"height": height, "width": width, "colorspace": bands}
        png = proto.Summary.Image(**size, encoded_image_string=path.read_bytes())
        self.write(proto.Summary(value=[proto.Summary.Value(tag=name, image=png)]), samples)
        self.writer.flush()

    def finding(self, text: str, samples: int) -> None:
        """In the tab for text."""
        self.writer.add_text("findings", text, samples)
        self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        self.writer.close()
