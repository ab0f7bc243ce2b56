"""`python -m spacetimedb_sdk.cli` is the same as `spacetimedb-sdk`."""

from __future__ import annotations

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
