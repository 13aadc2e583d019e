"""What an error says of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from organza.errors import cause


def test_the_cause_is_the_systems_words_without_the_path_or_the_error_itself(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone") as found:
        (tmp_path / "gone").open()
    assert cause(found.value) == "No such file or directory"
    assert cause(OSError("truncated")) == "truncated"
    assert cause(ValueError("no image")) == "no image"
