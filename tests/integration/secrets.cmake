weir_python_test(secrets SOURCE test_secrets.py LABELS integration N8 TIMEOUT 120)
