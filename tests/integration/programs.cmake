weir_python_test(programs SOURCE test_programs.py LABELS integration TIMEOUT 180)
