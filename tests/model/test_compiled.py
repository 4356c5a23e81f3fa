"""The command that writes the compiled forms of shipped nets."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model.export.compiled import main, shipped_nets
from screening.detectors.artifacts import read_artefact
from screening.detectors.compilation.form import open_form, shipped_file, unpack
from screening.settings import ROOT


def test_it_writes_a_form_that_belongs_to_the_net(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = Path(shutil.copy(ROOT / "model.h5", tmp_path))
    shipped_file(net).write_bytes(b"an older one")
    assert main([str(net)]) == 0
    form = open_form(unpack(shipped_file(net).read_bytes()), read_artefact(net).sha256)
    assert form.disagreement() is None
    assert "bytes" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.compiled.tar.xz", "model.h5"]


def test_a_net_that_cannot_be_compiled_keeps_what_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = tmp_path / "model.h5"
    net.write_bytes(b"no net")
    shipped_file(net).write_bytes(b"an older one")
    assert main([str(net)]) == 1
    assert "can't compile" in capsys.readouterr().err
    assert shipped_file(net).read_bytes() == b"an older one"


def test_every_shipped_net_has_a_form() -> None:
    assert len(shipped_nets()) == 3
    assert all(shipped_file(net).is_file() for net in shipped_nets())
