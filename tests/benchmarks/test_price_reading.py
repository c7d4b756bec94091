"""How fast large price files are read: ratios to DuckDB, which reads the same columns. Both run in this process in turn.

    pytest tests/benchmarks/test_price_reading.py -m speed -n 0

The file: 20 series side by side, one row per minute, 1,000,000 rows. The time is processor time, the median over
rounds. The memory is that of a new process. Every bound is asserted.
"""

import statistics
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.speed
ROWS, SERIES, ROUNDS = 1_000_000, 20, 5
TIME, MEMORY = 3.0, 2.0  # the bounds of the ratios
DUCKDB = "import duckdb, pyarrow; duckdb.sql('SELECT * FROM read_csv(' + repr({path!r}) + ')').to_arrow_table()"
STEEPEST = "from steepest import read_prices; read_prices({path!r})"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Write the file in blocks that repeat the same prices."""
    path = tmp_path_factory.mktemp("large") / "prices.csv"
    generator, block = np.random.default_rng(0), 50_000
    prices = np.round(100 * np.exp(np.cumsum(generator.normal(0, 1e-4, (block, SERIES)), axis=0)), 4)
    days = pd.date_range("2015-01-01", periods=ROWS, freq="min").strftime("%Y-%m-%d %H:%M:%S")
    for start in range(0, ROWS, block):
        frame = pd.DataFrame(prices, days[start : start + block], [f"S{i:02d}" for i in range(SERIES)])
        frame.to_csv(path, mode="a", header=start == 0, index_label="date")
    return str(path)


def test_a_large_file_takes_at_most_three_times_as_long_as_in_duckdb(path):
    ratios = []
    for _ in range(ROUNDS):
        times = []
        for code in (STEEPEST, DUCKDB):
            started = time.process_time()
            exec(code.format(path=path))
            times.append(time.process_time() - started)
        ratios.append(times[0] / times[1])
    print(f"time: {statistics.median(ratios):.2f} times that of DuckDB ({min(ratios):.2f} to {max(ratios):.2f})")
    assert statistics.median(ratios) <= TIME


def test_a_large_file_takes_at_most_twice_the_memory_of_duckdb(path):
    peak = "; import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    ours, theirs = (
        int(subprocess.run([sys.executable, "-c", c.format(path=path) + peak], capture_output=True, check=True).stdout)
        for c in (STEEPEST, DUCKDB)
    )
    print(f"memory: {ours / 2**20:.2f} GiB, {ours / theirs:.2f} times that of DuckDB")
    assert ours <= MEMORY * theirs
