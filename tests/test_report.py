import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

import organza
from organza import pictures
from organza.data.memory import MemorySource
from organza.data.source import decode
from organza.data.spec import ImageSpec, VectorSpec
from organza.report import write_report
from organza.report.charts import charts, robust_range
from organza.report.film import pick_evenly, read_film
from organza.report.gallery import neighbours_text
from organza.report.neighbours import find_neighbours
from organza.report.objective import OBJECTIVES, UNKNOWN, objective_of
from organza.report.timeline import duration, ending, human, number, timeline
from organza.report.verdict import judge, judge_distance

SPEC = ImageSpec(classes=("cat", "dog"), channels=1, height=8, width=8)
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=\"alert('&')\">"


@pytest.fixture
def source() -> MemorySource:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (300, 1, 8, 8), dtype=np.uint8))
    return MemorySource({"image": images, "label": torch.arange(300) % 2}, name="noise", spec=SPEC)


def rows_of(count: int = 40, **values: float) -> list[dict]:
    usual = {"d_real": 0.6, "d_fake": 0.4, "real_accuracy": 0.7, "fake_accuracy": 0.7, "time_s": 12.5, "epoch": 0.5}
    terms = {"loss/critic/nonsaturating": 1.2, "loss/generator/nonsaturating": 0.9, "grad_norm/critic": 0.3}
    return [{"samples": 100 * (step + 1), "step": 10 * (step + 1)} | usual | terms | values for step in range(count)]


def frames_into(folder: Path, samples: list[int]) -> None:
    (folder / "samples").mkdir(parents=True)
    for index, seen in enumerate(samples):
        image = np.full((4, 8, 8, 1), index, np.uint8)
        pictures.save_png(pictures.grid(image, columns=2), folder / "samples" / f"{seen:09d}.png", metadata={})


class Page(HTMLParser):
    """What a browser would see: elements, loads and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.parts: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data):
        self.parts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.parts).split())

    @property
    def data(self) -> dict:
        return json.loads(re.search(r'id="data">(.*?)</script>', self.source, re.S)[1])

    def tags(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag == name]


def page_of(folder: Path, **given) -> Page:
    folder.mkdir(parents=True, exist_ok=True)
    usual = {"config": {}, "rows": [], "spec": SPEC, "source": None, "fakes": None}
    path = write_report(folder, **usual | given)
    assert path == folder / "report.html"
    assert not list(folder.glob("*.tmp")) + list(folder.glob(".*"))
    return Page(path)


def test_the_page_needs_nothing_but_itself(tmp_path, source):
    frames_into(tmp_path, [100, 200, 300])
    fakes = decode(source.read(np.arange(16)), SPEC)
    page = page_of(tmp_path, rows=rows_of(), source=source, fakes=fakes)
    for tag, attributes in page.elements:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(key, "").startswith(("data:", "#", "")), (tag, attributes)
            assert "//" not in attributes.get(key, "").partition("base64,")[0], (tag, attributes)
    assert not page.tags("link")
    assert "@import" not in page.source
    assert "url(http" not in page.source
    policy = next(meta["content"] for meta in page.tags("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_every_picture_and_control_has_words(tmp_path, source):
    frames_into(tmp_path, [100, 200])
    page = page_of(tmp_path, rows=rows_of(), source=source, fakes=decode(source.read(np.arange(16)), SPEC))
    assert all(image["alt"] for image in page.tags("img"))
    assert all(entry["aria-label"] for entry in page.tags("input") + page.tags("button"))
    plots = [plot for plot in page.tags("svg") if plot.get("class") == "plot"]
    assert len(plots) == len(page.data["charts"]) > 3
    assert all(plot["aria-label"] and plot["tabindex"] == "0" for plot in plots)


def test_hostile_names_stay_text(tmp_path):
    config = {
        "recipe": {"name": HOSTILE, "preset": HOSTILE, "fields": {HOSTILE: HOSTILE, "list": [HOSTILE]}},
        "data": {"source": HOSTILE, "options": {"resize": HOSTILE}},
        "versions": {"organza": HOSTILE},
    }
    rows = [*rows_of(**{f"loss/{HOSTILE}/{HOSTILE}": 1.0}), {"samples": 9999, "failed": HOSTILE}]
    spec = ImageSpec(classes=(HOSTILE,), channels=1, height=8, width=8)
    images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    source = MemorySource({"image": images, "label": torch.zeros(3, dtype=torch.int64)}, name=HOSTILE, spec=spec)
    folder = tmp_path / "0001-<b>&'x'"
    page = page_of(folder, config=config, rows=rows, spec=spec, source=source, fakes=decode({"image": images}, spec))
    assert len(page.tags("script")) == 2
    assert all("onerror" not in attributes for _, attributes in page.elements)
    assert HOSTILE in " ".join(page.parts)
    assert "'x'" in page.text


@pytest.mark.parametrize("spec", [SPEC, VectorSpec()])
def test_an_empty_run_is_described_by_what_is_missing(tmp_path, spec):
    page = page_of(tmp_path, spec=spec)
    assert "Nothing to judge yet" in page.text
    assert "no sample pictures yet" in page.text
    assert "real.png is missing" in page.text
    assert "no numbers yet" in page.text
    assert ("New, or copied?" in page.text) == isinstance(spec, ImageSpec)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"samples": None},
        {"samples": "nan", "d_real": 0.5},
        {"samples": 100, "d_real": "nan", "d_fake": None, "loss/critic/a": "inf", "grad_norm/critic": "-inf"},
        {"samples": 100, "loss/critic/a": float("nan"), "lr/critic": float("inf"), "real_accuracy": 10**400},
        {"samples": 100, "grad_norm/critic": 0.0, "samples_per_s": 0, "time_s": 0, "epoch": 0},
        {"samples": 100, "failed": "turn 'critic' refused: nan"},
    ],
)
def test_half_written_rows_make_a_page(tmp_path, row):
    page = page_of(tmp_path, rows=[row])
    assert page.data["film"] == []
    page_of(tmp_path, rows=[*rows_of(3), row])


def test_damaged_pictures_are_left_out(tmp_path):
    frames_into(tmp_path, [100, 200, 300])
    whole = (tmp_path / "samples" / "000000200.png").read_bytes()
    (tmp_path / "samples" / "000000200.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "samples" / "000000400.png").write_bytes(b"")
    (tmp_path / "samples" / "notes.png").write_bytes(whole)
    (tmp_path / "real.png").write_bytes(b"no picture")
    page = page_of(tmp_path)
    assert [samples for samples, _ in page.data["film"]] == [100, 300]
    assert "real.png is missing" in page.text


def test_the_film_is_in_order_and_keeps_its_ends(tmp_path):
    samples = [5, 40, 300, 2000, 10000, 2_000_000_000]
    frames_into(tmp_path, samples)
    film = page_of(tmp_path).data["film"]
    assert [seen for seen, _ in film] == samples
    assert len({uri for _, uri in film}) == len(samples)


def test_a_long_film_is_thinned_evenly(tmp_path):
    frames_into(tmp_path, list(range(100, 20_100, 100)))
    film = read_film(tmp_path / "samples")
    seen = [frame.samples for frame in film.frames]
    assert (len(seen), film.total) == (60, 200)
    assert (seen[0], seen[-1]) == (100, 20_000)
    assert set(np.diff(seen)) == {300, 400}


def test_a_heavy_film_is_embedded_lighter(tmp_path):
    noise = np.random.default_rng(0)
    (tmp_path / "samples").mkdir()
    for index in range(20):
        image = noise.integers(0, 256, (1, 260, 260, 3), dtype=np.uint8)
        pictures.save_png(pictures.grid(image), tmp_path / "samples" / f"{index:09d}.png", metadata={})
    film = read_film(tmp_path / "samples")
    assert film.is_recoded
    assert (film.frames[0].samples, film.frames[-1].samples) == (0, 19)
    assert all(frame.uri.startswith("data:image/jpeg;base64,") for frame in film.frames)
    assert sum(len(frame.uri) for frame in film.frames) < 3_200_000


@pytest.mark.parametrize(("count", "most"), [(0, 60), (1, 60), (60, 60), (61, 60), (1000, 16)])
def test_picking_evenly_never_repeats(count, most):
    picked = pick_evenly(range(count), most)
    assert len(picked) == min(count, most)
    assert sorted(set(picked)) == picked


@pytest.mark.parametrize("bits", [8, 16])
def test_the_nearest_neighbour_of_an_exact_copy_is_itself_at_distance_zero(bits):
    spec = ImageSpec(channels=3, height=6, width=5, bits=bits)
    dtype = np.uint8 if bits == 8 else np.uint16
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 2**bits, (200, 3, 6, 5)).astype(dtype))
    source = MemorySource({"image": images}, name="noise", spec=spec)
    copied = np.array([7, 199, 0, 42])
    found = find_neighbours(decode(source.read(copied), spec), source, spec)
    assert found.indices.tolist() == copied.tolist()
    assert found.distances.tolist() == [0.0] * 4
    np.testing.assert_array_equal(found.fakes, found.real)
    assert found.searched == found.total == 200
    assert found.labels is None


def test_neighbours_agree_with_the_definition(source):
    fakes = {"image": torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1}
    found = find_neighbours(fakes, source, SPEC)
    real = source.read(np.arange(300))["image"].double().flatten(1) / 255
    shown = torch.from_numpy(found.fakes).permute(0, 3, 1, 2).double().flatten(1) / 255
    low, where = torch.cdist(shown, real).min(dim=1)
    assert found.indices.tolist() == where.tolist()
    np.testing.assert_allclose(found.distances, low.numpy(), rtol=1e-5)
    assert found.labels.tolist() == (where % 2).tolist()
    between = torch.cdist(real, real).fill_diagonal_(torch.inf).min(dim=1).values
    assert set(found.baseline.round(4)) <= set(between.numpy().astype(np.float32).round(4))
    assert found.fake_spread == pytest.approx(float(torch.nn.functional.pdist(shown).mean()), rel=1e-5)


def test_a_search_that_runs_out_of_time_says_how_far_it_came(tmp_path, source):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (70_000, 1, 8, 8), dtype=np.uint8))
    large = MemorySource({"image": images}, name="large", spec=SPEC)
    found = find_neighbours(decode(large.read(np.arange(4)), SPEC), large, SPEC, seconds=0)
    assert 0 < found.searched < found.total == 70_000
    assert f"A random {found.searched:,} of 70,000 training images" in neighbours_text(found, found.distances == 0)
    page = page_of(tmp_path, source=source, fakes=decode(source.read(np.arange(16)), SPEC))
    assert "All 300 training images were searched" in page.text


def test_copies_are_marked_and_new_samples_are_not(tmp_path, source):
    copies = decode(source.read(np.arange(16)), SPEC)
    assert page_of(tmp_path, source=source, fakes=copies).source.count("very close") == 16
    new = {"image": torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1)).round() * 2 - 1}
    page = page_of(tmp_path, source=source, fakes=new)
    assert "very close" not in page.source
    assert "no sign of copying" in page.text


def test_balance_is_not_praised_when_the_fakes_are_far_from_the_data(tmp_path):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 20, (300, 1, 8, 8), dtype=np.uint8))
    source = MemorySource({"image": images}, name="dark", spec=ImageSpec(channels=1, height=8, width=8))
    near = decode({"image": (images[:16] + 3)}, SPEC)
    far = {"image": torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))}
    for fakes, tone in ((near, "calm"), (far, "watch")):
        page = page_of(tmp_path, rows=rows_of(), source=source, fakes=fakes)
        assert "The game is in balance" in page.text
        assert f"verdict {tone}" in page.source
        assert ("not close to the data yet" in page.text) == (tone == "watch")


def test_fakes_that_are_all_alike_are_called_so(tmp_path, source):
    same = {"image": torch.zeros(16, 1, 8, 8)}
    assert "a sign of mode collapse" in page_of(tmp_path, source=source, fakes=same).text


def test_a_single_training_image_and_broken_fakes_are_no_error(tmp_path):
    images = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    source = MemorySource({"image": images, "label": torch.zeros(1, dtype=torch.int64)}, name="one", spec=SPEC)
    page = page_of(tmp_path, source=source, fakes={"image": torch.full((1, 1, 8, 8), torch.nan)})
    assert "All 1 training images were searched" in page.text


@pytest.mark.parametrize("has_truth", [True, False])
def test_results_lie_over_their_sources_and_truths_over_results(tmp_path, has_truth):
    spec = ImageSpec(channels=3, height=16, width=12, source=ImageSpec(channels=4, height=8, width=6))
    given = {"source": torch.full((10, 4, 8, 6), -1.0)} | ({"image": torch.zeros(10, 3, 16, 12)} if has_truth else {})
    fakes = {"image": torch.full((10, 3, 16, 12), torch.nan)}
    page = page_of(tmp_path, spec=spec, fakes=fakes, given=given)
    sliders = [each["aria-label"] for each in page.tags("input") if each["type"] == "range"]
    kinds = ["Source", "Result"] if has_truth else ["Source"]
    assert [label.split()[0] for label in sliders] == kinds * 8
    assert all(each["alt"] for each in page.tags("img"))
    shown = [each["alt"] for each in page.tags("img") if each["alt"].endswith(" 8")]
    assert shown[:4] == (["Source 8", "Result 8", "Result 8", "Truth 8"] if has_truth else ["Source 8", "Result 8"])
    assert ("what it should be" in page.text) == has_truth


def test_what_is_made_of_noise_has_nothing_before_it(tmp_path, source):
    page = page_of(tmp_path, source=source, fakes=decode(source.read(np.arange(16)), SPEC))
    assert "Before and after" not in page.text


def test_scores_beside_truths_are_drawn_over_what_needs_no_model():
    rows = rows_of(3, **{"score/PSNR": 21.0, "baseline/PSNR/copy": 12.5, "score/FD-pixels": 4.0})
    made = {chart.title: chart for chart in charts(rows, UNKNOWN)}
    assert made["Evaluated: PSNR"].marks == [(12.5, "copy")]
    assert "beside its own truth" in made["Evaluated: PSNR"].reading
    assert made["Evaluated: FD-pixels"].marks == []


def test_points_have_no_neighbours_section(tmp_path):
    frames_into(tmp_path, [100])
    source = MemorySource({"vector": torch.randn(50, 2)}, name="ring", spec=VectorSpec())
    page = page_of(tmp_path, spec=VectorSpec(), source=source, fakes={"vector": torch.randn(16, 2)})
    assert "New, or copied?" not in page.text
    assert "walk.gif" not in page.text, "points cannot be shown as a film"


@pytest.mark.parametrize(
    ("real", "fake", "headline"),
    [
        (0.7, 0.7, "The game is in balance"),
        (0.9, 0.85, "The critic is ahead"),
        (0.995, 1.0, "The critic wins"),
        (1.0, 0.45, "The critic is one-sided"),
        (0.3, 0.4, "The generator fools the critic"),
        (0.99, 0.2, "The critic calls nearly everything real"),
    ],
)
def test_the_verdict_follows_the_accuracies_at_the_end(real, fake, headline):
    rows = rows_of(80, real_accuracy=1.0, fake_accuracy=0.0)
    for row in rows[60:]:
        row |= {"real_accuracy": real, "fake_accuracy": fake}
    assert judge(rows, OBJECTIVES["nonsaturating"]).headline == headline


def test_a_critic_without_gradient_is_no_balance():
    rows = rows_of(**{"grad_norm/critic": 0.0, "real_accuracy": 0.5, "fake_accuracy": 0.5})
    assert judge(rows, OBJECTIVES["nonsaturating"]).headline == "The critic has stopped learning"


@pytest.mark.parametrize(
    ("name", "values", "headline"),
    [
        ("relativistic", {"loss/critic/relativistic": 0.6}, "The game is in balance"),
        ("relativistic", {"loss/critic/relativistic": 0.01}, "The critic wins"),
        ("relativistic", {"loss/critic/relativistic": 12.8}, "The critic is wrong about its pairs"),
        ("relativistic", {}, "No verdict on the balance"),
        ("least_squares", {"real_score": 0.6, "fake_score": 0.4}, "The game is in balance"),
        ("least_squares", {"real_score": 1.0, "fake_score": 0.01}, "The critic wins"),
        ("wasserstein", {"real_score": 3.0, "fake_score": 2.0}, "The gap is still wide"),
        ("hinge", {}, "The game is in balance"),
    ],
)
def test_scores_without_a_zero_are_judged_by_their_own_measure(name, values, headline):
    # Accuracies of such games say nothing, and these would say that the critic is fooled.
    misleading = {} if name == "hinge" else {"real_accuracy": 0.1, "fake_accuracy": 0.1}
    assert judge(rows_of(**misleading, **values), OBJECTIVES[name]).headline == headline


def test_a_run_that_ended_in_refused_steps_is_not_praised(tmp_path):
    rows = [*rows_of(), {"samples": 5000, "failed": "turn 'critic' refused: nan"}]
    page = page_of(tmp_path, rows=rows)
    assert "The run broke down" in page.text
    assert "1 step was refused" in page.text


def test_the_distance_is_reported_with_its_best_moment():
    rows = [{"samples": s, "distance": d} for s, d in [(1000, 4.0), (2000, 1.0), (3000, 2.0)]]
    assert "fell from 4 to 2" in judge_distance(rows)
    assert "best, 1, at 2,000 samples" in judge_distance(rows)
    assert judge_distance(rows[:1]) == ""


def test_an_unfinished_run_says_so(tmp_path):
    assert "cover 43% of the run's budget" in page_of(tmp_path, rows=rows_of(progress=0.43)).text
    assert "budget" not in page_of(tmp_path, rows=rows_of(progress=1.0)).text


def test_what_a_rollback_undid_is_left_out():
    rows = [{"samples": seen, "step": step} for step, seen in enumerate([100, 200, 300, 200, 300, 400])]
    assert [row["step"] for row in timeline(rows)] == [0, 3, 4, 5]


def test_rows_of_one_moment_are_one_row_and_a_refused_step_is_not_forgotten():
    rows = [{"samples": 100, "loss": 0.5, "failed": "nan"}, {"samples": 100, "distance": 2.0}]
    assert timeline(rows) == [{"samples": 100, "loss": 0.5, "failed": "nan", "distance": 2.0}]


def test_a_few_steps_are_too_short_to_judge():
    assert judge(rows_of(19), OBJECTIVES["nonsaturating"]).headline == "Too short to judge"
    assert judge(rows_of(20), OBJECTIVES["nonsaturating"]).headline == "The game is in balance"


def test_the_page_of_a_run_without_findings_says_what_the_doctor_says(tmp_path):
    rows = rows_of(health_spread=1.0)
    for row in rows:
        row["health/spread"] = row.pop("health_spread")
    assert "Healthy: the doctor finds nothing." in page_of(tmp_path, rows=rows).text
    assert "Too short to judge: 1 of the 3 examinations" in page_of(tmp_path, rows=rows_of()[:-1] + rows[-1:]).text
    assert "What the doctor found" not in page_of(tmp_path, rows=rows_of()).text


def test_the_objective_comes_from_the_recipe_or_the_terms():
    assert objective_of({"recipe": {"fields": {"loss": "hinge"}}}, []).name == "hinge"
    assert objective_of({}, [{"loss/critic/gradient_penalty": 1, "loss/critic/wasserstein": 1}]).name == "wasserstein"
    assert objective_of({"recipe": {"fields": {"loss": 3}}}, [{"loss/critic/mine": 1}]) is UNKNOWN


@pytest.mark.parametrize("objective", [*OBJECTIVES.values(), UNKNOWN], ids=lambda objective: objective.name or "own")
def test_every_chart_says_how_to_read_it(objective):
    rows = rows_of(real_score=1.0, fake_score=0.0, distance=2.0, samples_per_s=900.0, **{"lr/critic": 1e-4})
    made = charts(rows, objective)
    assert len(made) >= 6
    for chart in made:
        assert re.fullmatch(r"[A-Z].{60,420}\.", chart.reading), chart.title
        assert all(len(line.values) == len(chart.x) for line in chart.series)


def test_many_rows_are_thinned_to_means():
    rows = [{"samples": 10 * (index + 1), "distance": float(index)} for index in range(2000)]
    (chart,) = charts(rows, UNKNOWN)
    assert len(chart.x) == 500
    assert chart.series[0].values[0] == pytest.approx((0 + 1 + 2 + 3) / 4)
    assert chart.x[0] == pytest.approx(25)
    assert "mean of 4 records" in chart.note


def test_a_single_peak_does_not_squash_a_curve():
    low, high, note = robust_range([1.0, 1.1] * 50 + [90.0])
    assert low is None
    assert high == pytest.approx(1.13)
    assert "90" in note
    assert robust_range([1.0, 2.0] * 50) == (None, None, "")


def test_the_commands_hold_the_quoted_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = page_of(Path("runs") / "0001 my run")
    assert "organza resume 'runs/0001 my run'" in page.text
    assert "organza generate 'runs/0001 my run' --count 64 --seed 0 --out samples.png" in page.text
    assert "organza finetune 'runs/0001 my run' --data ./my-images" in page.text
    monkeypatch.chdir(tmp_path / "runs" / "0001 my run")
    assert f"organza resume '{tmp_path}/runs/0001 my run'" in page_of(Path()).text


def test_the_configuration_is_on_the_page(tmp_path):
    config = {
        "recipe": {"name": "dcgan", "preset": "fast", "fields": {"batch": 64, "betas": [0.5, 0.999], "joint": False}},
        "data": {"source": "mnist", "options": {"resize": None}},
        "settings": {"log_every": 20000},
    }
    page = page_of(tmp_path, config=config)
    assert "dcgan:fast on mnist" in page.text
    for told in ("betas 0.5, 0.999", "joint no", "resize –", "log every 20,000"):
        assert told in page.text


@pytest.mark.parametrize("config", [{}, {"recipe": None, "data": 3, "settings": []}, {"recipe": {"fields": None}}])
def test_a_damaged_configuration_is_no_error(tmp_path, config):
    assert "run.json is empty or missing" in page_of(tmp_path, config=config).text


def test_numbers_and_times_are_written_for_people():
    assert [human(v) for v in (None, 0.0, 0.6931, 1043.2, 12, 1.2e-7)] == ["–", "0", "0.693", "1,043", "12", "1.20e-07"]
    assert [duration(v) for v in (None, 96.2, 725, 12_000)] == ["–", "96 s", "12 min 5 s", "3 h 20 min"]
    assert [number(v) for v in ("nan", None, True, float("inf"), 10**400, 3)] == [None, None, None, None, None, 3.0]
    assert ending([{"samples": 10, "x": 1.0}, {"samples": 90, "x": 3.0}, {"samples": 100, "x": 5.0}], "x") == 4.0


def test_a_run_from_images_is_told_how_to_be_applied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = organza.train("pix2pix:tiny", data="edges-to-digits", samples=32, run=tmp_path / "run")
    assert "organza apply" in capsys.readouterr().out
    page = (run.folder / "report.html").read_text()
    assert "Apply it to images" in page
    assert "walk.gif" not in page
    assert "from the same latents" not in page
