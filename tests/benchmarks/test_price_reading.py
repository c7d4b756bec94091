"""How fast large price files are read: ratios to DuckDB, which reads the same columns. Both run in this process in turn.

    pytest tests/benchmarks/test_price_reading.py -m speed -n 0

The file: 20 series side by side, one row per minute, 5,000,000 rows. The time is processor time, the median over
rounds. The memory is that of a new process. Every bound is asserted.
"""

import statistics
import subprocess
import sys
import time

import duckdb
import pytest

pytestmark = pytest.mark.speed
ROWS, SERIES, ROUNDS = 5_000_000, 20, 7
TIME, MEMORY = 1.5, 2.0  # upper bounds of the ratios
DUCKDB = (
    "import duckdb, pyarrow; duckdb.execute('SET enable_progress_bar = false'); "
    "duckdb.sql('SELECT * FROM read_csv(' + repr({path!r}) + ')').to_arrow_table()"
)
STEEPEST = "from steepest import read_prices; read_prices({path!r})"
WRITE = """
COPY (SELECT strftime(TIMESTAMP '2015-01-01' + INTERVAL (i) MINUTE, '%Y-%m-%d %H:%M:%S') AS date, {prices}
FROM range({rows}) AS rows(i)) TO '{path}' (HEADER)
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "prices.csv"
    price = "round({level} + 10 * sin(i / {period}) + random(), 4) AS S{k:02d}"
    prices = ", ".join(price.format(level=100 + k, period=1000.0 + 100 * k, k=k) for k in range(SERIES))
    with duckdb.connect() as database:
        database.execute("SELECT setseed(0.5)")
        database.execute(WRITE.format(prices=prices, rows=ROWS, path=path))
    return str(path)


def test_a_large_file_takes_at_most_one_and_a_half_times_as_long_as_in_duckdb(path):
    exec("import duckdb, pyarrow, steepest")
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
    # On Linux, `ru_maxrss` also counts the peak of the parent process.
    peak = "; import re; print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    ours, theirs = (
        int(subprocess.run([sys.executable, "-c", c.format(path=path) + peak], capture_output=True, check=True).stdout)
        for c in (STEEPEST, DUCKDB)
    )
    print(f"memory: {ours / 2**20:.2f} GiB, {ours / theirs:.2f} times that of DuckDB")
    assert ours <= MEMORY * theirs
