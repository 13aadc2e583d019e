"""organza audit RUN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, final

from organza.cli.options import RunFolder, parse

DESCRIPTION = """Look for copies of the training data among the samples of a run, in pixels and in features.

What counts as near is learned from held-out real images: the test split where there is one. Writes RUN/audit.html,
pictures with a verdict in words. Exit code 1 if the run copies."""


@final
@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """What `organza audit` takes."""

    run: RunFolder
    """The run folder."""
    count: int = 1_000
    """Fakes to look at, and held-out images at most."""
    extractor: Optional[str] = None
    """Network of the feature space; default: what suits the data."""
    seed: int = 0
    """Fake i depends on (seed, i) alone."""
    checkpoint: str = "newest"
    """newest, best or the folder of a checkpoint."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


def main(args: list[str]) -> int:
    """Audit, say what was found, and write the page."""
    given = parse(AuditOptions, args, verb="audit", description=DESCRIPTION)
    from organza import devices
    from organza.audit import audit
    from organza.data import open_source
    from organza.report.audit import remark, write_audit
    from organza.run import open_run

    run = open_run(given.run)
    found = audit(
        run,
        count=given.count,
        extractor=given.extractor,
        seed=given.seed,
        checkpoint=given.checkpoint,
        device=devices.choose(given.device),
    )
    print("\n  ".join([f"{found.headline}:", *found.reasons]))
    print(remark(found))
    source = open_source(str(run.config["data"]["source"]), run.data_options)
    print(f"pictures: {write_audit(run, found, source)}")
    return 1 if found.tone == "alarm" else 0
