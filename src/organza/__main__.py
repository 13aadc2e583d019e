"""`python -m organza`, which is what torchrun starts."""

import sys

from organza.cli.__main__ import main

sys.exit(main())
