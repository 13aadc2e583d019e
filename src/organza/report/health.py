"""What the doctor found, as a section of the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from organza.doctor.finding import Evidence, Finding
from organza.doctor.visit import newest_exhibit
from organza.report.film import picture_uri
from organza.report.sections import safe
from organza.report.timeline import human

LOWER = {"memorisation": "the training sample nearest to each", "sameness": "the other fake most like each"}
"""What the lower half of a picture shows, where it is not just real samples."""


def health_section(
    findings: Sequence[tuple[Finding, str]], folder: Path, interventions: Sequence[dict[str, Any]] = (), told: str = ""
) -> str:
    """Each finding with its evidence and the command that tries the change; empty if there is nothing to tell.

    Args:
        findings: Likeliest cause first, each with its command, which may be empty.
        folder: The run folder, which may hold a picture of each.
        interventions: Changes that the run went through.
        told: The doctor's line on a run without findings.
    """
    if not findings and not interventions and not told:
        return ""
    entries = "".join(treated(intervention) for intervention in interventions) + "".join(
        entry(finding, command, newest_exhibit(folder, finding)) for finding, command in findings
    )
    lede = f"{safe(sentence(told or 'nothing now'))}. Look at the samples, and score them."
    if findings:
        lede = "The likeliest cause comes first; what follows may be its consequence. Try one change at a time."
    return (
        '<section aria-labelledby="health-title"><h2 id="health-title">What the doctor found</h2>'
        f'<p class="lede">{lede}</p>{entries}</section>'
    )


def treated(intervention: dict[str, Any]) -> str:
    """One change that the run went through."""
    words = ", ".join(f"{name} = {value}" for name, value in intervention["fields"].items())
    return (
        f'<article class="finding"><h3>Treated: {safe(str(intervention["reason"]).removeprefix("doctor: "))}</h3>'
        f"<p>The run went back to {intervention['samples']:,} samples, and on with {safe(words)}.</p></article>"
    )


def entry(finding: Finding, command: str, picture: Path | None) -> str:
    """One finding."""
    uri = picture_uri(picture) if picture else None
    below = LOWER.get(finding.name, "real samples")
    shown = (
        f'<figure><img src="{uri}" alt="Samples when it was found"><figcaption>The samples when it was found: fakes in '
        f"the upper half, {below} in the lower; of points, fakes over real ones.</figcaption></figure>"
        if uri
        else ""
    )
    rows = "".join(measured(evidence) for evidence in finding.evidence)
    code = (
        f'<div class="code"><code>{safe(command)}</code>'
        '<button class="copy" type="button" aria-label="Copy the command">Copy</button></div>'
        if command
        else ""
    )
    return (
        f'<article class="finding {finding.level}"><h3>{safe(sentence(finding.title))}</h3>'
        f"<p>Since {finding.since:,} samples. {safe(finding.why)}</p>"
        "<table><thead><tr><th>Measured</th><th>Value</th><th>Limit</th><th>Healthy</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{shown}"
        f"<p><strong>Try:</strong> {safe(finding.change.words())}.</p>{code}</article>"
    )


def measured(evidence: Evidence) -> str:
    """A row of numbers."""
    return (
        f'<tr><th scope="row">{safe(evidence.name)}</th><td>{human(evidence.value)}</td>'
        f"<td>{human(evidence.threshold)}</td><td>{safe(evidence.healthy)}</td></tr>"
    )


def sentence(text: str) -> str:
    """With a capital."""
    return text[:1].upper() + text[1:]
