"""What makes documents, as the worker starts it, but slow: it writes for as long as nobody ends it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

SECONDS = 60

if __name__ == "__main__":
    order = Path(sys.argv[1])
    draft = order.with_name("pid.part")
    draft.write_text(str(os.getpid()))
    draft.rename(order.with_name("pid"))
    for step in range(SECONDS * 10):
        sys.stdout.write(json.dumps({"progress": step / SECONDS / 10, "stage": "Writing slowly"}) + "\n")
        sys.stdout.flush()
        time.sleep(0.1)
