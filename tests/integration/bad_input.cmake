weir_python_test(bad_input SOURCE test_bad_input.py LABELS integration TIMEOUT 400)
