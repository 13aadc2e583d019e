"""`python -m organza`, which is what torchrun starts."""

import os
import sys

from organza.cli.__main__ import main

code = main()
if "RANK" in os.environ:
    from organza.distributed import leave

    leave(code)
sys.exit(code)
