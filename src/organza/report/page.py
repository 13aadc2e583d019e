"""The report page: one HTML file without any outside reference, written once the run has ended, or while it goes on."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from organza import __version__
from organza.data.source import Batch, Source
from organza.data.spec import ImageSpec, Spec
from organza.doctor.finding import Finding
from organza.doctor.history import History
from organza.doctor.visit import summary
from organza.errors import OrganzaError
from organza.pictures import save_aside
from organza.report import sections
from organza.report.charts import Chart, charts
from organza.report.film import Film, picture_uri, read_film
from organza.report.gallery import neighbours_section, results_section, tour_section
from organza.report.health import health_section, sentence
from organza.report.neighbours import Neighbours, find_neighbours
from organza.report.objective import objective_of
from organza.report.timeline import Row, human, last, number, timeline
from organza.report.verdict import Verdict, judge, judge_distance

MOST_REMOTE = 1.5
"""So many times the usual distance between real images is plainly not close to the data (our threshold)."""


def write_report(
    folder: Path,
    *,
    config: dict[str, Any],
    rows: list[Row],
    spec: Spec,
    source: Source | None,
    fakes: Batch | None,
    given: Batch | None = None,
    reverses: bool = False,
    more: str = "",
    findings: Sequence[tuple[Finding, str]] = (),
) -> Path:
    """Write report.html into a run folder. What the run does not have is named on the page; nothing is an error.

    Args:
        folder: The run folder; samples/ and real.png are read from it.
        config: The contents of run.json.
        rows: The rows of metrics.jsonl.
        spec: What the data promised.
        source: The training data, to look for copies in; None: that section says so.
        fakes: New samples in network range; the first 16 are shown. None: as for `source`.
        given: What the fakes were made of, under `source`, and what they should be, under `image`; None: of noise.
        reverses: Whether the model also makes sources of images.
        more: The command that lets the run go on for as long again; empty: the page names none.
        findings: What the doctor found, likeliest cause first, each with the command that tries its change.

    Returns:
        The path of the page.

    Raises:
        OSError: The page could not be written.
    """
    interventions = config.get("interventions", [])
    for treated in interventions:
        recipe = sections.as_group(config, "recipe")
        fields = {**sections.as_group(recipe, "fields"), **treated["fields"]}
        config = config | {"recipe": recipe | {"fields": fields}}
    course = timeline(rows)
    objective = objective_of(config, course)
    verdict, curves = judge(course, objective), charts(course, objective)
    if findings and findings[0][0].level == "error":
        verdict = Verdict(sentence(findings[0][0].title), findings[0][0].why.rstrip("."), "alarm")
    elif verdict.tone == "alarm" and not rows[-1].get("failed") and any("health/spread" in row for row in rows):
        verdict = replace(verdict, tone="watch")  # the doctor has looked at more than the scores
    seen = History(rows, config)
    found = compare(fakes, source, spec) if isinstance(spec, ImageSpec) else None
    far = remote(found)
    film = read_film(folder / "samples")
    name = heading(config, folder)
    slots = {
        "version": __version__,
        "title": sections.safe(f"{name} · organza"),
        "heading": sections.safe(name),
        "tone": "watch" if far and verdict.tone == "calm" else verdict.tone,
        "headline": sections.safe(verdict.headline),
        "reason": sections.safe(verdict.reason),
        "remarks": remarks(course, far),
        "facts": sections.facts(course),
        "notices": sections.notices(rows),
        "health": health_section(findings, folder, interventions, told=summary([], seen) if seen.exams else ""),
        "film": sections.film_section(film, picture_uri(folder / "real.png"), spec),
        "results": results_section(given, fakes, spec),
        "tour": tour_section(folder / "tour"),
        "neighbours": neighbours_section(found, spec) if found is not None and isinstance(spec, ImageSpec) else "",
        "curves": sections.curves(curves),
        "commands": sections.commands(shell_path(folder), spec, reverses=reverses, more=more),
        "config": sections.config_tables(config),
        "footer": footer(folder, config),
        "data": embedded(course, film, curves, source),
        "css": part("page.css"),
        "js": part("page.js"),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda slot: slots[slot[1]], part("page.html"))
    path = folder / "report.html"
    save_aside(path, lambda aside: aside.write_bytes(page.encode("utf-8", "replace")))
    return path


def part(name: str) -> str:
    """A hand-written part of the page."""
    return (files("organza.report") / name).read_text(encoding="utf-8")


def heading(config: dict[str, Any], folder: Path) -> str:
    """`dcgan:fast on mnist`, or the name of the folder."""
    recipe, data = sections.as_group(config, "recipe"), sections.as_group(config, "data")
    if not recipe.get("name"):
        return folder.resolve().name
    preset = f":{recipe['preset']}" if recipe.get("preset") else ""
    return f"{recipe['name']}{preset}" + (f" on {data['source']}" if data.get("source") else "")


def remarks(course: Sequence[Row], far: str) -> str:
    """What else the numbers say, and what they do not."""
    lines = [judge_distance(course), far]
    progress = last(course, "progress")
    if progress is not None and progress < 0.95:
        lines.append(f"The numbers cover {progress:.0%} of the run's budget.")
    if course:
        lines.append("Balance is not quality: how good the samples look, only the film can tell.")
    text = " ".join(filter(None, lines))
    return f'<p class="remark">{sections.safe(text)}</p>' if text else ""


def remote(found: Neighbours | str | None) -> str:
    """A sentence if the fakes are plainly far from the data; else empty."""
    times = found.remoteness if isinstance(found, Neighbours) else None
    if times is None or times <= MOST_REMOTE:
        return ""
    ratio = human(times, digits=2)
    return f"The fakes are not close to the data yet: {ratio} times as far as real images from one another."


def compare(fakes: Batch | None, source: Source | None, spec: ImageSpec) -> Neighbours | str:
    """The nearest training images, or why there are none."""
    if fakes is None or "image" not in fakes or len(fakes["image"]) == 0:
        return "No new samples were made for this page, so none could be compared with the training data."
    if source is None or len(source) == 0:
        return "The training data was not at hand when this page was written, so it was not searched for copies."
    try:
        return find_neighbours(fakes, source, spec)
    except (OSError, OrganzaError) as error:
        return f"The training data could not be searched for copies: {error}"


def shell_path(folder: Path) -> str:
    """The run folder as one types it: relative to the current folder where it lies below it."""
    whole, here = folder.resolve(), Path.cwd().resolve()
    return shlex.quote(str(whole.relative_to(here) if whole.is_relative_to(here) and whole != here else whole))


def footer(folder: Path, config: dict[str, Any]) -> str:
    """Who wrote the page, about which run."""
    versions = sections.as_group(config, "versions")
    told = [f"trained with organza {versions['organza']}"] if versions.get("organza") else []
    told += [f"{name} {versions[name]}" for name in ("torch", "python") if versions.get(name)]
    told += [f"started {config['created']}"] if config.get("created") else []
    line = " · ".join([folder.resolve().name, *told, f"page written by organza {__version__}"])
    return f"<p>{sections.safe(line)}</p>"


def embedded(course: Sequence[Row], film: Film, curves: Sequence[Chart], source: Source | None) -> str:
    """What page.js reads, as JSON that cannot end its script element."""
    samples, epoch = last(course, "samples"), last(course, "epoch")
    epoch_size = len(source) if source is not None else (samples or 0) / epoch if epoch else 0
    data = {
        "film": [[frame.samples, frame.uri] for frame in film.frames],
        "charts": [rounded(chart.as_json()) for chart in curves],
        "last": samples or 0,
        "epoch_size": epoch_size,
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def rounded(value: Any) -> Any:
    """The same with floats cut to six digits, more than a screen can show."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(entry) for entry in value]
    return number(float(f"{value:.6g}")) if isinstance(value, float) else value
