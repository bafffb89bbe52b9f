"""`python -m mainstem` is the command line."""

from mainstem.cli import main

if __name__ == "__main__":
    main()
