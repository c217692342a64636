"""``python -m bench.perf.parity``, see `bench.perf.parity.compare`."""

from bench.perf.parity.compare import main

if __name__ == "__main__":
    main()
