weir_python_test(prometheus_scrape SOURCE test_prometheus.py LABELS integration TIMEOUT 120)
