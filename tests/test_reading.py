"""What the terminal says of the scores of a moment."""

from __future__ import annotations

import pytest

from organza.reading import balance, has_probabilities


@pytest.mark.parametrize(
    ("real", "fake", "words"),
    [
        (0.5, 0.55, "near balance"),
        (0.78, 1.0, "the critic is ahead"),
        (0.85, 0.85, "the critic is ahead"),
        (0.6, 1.0, "one-sided: it knows fakes far better"),
        (1.0, 0.2, "calls nearly everything real"),
        (1.0, 1.0, "tells real from fake nearly always"),
    ],
)
def test_the_words_follow_what_the_critic_recognises(real: float, fake: float, words: str) -> None:
    row = {"real_accuracy": real, "fake_accuracy": fake, "real_score": 1.0, "fake_score": -1.0}
    assert words in balance(row)


def test_scores_of_a_wasserstein_game_are_no_probabilities() -> None:
    row = {"real_accuracy": 1.0, "fake_accuracy": 1.0, "real_score": 9.0, "fake_score": 2.0, "loss/critic/hinge": 0.1}
    assert has_probabilities(row)
    assert not has_probabilities(row | {"loss/critic/wasserstein": -7.0})
    assert balance(row | {"loss/critic/wasserstein": -7.0}).startswith("real samples score 7 above fakes")
    fooled = {"real_score": 2.0, "fake_score": 9.0, "loss/critic/wasserstein": 7.0}
    assert "scores fakes above real samples" in balance(row | fooled)
