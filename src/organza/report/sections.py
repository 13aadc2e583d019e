"""The parts of the page as HTML. Whatever came from outside goes through `safe`."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from organza.data.spec import ImageSpec, Spec
from organza.pictures import picture
from organza.report.charts import Chart
from organza.report.film import Film, thumbnail_uri
from organza.report.neighbours import Neighbours
from organza.report.timeline import Row, duration, human, last

ICONS = (
    '<svg class="start" viewBox="0 0 24 24" aria-hidden="true"><path d="M7 4.5v15l13-7.5z"/></svg>'
    '<svg class="pause" viewBox="0 0 24 24" aria-hidden="true"><path d="M6 5h4.5v14H6zm7.5 0H18v14h-4.5z"/></svg>'
)
KEY = (
    '<p class="key"><b class="is-fake">Fake</b> <b class="is-real">Nearest training image</b> '
    "<span>and the distance between them</span></p>"
)
TEXT = {True: "yes", False: "no", None: "–"}


def safe(value: object) -> str:
    """Text for HTML, inside elements and attributes alike."""
    return html.escape(str(value), quote=True)


def missing(text: str) -> str:
    """A box that says what is not there."""
    return f'<p class="missing">{safe(text)}</p>'


def facts(rows: Sequence[Row]) -> str:
    """Length, time and speed of the run, and the newest distance."""
    samples, seconds, epoch = last(rows, "samples"), last(rows, "time_s"), last(rows, "epoch")
    speed = samples / seconds if samples and seconds else last(rows, "samples_per_s")
    entries = [
        ("Real samples seen", human(samples), f"{human(epoch)} passes over the data" if epoch is not None else ""),
        ("Training time", duration(seconds), ""),
        ("Samples per second", human(None if speed is None else round(speed, 1)), "on average"),
        ("Steps", human(last(rows, "step")), ""),
    ]
    measured = last(rows, "distance")
    if measured is not None:
        entries.append(("Distance to real data", human(measured), "sliced Wasserstein"))
    smaller = [f"<small>{safe(more)}</small>" if more and value != "–" else "" for _, value, more in entries]
    return "".join(
        f"<div><dt>{name}</dt><dd>{safe(value)}{small}</dd></div>"
        for (name, value, _), small in zip(entries, smaller, strict=True)
    )


def notices(rows: Sequence[Row]) -> str:
    """What went wrong on the way: refused steps."""
    refused = [row["failed"] for row in rows if isinstance(row, dict) and row.get("failed")]
    if not refused:
        return ""
    steps = "1 step was" if len(refused) == 1 else f"{len(refused):,} steps were"
    return (
        f'<aside class="notice" role="note"><p><strong>{steps} refused</strong> because of non-finite numbers; '
        f"the weights stayed as they were. The last: <code>{safe(refused[-1])}</code></p></aside>"
    )


def film_section(film: Film, real: str | None, spec: Spec) -> str:
    """The newest samples with a slider over all of them, and real data beside."""
    is_image = isinstance(spec, ImageSpec)
    if film.frames:
        kept = film.frames[-1]
        pixel = " pixel" if film.size[0] <= 280 else ""
        fakes = (
            f'<img class="screen{pixel}" id="screen" src="{kept.uri}" width="{film.size[0]}" height="{film.size[1]}" '
            f'alt="Samples of the generator after {kept.samples:,} samples">'
        )
    else:
        fakes = missing("There are no sample pictures yet: samples/ is empty.")
    truth = (
        f'<img class="screen" src="{real}" width="{film.size[0]}" height="{film.size[1]}" alt="Real samples">'
        if real
        else missing("real.png is missing, so there is nothing to compare with.")
    )
    note = "from the same latents throughout" if is_image else "purple, over real points in pale green"
    told = "real.png, in the same layout" if is_image else "the data alone, on the same axes"
    return (
        f'<p class="lede">{lede_of(film)}</p><div class="screens">'
        f'<figure class="is-fake"><figcaption><b>Fakes</b> {note}</figcaption>{fakes}</figure>'
        f'<figure class="is-real"><figcaption><b>Real</b> {told}</figcaption>{truth}</figure></div>{player(film)}'
    )


def lede_of(film: Film) -> str:
    """What the film shows, and what it leaves out."""
    count = len(film.frames)
    if count < 2:
        return "What the generator makes, beside real data."
    shown = f"{count} of {film.total:,} pictures, evenly picked" if film.total > count else f"all {count} pictures"
    copies = "; lighter copies, the exact ones are in samples/" if film.is_recoded else ""
    return (
        f"How the generator learned, from its first attempts to its last ({shown}{copies}). "
        "Look for variety as well as for detail."
    )


def player(film: Film) -> str:
    """Play button, slider and readout; nothing for a single frame."""
    if len(film.frames) < 2:
        return ""
    newest = len(film.frames) - 1
    return (
        '<div class="player"><button class="play" id="play" type="button" aria-pressed="false" '
        f'aria-label="Play the film">{ICONS}</button>'
        f'<input id="slider" type="range" min="0" max="{newest}" value="{newest}" step="1" aria-label="Moment of the run">'
        f'<output id="readout" for="slider">{film.frames[-1].samples:,} samples</output></div>'
        '<p class="hint"><kbd>←</kbd> <kbd>→</kbd> step through it. '
        "A click into a curve below jumps to that moment.</p>"
    )


def neighbours_section(found: Neighbours | str, spec: ImageSpec) -> str:
    """Each fake beside its nearest training image; a text says why there are none."""
    title = '<section aria-labelledby="near-title"><h2 id="near-title">New, or copied?</h2>'
    if isinstance(found, str):
        return f"{title}{missing(found)}</section>"
    limit = found.baseline.min() if len(found.baseline) else 0.0
    near = found.distances < limit if len(found.baseline) else found.distances == 0
    pairs = "".join(pair(found, index, bool(near[index]), spec) for index in range(len(found.fakes)))
    return f'{title}{neighbours_text(found, near)}{KEY}<ul class="pairs">{pairs}</ul></section>'


def neighbours_text(found: Neighbours, near: np.ndarray) -> str:
    """What the distances say, and what they cannot say."""
    part = (
        f"All {found.total:,}" if found.searched == found.total else f"A random {found.searched:,} of {found.total:,}"
    )
    text = (
        "Each fake and the training image that differs least from it, pixel by pixel: a generator that copies shows the "
        f"same picture twice. {part} training images were searched."
    )
    findings = ""
    count, typical = len(found.fakes), float(np.median(found.distances))
    if len(found.baseline):
        usual, least = float(np.median(found.baseline)), float(found.baseline.min())
        findings += (
            f"A real image is typically {human(usual)} away from the nearest other real image (the median over "
            f"{len(found.baseline)} of them), these fakes {human(typical)} from theirs. "
        )
        findings += (
            f"{near.sum()} of {count} lie closer than the closest of those real pairs ({human(least)}): they are marked. "
            if near.any()
            else f"None lies closer than the closest of those real pairs ({human(least)}): no sign of copying in these. "
        )
    return f'<p class="lede">{text}</p><p class="finding">{findings}{variety(found)}</p>'


def variety(found: Neighbours) -> str:
    """Whether the fakes differ from one another as real images do."""
    if not found.real_spread or len(found.fakes) < 2:
        return ""
    ratio = found.fake_spread / found.real_spread
    told = "further apart than real images, as noise is"
    if ratio < 0.5:
        told = "much more alike than real images, a sign of mode collapse"
    elif ratio < 0.85:
        told = "more alike than real images"
    elif ratio < 1.2:
        told = "about as varied as real images"
    return (
        f"Two of these fakes differ by {human(found.fake_spread)} on average, two real images by "
        f"{human(found.real_spread)}: the fakes are {told}."
    )


def pair(found: Neighbours, index: int, is_near: bool, spec: ImageSpec) -> str:
    """One fake and, below it, its neighbour."""
    pixel = ' class="pixel"' if max(spec.height, spec.width) <= 80 else ""
    label = int(found.labels[index]) if found.labels is not None else -1
    name = f", class {safe(spec.classes[label])}" if 0 <= label < spec.num_classes else ""
    fake, real = (thumbnail_uri(picture(images[index])) for images in (found.fakes, found.real))
    return (
        f'<li class="pair"><img{pixel} src="{fake}" alt="Fake {index + 1}">'
        f'<img{pixel} src="{real}" alt="Training image {found.indices[index]:,}{name}">'
        f"<p><b>{human(float(found.distances[index]))}</b>{' <em>very close</em>' if is_near else ''}"
        f"<span>no. {found.indices[index]:,}{name}</span></p></li>"
    )


def curves(charts: Sequence[Chart]) -> str:
    """A card per chart; page.js draws into it."""
    if not charts:
        return missing("metrics.jsonl holds no numbers yet, so there are no curves.")
    cards = "".join(card(index, chart) for index, chart in enumerate(charts))
    return (
        '<p class="lede">All curves share one axis: real samples seen. Point at one, or focus it and press the arrow '
        "keys, to read every chart at that moment; the dashed line is the picture that the film shows.</p>"
        f"<noscript>{missing('The curves need JavaScript. Their numbers are in metrics.jsonl.')}</noscript>"
        f'<div class="charts">{cards}</div>'
    )


def card(index: int, chart: Chart) -> str:
    """Title, legend, plot and how to read it."""
    newest = [next((value for value in reversed(line.values) if value is not None), None) for line in chart.series]
    ends = list(zip(chart.series, newest, strict=True))
    legend = "".join(
        f'<li class="c-{line.colour}"><i aria-hidden="true"></i>{safe(line.label)} <b>{human(end)}</b></li>'
        for line, end in ends
    )
    summary = f"{chart.title}. At the end: " + ", ".join(f"{line.label} {human(end)}" for line, end in ends)
    note = f'<p class="note">{safe(chart.note)}</p>' if chart.note else ""
    return (
        f'<article class="chart" aria-labelledby="chart-{index}"><header><h3 id="chart-{index}">{safe(chart.title)}</h3>'
        f'<span class="where">at the end</span></header><ul class="legend">{legend}</ul>'
        f'<svg class="plot" role="img" tabindex="0" aria-label="{safe(summary)}"></svg>'
        f'<span class="hidden" aria-live="polite"></span><p>{safe(chart.reading)}</p>{note}</article>'
    )


def commands(folder: str) -> str:
    """How to go on, start from here, and make samples; `folder` is quoted for the shell."""
    entries = [
        (
            "Make new samples",
            "A grid of 64; the seed decides which.",
            f"organza generate {folder} --count 64 --seed 0 --out samples.png",
        ),
        (
            "Walk through the latents",
            "A film in which samples turn into one another.",
            f"organza generate {folder} --out walk.gif",
        ),
        (
            "Go on after an interruption",
            "As if it had never stopped; a finished run stays as it is.",
            f"organza resume {folder}",
        ),
        (
            "Fine-tune on other data",
            "A new run that begins with these weights.",
            f"organza finetune {folder} --data ./my-images",
        ),
    ]
    return "".join(
        f'<div class="command"><h3>{title}</h3><p>{told}</p><div class="code"><code>{words(line)}</code>'
        f'<button class="copy" type="button" aria-label="Copy: {title}">Copy</button></div></div>'
        for title, told, line in entries
    )


def words(line: str) -> str:
    """A command whose options are not broken over two lines."""
    return " ".join(f"<span>{safe(word)}</span>" for word in line.split(" "))


def config_tables(config: dict[str, Any]) -> str:
    """A table per part of run.json."""
    recipe, data = (part if isinstance(part := config.get(name), dict) else {} for name in ("recipe", "data"))
    fields, options = (part if isinstance(part, dict) else {} for part in (recipe.get("fields"), data.get("options")))
    groups: list[tuple[str, dict[str, Any]]] = [
        ("Recipe", {"name": recipe.get("name"), "preset": recipe.get("preset"), **fields}),
        ("Data", {"source": data.get("source"), **as_group(config, "spec"), **options}),
        ("Run", as_group(config, "settings")),
        ("Versions", {**as_group(config, "versions"), "created": config.get("created")}),
    ]
    tables = [table(title, group) for title, group in groups if any(value is not None for value in group.values())]
    return f'<div class="config">{"".join(tables)}</div>' if tables else missing("run.json is empty or missing.")


def as_group(config: dict[str, Any], name: str) -> dict[str, Any]:
    """A part of run.json, empty where it is missing."""
    part = config.get(name)
    return part if isinstance(part, dict) else {}


def table(title: str, group: dict[str, Any]) -> str:
    """Names and values."""
    lines = "".join(
        f'<tr><th scope="row">{safe(str(key).replace("_", " "))}</th><td>{safe(plain(value))}</td></tr>'
        for key, value in group.items()
    )
    return f"<table><caption>{title}</caption><tbody>{lines}</tbody></table>"


def plain(value: object) -> str:
    """A value of run.json as people write it."""
    if value is None or isinstance(value, bool):
        return TEXT[value]
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(entry) for entry in value) or "–"
    return str(value)
