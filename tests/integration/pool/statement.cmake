foreach(part statements errors preparing parts nonblocking transactions statement_log)
    weir_postgres_test(test_pool_${part} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_pool_${part}.c
        LINK weir_static LABELS integration TIMEOUT 300)
endforeach()
set_property(TEST test_pool_statements APPEND PROPERTY LABELS A8)
set_property(TEST test_pool_errors APPEND PROPERTY LABELS A7)
set_property(TEST test_pool_transactions APPEND PROPERTY LABELS A10)
set_property(TEST test_pool_statement_log APPEND PROPERTY LABELS A8 A9)
weir_postgres_test(test_pool_recorded SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_pool_recorded.c
    LINK weir_static weir_fake_agent LABELS integration)
