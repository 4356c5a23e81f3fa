"""Generated files have the columns, the order and the frauds that they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.data.simulation import HIGH, main, orders, payments


def test_payments_come_in_time_order_with_rare_frauds_of_three_kinds() -> None:
    made = payments(customers=300, terminals=500, days=60, seed=1)
    assert made.TX_DATETIME.is_monotonic_increasing
    assert 0.002 < made.TX_FRAUD.mean() < 0.05
    assert (made.TX_FRAUD[made.TX_AMOUNT > HIGH] == 1).all()
    terminal = made[(made.TX_AMOUNT <= HIGH) & (made.TX_FRAUD == 1)].groupby("TERMINAL_ID").size()
    assert terminal.max() >= 3  # a compromised one shows several


def test_the_same_seed_gives_the_same_file_and_another_seed_another() -> None:
    pd.testing.assert_frame_equal(
        payments(customers=40, days=9, seed=3), payments(customers=40, days=9, seed=3)
    )
    assert not orders(rows=500, seed=1).equals(orders(rows=500, seed=2))


def test_rings_order_at_once_from_one_device() -> None:
    made = orders(rows=3000, seed=2)
    wait = (made.purchase_time - made.signup_time).dt.total_seconds()
    shared = made["device_id"].duplicated(keep=False)
    assert (wait[shared] <= 2).all()
    assert made["class"][shared].mean() == 1
    assert made.purchase_time.is_monotonic_increasing
    octets = made.ip_address.str.split(".", expand=True).astype(int)
    assert octets.to_numpy().min() >= 0
    assert octets.to_numpy().max() <= 255


@pytest.mark.parametrize("kind", ["payments", "orders"])
def test_the_command_writes_a_csv(kind: str, tmp_path: Path) -> None:
    assert main([kind, str(tmp_path / "made.csv"), "--seed", "5"]) == 0
    made = pd.read_csv(tmp_path / "made.csv")
    assert len(made) > 1000
    assert set(np.unique(made[{"payments": "TX_FRAUD", "orders": "class"}[kind]])) == {0, 1}
