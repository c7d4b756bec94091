"""`python -m steepest.engine float32`: compile the kernel for a precision if it is not cached on this machine."""

import sys

from steepest.engine.cache import compile_once

if __name__ == "__main__":
    for precision in sys.argv[1:] or ["float32"]:
        compile_once(precision)
