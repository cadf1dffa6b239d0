weir_python_test(contract_opentelemetry
    SOURCE ${CMAKE_CURRENT_LIST_DIR}/opentelemetry_descriptors.py LABELS contract)

add_executable(otlp_sender ${CMAKE_CURRENT_LIST_DIR}/otlp_sender.c)
target_link_libraries(otlp_sender PRIVATE weir_export)
set_target_properties(otlp_sender PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
weir_python_test(contract_otlp_answers SOURCE ${CMAKE_CURRENT_LIST_DIR}/otlp_answers.py
    LABELS contract)
weir_python_test(contract_otlp_collector SOURCE ${CMAKE_CURRENT_LIST_DIR}/otlp_collector.py
    LABELS contract integration)
