# The example services, as they are built and as they would run.
weir_python_test(test_shop SOURCE test_shop.py LABELS integration A2 A4 A13 A14 TIMEOUT 600)
weir_python_test(test_event_loop SOURCE test_event_loop.py LABELS integration A2 TIMEOUT 300)
