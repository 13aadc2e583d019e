"""The parts of the page as HTML. Whatever came from outside goes through `safe`."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from organza.data.spec import ImageSpec, Spec
from organza.report.charts import Chart
from organza.report.film import Film
from organza.report.timeline import Row, duration, human, last

ICONS = (
    '<svg class="start" viewBox="0 0 24 24" aria-hidden="true"><path d="M7 4.5v15l13-7.5z"/></svg>'
    '<svg class="pause" viewBox="0 0 24 24" aria-hidden="true"><path d="M6 5h4.5v14H6zm7.5 0H18v14h-4.5z"/></svg>'
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
    if spec.has_source:
        note = "each after the image that it is made from, and before the truth where that is known"
        told = "real.png, of the kind that is to be made"
    shows_truth = isinstance(spec, ImageSpec) and spec.source is not None and spec.is_paired
    beside = f'<figure class="is-real"><figcaption><b>Real</b> {told}</figcaption>{truth}</figure>'
    return (
        f'<p class="lede">{lede_of(film, is_image=is_image)}</p><div class="screens{" is-one" * shows_truth}">'
        f'<figure class="is-fake"><figcaption><b>Fakes</b> {note}</figcaption>{fakes}</figure>'
        f"{beside * (not shows_truth)}{player(film)}</div>"
    )


def lede_of(film: Film, *, is_image: bool) -> str:
    """What the film shows, and what it leaves out."""
    count = len(film.frames)
    if count < 2:
        return "What the generator makes, beside real data."
    shown = f"{count} of {film.total:,} pictures, evenly picked" if film.total > count else f"all {count} pictures"
    copies = "; lighter copies, the exact ones are in samples/" if film.is_recoded else ""
    advice = (
        "Look for variety as well as for detail." if is_image else "Look whether every part of the data is reached."
    )
    return f"How the generator learned, from its first attempts to its last ({shown}{copies}). {advice}"


def player(film: Film) -> str:
    """Play button, slider and readout; nothing for a single frame."""
    if len(film.frames) < 2:
        return ""
    newest = len(film.frames) - 1
    return (
        '<div class="controls"><div class="player"><button class="play" id="play" type="button" aria-pressed="false" '
        f'aria-label="Play the film">{ICONS}</button>'
        f'<input id="slider" type="range" min="0" max="{newest}" value="{newest}" aria-label="Moment of the run">'
        f'<output id="readout" for="slider">{film.frames[-1].samples:,} samples</output></div>'
        '<p class="hint"><kbd>←</kbd> <kbd>→</kbd> step through it. '
        "A click into a curve below jumps to that moment.</p></div>"
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
        f'<article class="chart" aria-labelledby="chart-{index}">'
        f'<header><h3 id="chart-{index}">{safe(chart.title)}</h3><span class="where">at the end</span></header>'
        f'<ul class="legend">{legend}</ul><svg class="plot" role="img" tabindex="0" aria-label="{safe(summary)}"></svg>'
        f'<span class="hidden" aria-live="polite"></span><p>{safe(chart.reading)}</p>{note}</article>'
    )


def commands(folder: str, spec: Spec, *, reverses: bool, more: str) -> str:
    """How to make samples, go on (`more`: for as long again), and start from here; `folder` is quoted for the shell."""
    entries = [
        (
            "Make new samples",
            "64 of them in one picture; the seed decides which.",
            f"organza generate {folder} --count 64 --seed 0 --out samples.png",
        ),
        (
            "Walk through the latents",
            "A film in which samples turn into one another.",
            f"organza generate {folder} --out walk.gif",
        ),
        (
            "Go on after an interruption",
            "As if it had never stopped.",
            f"organza resume {folder}",
        ),
        *([("Train it for longer once it is finished", "What it has had counts.", more)] if more else []),
        (
            "Fine-tune on other data",
            "A new run that begins with these weights.",
            f"organza finetune {folder} --data ./my-images",
        ),
    ]
    if spec.has_source:
        entries[:2] = [
            (
                "Apply it to images",
                "A file, a folder or a film; images keep their sizes, or grow by the factor that was learned.",
                f"organza apply {folder} ./my-images ./out",
            )
        ]
        if reverses:
            back = "The same from targets to sources."
            entries.insert(1, ("Apply it the other way round", back, f"{entries[0][2]} --reverse"))
    elif not isinstance(spec, ImageSpec):
        del entries[1]
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
    settings = {key: value for key, value in as_group(config, "settings").items() if key != "webhook"}  # a secret
    because = {"why": "; ".join(why)} if (why := recipe.get("why")) else {}
    groups: list[tuple[str, dict[str, Any]]] = [
        ("Recipe", {"name": recipe.get("name"), "preset": recipe.get("preset"), **because, **fields}),
        ("Data", {"source": data.get("source"), **options}),
        ("One sample", as_group(config, "spec")),
        ("Run", settings),
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
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(entry) for entry in value) or "–"
    return str(value)
