"""`python -m fusednet`."""

import sys

from fusednet.cli import main

sys.exit(main())
