weir_python_test(processes SOURCE test_processes.py LABELS integration TIMEOUT 180)
