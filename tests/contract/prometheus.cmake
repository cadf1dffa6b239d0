add_executable(prometheus_server ${CMAKE_CURRENT_LIST_DIR}/prometheus_server.c)
target_link_libraries(prometheus_server PRIVATE weir_serve serve_fixture)
set_target_properties(prometheus_server PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

weir_python_test(contract_http SOURCE ${CMAKE_CURRENT_LIST_DIR}/prometheus_http.py LABELS contract)
weir_python_test(contract_prometheus SOURCE ${CMAKE_CURRENT_LIST_DIR}/prometheus_scrape.py
    LABELS contract)
