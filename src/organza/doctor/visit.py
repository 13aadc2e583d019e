"""A look at a run folder: what is wrong with it as it stands, in words and as an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from organza.doctor.catalogue import diagnose
from organza.doctor.finding import Finding, command_for
from organza.doctor.history import IN_A_ROW, WARM_STEPS, History
from organza.errors import OrganzaError
from organza.run import Run

FAR = 2.0
"""Times as far from the data as real samples from one another: nobody calls such samples good."""
ILL = 3
"""Exit code of a command whose run ended with an illness of level `error`."""


def visit(run: Run) -> list[Finding]:
    """The findings of a run as it stands, likeliest cause first: the same whenever it is asked."""
    return diagnose(History(run.rows(), run.config))


def exit_code(findings: Sequence[Finding]) -> int:
    """0 for a run that ended healthy, or with warnings only."""
    return ILL if any(finding.level == "error" for finding in findings) else 0


def summary(findings: Sequence[Finding], history: History) -> str:
    """One line: whether a run is healthy, the likeliest cause if not, or why nothing can be told."""
    exams, far = len(history.exams), history.remoteness
    if not findings:
        if not history.is_warm:
            steps = f"{history.steps} step{'' if history.steps == 1 else 's'}"
            return f"too short to judge: {steps} of all players, {WARM_STEPS} are the least"
        if not exams:
            return "unknown: it was never examined"
        if exams < IN_A_ROW:
            return f"too short to judge: {exams} of the {IN_A_ROW} examinations that most illnesses take"
        if far > FAR:
            return f"no illness, but its samples are {far:.1f} times as far from the data as real ones from one another"
        return "healthy: the doctor finds nothing"
    first, others = findings[0], len(findings) - 1
    more = f", and {others} more" if others else ""
    return f"{'ill' if exit_code(findings) else 'a warning'}: {first.title} (since {first.since:,} samples){more}"


def exhibit_path(folder: Path, illness: str, samples: int) -> Path:
    """Where the picture of an illness that was found after so many samples lies in a run folder."""
    return folder / "findings" / f"{illness}-{samples:09d}.png"


def newest_exhibit(folder: Path, finding: Finding) -> Path | None:
    """The picture of the last time that this was found, if there is one; later ones belong to a course given up."""
    pictures = (folder / "findings").glob(f"{finding.name}-*.png")
    return max((path for path in pictures if path <= exhibit_path(folder, finding.name, finding.until)), default=None)


def cure(finding: Finding, run: Run) -> str:
    """The command that trains anew with the proposed change; empty if no option can do it."""
    config, data = run.config, run.config["data"]
    if data["options"].get("clusters_of"):  # what the run was given may be gone, what it keeps is here
        config = config | {"data": data | {"options": asdict(run.data_options)}}
    try:
        return command_for(finding.change, config)
    except OrganzaError:  # the recipe is no longer where it was
        return ""
