"""Every figure of the README's table that needs no data but what is generated: ``make bench``.

The card detector beside other models is a command of its own, since it needs the public data:
``python -m model.compare_card FILE``.
"""

from __future__ import annotations

from importlib import import_module

PARTS = ("upload", "start", "one_row", "intake", "signups", "logins", "api_keys", "features")


def main() -> None:
    """Run one benchmark after the other and print one table."""
    for part in PARTS:
        print(f"\n{part}", flush=True)
        for name, value in import_module(f"benchmarks.{part}").measure().items():
            print(f"  {name:<60} {value:>12,.3f}", flush=True)


if __name__ == "__main__":
    main()
