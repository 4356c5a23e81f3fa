"""Make detectors: read a labelled file, learn, test, export. Nothing here is imported while the app serves."""

import os

# Threads of XGBoost wait for each other at every level of a tree. By default they spin, and where other work shares the
# cores one spins for a whole time slice while the other isn't let in: on two cores under load 30 trees of 100,000 rows
# took 56 to 108 s and 7 to 8 s of processor time, asleep 17 to 26 s and 1.7 s. It is read when the library is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
