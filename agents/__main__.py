"""`python -m agents`: the `liveroom` command."""

from agents.cli import main

if __name__ == "__main__":
    main()
