"""``python -m jupyter_llmcache``."""

import sys

from .cli import main

sys.exit(main())
