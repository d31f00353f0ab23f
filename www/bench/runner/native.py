# The same frame, natively: pandas to_sql, executemany and ADBC ingest into a new SQLite file on disk, each commit
# synced (synchronous=FULL is SQLite's default). Arguments: the frame as an Arrow IPC stream, a folder, rounds, keyed.
# Prints one JSON object.
import json
import os
import sqlite3
import sys
import time
import warnings

import adbc_driver_manager
import adbc_driver_sqlite
import adbc_driver_sqlite.dbapi
import pandas
import pyarrow
import pyarrow.ipc

warnings.filterwarnings("ignore")
source, folder, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(source, "rb") as file:
    table = pyarrow.ipc.open_stream(file).read_all()
path = os.path.join(folder, "native.db")
DDL = "CREATE TABLE ticks(id INTEGER, ts INTEGER, price REAL, qty INTEGER, live INTEGER, sym TEXT, note TEXT, uid BLOB)"

# What each takes, made beforehand: integers for the timestamp, since that is what the browsers store.
plain = table.set_column(1, "ts", table["ts"].cast(pyarrow.int64()))
ingestible = plain.set_column(4, "live", plain["live"].cast(pyarrow.int64()))
ingestible = ingestible.set_column(7, "uid", ingestible["uid"].cast(pyarrow.binary()))
frame = plain.to_pandas()
rows = [tuple(row.values()) for row in ingestible.to_pylist()]


def fresh():
    for end in ("", "-journal", "-wal"):
        if os.path.exists(path + end):
            os.remove(path + end)


def check():
    with sqlite3.connect(path) as connection:
        n, ids, notes, qty = connection.execute("SELECT count(*), sum(id), count(note), sum(qty) FROM ticks").fetchone()
    assert (n, ids) == (table.num_rows, table.num_rows * (table.num_rows - 1) // 2), (n, ids)
    assert notes == table.num_rows - table["note"].null_count
    assert qty == sum(table["qty"].to_pylist())


def pandas_to_sql():
    connection = sqlite3.connect(path)
    start = time.perf_counter()
    frame.to_sql("ticks", connection, index=False)
    connection.commit()
    took = time.perf_counter() - start
    connection.close()
    return took


def executemany():
    connection = sqlite3.connect(path)
    start = time.perf_counter()
    connection.execute(DDL)
    connection.executemany("INSERT INTO ticks VALUES(?,?,?,?,?,?,?,?)", rows)
    connection.commit()
    took = time.perf_counter() - start
    connection.close()
    return took


def adbc():
    connection = adbc_driver_sqlite.dbapi.connect(path)
    start = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.adbc_ingest("ticks", ingestible, mode="create")
    connection.commit()
    took = time.perf_counter() - start
    connection.close()
    return took


contenders = {"native-pandas": pandas_to_sql, "native-executemany": executemany, "native-adbc": adbc}
times = {name: [] for name in contenders}
for number in range(rounds + 1):
    for name, run in contenders.items():
        fresh()
        took = run()
        check()
        # The first round warms up.
        if number > 0:
            times[name].append(took * 1000)
fresh()
versions = {
    "python": sys.version.split()[0],
    "sqlite (Python)": sqlite3.sqlite_version,
    "pandas": pandas.__version__,
    "pyarrow": pyarrow.__version__,
    "adbc-driver-sqlite": adbc_driver_sqlite.__version__,
}
print(json.dumps({"times": times, "versions": versions}))
