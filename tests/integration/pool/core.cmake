foreach(part crowd)
    weir_postgres_test(test_pool_${part} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_pool_${part}.c
        LINK weir_static LABELS integration A1 A5 TIMEOUT 300)
endforeach()
