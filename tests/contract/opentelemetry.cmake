weir_python_test(contract_opentelemetry
    SOURCE ${CMAKE_CURRENT_LIST_DIR}/opentelemetry_descriptors.py LABELS contract)
