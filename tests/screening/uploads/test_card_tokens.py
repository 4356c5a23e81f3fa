"""The tokens of an instance stay the same as long as its secret does."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from screening.cards.tokens import Tokens
from screening.errors import BadSetting
from screening.uploads.questions.card_tokens import tokens_of

NUMBER = "4111111111111111"


def started(instance: Path) -> Tokens:
    """As a process that has just started sees them."""
    tokens_of.cache_clear()
    return tokens_of(instance)


@pytest.mark.security(54, 58)
def test_the_secret_is_kept_for_its_owner_alone_and_stays(tmp_path: Path) -> None:
    made = started(tmp_path)
    kept = tmp_path / "instance_secret"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert started(tmp_path).token(NUMBER) == made.token(NUMBER)
    assert started(tmp_path).key_id == made.key_id
    kept.unlink()
    other = started(tmp_path)
    assert other.token(NUMBER) != made.token(NUMBER)
    assert other.key_id != made.key_id


def test_a_damaged_secret_is_never_made_anew(tmp_path: Path) -> None:
    (tmp_path / "instance_secret").write_text("short")
    with pytest.raises(BadSetting, match="damaged") as error:
        started(tmp_path)
    assert "backup" in str(error.value.remedy)
    assert (tmp_path / "instance_secret").read_text() == "short"
