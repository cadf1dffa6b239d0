weir_python_test(restart SOURCE test_restart.py LABELS integration A15 TIMEOUT 240)
