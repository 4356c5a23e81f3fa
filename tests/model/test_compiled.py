"""The command that writes the compiled forms of shipped nets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from model.export.compiled import card_of, main, shipped_nets
from screening.detectors.artifacts import read_artefact
from screening.detectors.compilation.form import open_form, shipped_file, unpack
from screening.detectors.model_card import read_card
from screening.settings import ROOT


def test_it_writes_a_form_that_belongs_to_the_net(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = Path(shutil.copy(ROOT / "model.h5", tmp_path))
    card = Path(shutil.copy(ROOT / "model" / "card.json", tmp_path))
    shipped_file(net).write_bytes(b"an older one")
    assert main([str(net)]) == 0
    form = open_form(unpack(shipped_file(net).read_bytes()), read_artefact(net).sha256)
    assert form.disagreement() is None
    assert "bytes" in capsys.readouterr().out
    left = ["card.json", "model.compiled.tar.xz", "model.h5"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    assert read_card(card).compiled_sha256 == read_artefact(shipped_file(net)).sha256
    before = json.loads((ROOT / "model" / "card.json").read_bytes())
    after = json.loads(card.read_bytes())
    assert {**before, "compiled_sha256": after["compiled_sha256"]} == after, (
        "nothing else of the card is touched"
    )


def test_a_net_that_cannot_be_compiled_keeps_what_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = tmp_path / "model.h5"
    net.write_bytes(b"no net")
    (tmp_path / "card.json").write_text("{}")
    shipped_file(net).write_bytes(b"an older one")
    assert main([str(net)]) == 1
    assert "can't compile" in capsys.readouterr().err
    assert shipped_file(net).read_bytes() == b"an older one"


def test_every_shipped_net_has_a_form() -> None:
    assert len(shipped_nets()) == 3
    for net in shipped_nets():
        assert read_card(card_of(net)).compiled_sha256 == read_artefact(shipped_file(net)).sha256
