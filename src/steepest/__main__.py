"""`python -m steepest`, and the start of the `steepest` command. It gives a message if a package is missing."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command, or say which packages it needs."""
    try:
        from steepest.cli import main as run
    except ImportError as error:
        from steepest.runs.doctor import check_versions

        print(f"steepest cannot start: {error}", file=sys.stderr)
        try:
            for found in check_versions():
                if found.fix:
                    print(f"{found.subject}: {found.text}. To fix it: {found.fix}", file=sys.stderr)
        except ImportError:  # packaging is missing, too
            print("To fix it: pip install --force-reinstall steepest", file=sys.stderr)
        sys.exit(1)
    run()


if __name__ == "__main__":
    main()
