"""`python -m llmopt_stream` is the command `llmopt-stream`."""

import sys

from llmopt_stream.cli import main

if __name__ == "__main__":
    sys.exit(main())
