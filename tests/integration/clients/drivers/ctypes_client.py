"""Calls libpq by address, round the dynamic linker: nothing that is preloaded can see it."""

import ctypes
import os

libpq = ctypes.CDLL("libpq.so.5")
libpq.PQconnectdb.restype = ctypes.c_void_p
libpq.PQexec.restype = ctypes.c_void_p
libpq.PQgetvalue.restype = ctypes.c_char_p
connection = ctypes.c_void_p(libpq.PQconnectdb(b""))
result = ctypes.c_void_p(libpq.PQexec(connection, b"SELECT 7"))
print(libpq.PQgetvalue(result, 0, 0).decode(), flush=True)
if os.environ.get("WAIT_FOR_INPUT"):
    input()
libpq.PQfinish(connection)
