weir_test(contract_wire_golden SOURCES ${CMAKE_CURRENT_LIST_DIR}/wire_golden.c LINK weir_wire_reader
    LABELS contract ARGUMENTS ${CMAKE_SOURCE_DIR}/proto/wire/conformance/golden)
weir_python_test(contract_wire_check SOURCE ${CMAKE_CURRENT_LIST_DIR}/wire_check.py LABELS contract)
