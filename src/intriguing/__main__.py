"""`python -m intriguing` is the same as `intriguing`."""

from intriguing.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
