"""``python -m invdecay``: the command `invdecay`."""

import sys

from .cli import main

sys.exit(main())
