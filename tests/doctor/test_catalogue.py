"""Each illness from its numbers: found where they say so, silent where they do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from organza.doctor import overfitting
from organza.doctor.catalogue import AT_ONCE, CATALOGUE, diagnose
from organza.doctor.finding import Change, command_for
from organza.doctor.history import History
from organza.doctor.remedies import lighter_penalty, penalise
from organza.doctor.visit import ILL, exit_code, summary

CLASSES = ("0", "1", "2", "3", "4")
HEALTHY: dict[str, Any] = {
    "real_accuracy": 0.7,
    "fake_accuracy": 0.7,
    "real_score": 0.6,
    "fake_score": -0.6,
    "grad_norm/generator": 1.0,
    "grad_norm/critic": 1.0,
    "data_wait": 0.01,
    "health/spread": 0.95,
    "health/twin": 0.95,
    "health/distance": 0.1,
    "health/distance_raw": 0.1,
    "health/distance_batch": 0.1,
    "health/floor": 0.08,
    "health/drift": 0.3,
    "health/counts": [50, 50, 50, 50, 50],
    "health/shares": [0.2, 0.2, 0.2, 0.2, 0.2],
    "health/nearness": 1.1,
    "health/low": -1.0,
    "health/high": 1.0,
    "health/real_low": -1.0,
    "health/real_high": 1.0,
    "health/score_spread": 1.5,
    "health/gap": 1.2,
    "health/gap_unseen": 1.1,
    "health/pull/critic/relativistic": 1.0,
    "health/pull/critic/r1": 0.4,
    "health/term/critic/r1": 0.2,
    "health/pull/generator/relativistic": 1.0,
    "health/step/generator": 0.004,
    "health/step/critic": 0.008,
}
CONFIG: dict[str, Any] = {
    "recipe": {"name": "dcgan", "preset": None, "fields": {"critic_lr": 6e-3, "generator_lr": 6e-3, "r1": 0.1}},
    "data": {"source": "mnist", "options": {"workers": 2}},
    "spec": {"kind": "image", "classes": CLASSES},
    "settings": {"epochs": 2},
}
SICK: dict[str, dict[str, Any]] = {
    "non_finite": {"failed": "turn 'critic' refused: hinge = nan"},
    "range_mismatch": {"health/low": 0.0},
    "penalty_disconnected": {"health/pull/critic/r1": 0.0},
    "dead_discriminator": {"health/score_spread": 0.0, "health/gap": 0.0, "health/gap_unseen": 0.0},
    "rate_too_high": {"health/step/critic": 0.2},
    "exploding_scores": {"real_score": 900.0, "fake_score": -900.0},
    "rate_too_low": {
        "health/step/critic": 1e-6, "health/step/generator": 1e-6, "health/drift": 0.001, "health/distance": 1.0,
        "health/distance_raw": 1.0, "health/distance_batch": 1.0,
    },
    "penalty_dominates": {"health/pull/critic/r1": 9.0, "health/gap": 0.1, "health/gap_unseen": 0.1},
    "batch_statistics": {"health/distance": 0.4, "health/distance_raw": 0.4},
    "average_lags": {"health/distance": 0.4},
    "augmentation_leak": {"health/leak/rotate": 0.9},
    "memorisation": {"health/nearness": 0.2},
    "discriminator_overfits": {"health/gap_unseen": 0.2},
    "discriminator_wins": {"real_accuracy": 1.0, "fake_accuracy": 1.0, "grad_norm/generator": 0.001},
    "generator_wins": {"health/gap": 0.1, "health/gap_unseen": 0.1, "health/distance": 0.9,
                       "health/distance_raw": 0.9, "health/distance_batch": 0.9},
    "mode_collapse": {"health/spread": 0.1, "health/twin": 0.02, "health/counts": [250, 0, 0, 0, 0]},
    "oscillation": {"health/drift": 1.4, "health/distance": 0.6, "health/distance_raw": 0.6,
                    "health/distance_batch": 0.6},
    "sameness": {"health/twin": 0.01},
    "missing_modes": {"health/counts": [62, 62, 63, 63, 0]},
    "label_imbalance": {"health/shares": [0.245, 0.245, 0.245, 0.245, 0.02], "health/counts": [61, 61, 61, 61, 6]},
    "data_bound": {"data_wait": 0.8},
}  # fmt: skip


def history(changes: Sequence[dict[str, Any]], *, spec: str = "image") -> History:
    """Healthy rows with changes, one examination each."""
    rows = [
        {"samples": 10_000 * index, "step": 160 * index, **HEALTHY, **change}
        for index, change in enumerate(changes, start=1)
    ]
    rows[0] |= {"grad_norm/generator": 1.0}
    return History(rows, {**CONFIG, "spec": {"kind": spec, "classes": CLASSES}})


def test_the_catalogue_and_this_table_list_the_same_illnesses() -> None:
    assert [detector.__name__ for detector in CATALOGUE] == list(SICK)


@pytest.mark.parametrize("illness", SICK)
def test_an_illness_that_lasts_is_found_first(illness: str) -> None:
    found = diagnose(history([SICK[illness]] * 12))
    assert [finding.name for finding in found][:1] == [illness]
    finding = found[0]
    assert 10_000 <= finding.since <= finding.until <= 120_000
    assert finding.evidence
    assert finding.why
    assert finding.change.words()
    assert finding.title in summary(found, history([SICK[illness]] * 12))
    assert exit_code(found) == (ILL if finding.level == "error" else 0)


@pytest.mark.parametrize("illness", SICK)
def test_a_healthy_run_has_none_of_them_and_what_is_over_is_over(illness: str) -> None:
    assert diagnose(history([{}] * 12)) == []
    recovered = diagnose(history([SICK[illness]] * 6 + [{}] * 40))
    assert illness not in [finding.name for finding in recovered]


@pytest.mark.parametrize("illness", sorted(set(SICK) - {"non_finite", "label_imbalance", "discriminator_wins"}))
def test_one_bad_day_is_no_illness(illness: str) -> None:
    assert diagnose(history([{}] * 10 + [SICK[illness]])) == []


def test_an_augmentation_that_hardly_acts_does_not_leak() -> None:
    for share, found in ((0.1, []), (0.5, ["augmentation_leak"])):
        rows = [{**SICK["augmentation_leak"], "augment_share": share}] * 12
        assert [finding.name for finding in diagnose(history(rows))] == found


@pytest.mark.parametrize("change", [{"real_accuracy": "nan"}, {"health/spread": "nan"}, {"health/counts": []}])
def test_rows_that_lack_numbers_are_no_illness(change: dict[str, Any]) -> None:
    assert diagnose(history([change] * 12)) == []
    assert diagnose(History([], CONFIG)) == []


def test_a_critic_that_wins_while_samples_still_improve_is_left_alone() -> None:
    winning = {"real_accuracy": 1.0, "fake_accuracy": 1.0}
    improving = [{**winning, "health/distance": 1.0 / index} for index in range(1, 13)]
    assert diagnose(history(improving)) == []


@pytest.mark.parametrize(
    ("name", "change"),
    [("exploding_scores", SICK["exploding_scores"]), ("rate_too_high", {"health/step/critic": 0.1})],
)
def test_scores_and_steps_of_clipped_weights_may_be_large(name: str, change: dict[str, Any]) -> None:
    recipe = {"name": "wgan", "preset": None, "fields": {"clip": 0.2}}
    large = history([change] * 12).rows
    assert [finding.name for finding in diagnose(History(large, CONFIG))] == [name]
    assert diagnose(History(large, {**CONFIG, "recipe": recipe})) == []
    thrown = history([{"health/step/generator": 0.1}] * 12).rows
    assert [finding.name for finding in diagnose(History(thrown, {**CONFIG, "recipe": recipe}))] == ["rate_too_high"]


def test_missing_modes_are_named_and_a_whole_collapse_says_it_all() -> None:
    assert "missing_modes" not in [finding.name for finding in diagnose(history([SICK["mode_collapse"]] * 6))]
    missing = diagnose(history([SICK["missing_modes"]] * 6))[0]
    assert missing.title == "the generator leaves out '4'"
    assert missing.level == "warning"


def test_a_short_run_is_only_told_what_shows_at_once() -> None:
    for illness, change in SICK.items():
        rows = [{**row, "step": 10 * index} for index, row in enumerate(history([change] * 12).rows)]
        found = [finding.name for finding in diagnose(History(rows, CONFIG))]
        assert found == ([illness] if illness in {detector.__name__ for detector in AT_ONCE} else []), illness


def test_a_critic_that_comes_late_is_given_the_same_time_to_learn() -> None:
    def found(late: int) -> list[str]:
        rows = history([SICK["discriminator_overfits"]] * 12).rows
        turns = [{"loss/generator/l1": 1.0} | ({"loss/critic/hinge": 1.0} if at >= late else {}) for at in range(12)]
        return [f.name for f in diagnose(History([row | turn for row, turn in zip(rows, turns, strict=True)], CONFIG))]

    assert found(late=0) == found(late=9) == ["discriminator_overfits"]  # 320 steps later
    assert found(late=11) == []


def test_no_penalty_is_proposed_where_batch_norm_forbids_it() -> None:
    for illness, change in SICK.items():
        fields = CONFIG["recipe"]["fields"] | {"critic_norm": "batch", "r1": 0.0, "r2": 0.0, "loss": "hinge"}
        config = {**CONFIG, "recipe": {"name": "dcgan", "preset": "paper", "fields": fields}}
        finding = diagnose(History(history([change] * 12).rows, config))[0]
        assert not {"r1", "r2"} & {name for name, value in finding.change.fields.items() if value}, illness


def test_points_have_no_range_to_miss() -> None:
    assert diagnose(history([SICK["range_mismatch"]] * 12, spec="vector")) == []


def test_a_proposal_is_a_command_that_trains_anew_with_one_change() -> None:
    change = Change({"loss": "hinge", "betas": (0.5, 0.999)}, {"workers": 4})
    command = command_for(change, CONFIG)
    assert command.startswith("organza train dcgan --data mnist ")
    assert command.endswith("--loss hinge --betas 0.5 0.999 --workers 4")
    assert command_for(Change(advice="look at the data"), CONFIG) == ""


def test_changes_speak_of_fields_that_the_recipe_has() -> None:
    for illness, change in SICK.items():
        finding = diagnose(history([change] * 12))[0]
        assert set(finding.change.fields) <= set(CONFIG["recipe"]["fields"]), illness


def test_what_a_treatment_changed_counts_as_the_recipe_s_field() -> None:
    treated = {**CONFIG, "interventions": [{"samples": 0, "fields": {"r1": 7.0}}]}
    assert History([], treated).fields["r1"] == 7.0


@pytest.mark.parametrize(("share", "change"), [(1.0, {"augment_share": 0.5}), (0.3, {"augment": ("cutout",)})])
def test_a_leaking_augmentation_acts_less_often_or_goes(share: float, change: dict[str, Any]) -> None:
    rows = [{**HEALTHY, "samples": 100 * i, "step": 300 + i, "health/leak/rotate": 0.9} for i in range(9)]
    fields = {"augment": ["rotate", "cutout"], "augment_share": share}
    finding = overfitting.augmentation_leak(History(rows, {**CONFIG, "recipe": {"name": "dcgan", "fields": fields}}))
    assert finding is not None
    assert finding.change.fields == change


def test_too_few_steps_are_not_called_healthy() -> None:
    assert summary([], history([{}])) == "too short to judge: 160 steps of all players, 200 are the least"
    assert "judge: 1 step of all players" in summary([], history([{"step": 1}]))
    assert "2 of the 3 examinations" in summary([], history([{}] * 2))
    assert "never examined" in summary([], History([{"step": 200}], CONFIG))
    assert summary([], history([{}] * 3)) == "healthy: the doctor finds nothing"


def test_a_run_far_from_the_data_is_not_called_healthy() -> None:
    told = [summary([], history([{"health/distance": far, "health/floor": 1.0}] * 3)) for far in (1.9, 3.2)]
    assert told[0] == "healthy: the doctor finds nothing"
    assert told[1].startswith("no illness, but its samples are 3.2 times as far from the data")


@pytest.mark.parametrize(
    ("remedy", "fields", "change"),
    [
        (penalise, {"r1": 0.1, "r2": 0.1, "penalty_target": 0.6}, {"penalty_target": 0.647}),
        (lighter_penalty, {"r1": 0.1, "r2": 0.1, "penalty_target": 0.6}, {"penalty_target": 0.54}),
        (lighter_penalty, {"r1": 5.0, "r2": 5.0, "penalty_target": 0.6}, {"penalty_target": 0.54}),
        (penalise, {"r1": 0.1, "r2": 0.1, "penalty_target": 0.0}, {"r1": 1.0, "r2": 1.0}),
    ],
)
def test_penalties_that_follow_a_target_are_changed_by_the_target(
    remedy: Callable[[History], Change], fields: dict[str, Any], change: dict[str, Any]
) -> None:
    assert remedy(History([], {"recipe": {"name": "r3gan", "fields": fields}})).fields == change
