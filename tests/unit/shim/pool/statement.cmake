foreach(part failure changes parameters prepared newest)
    weir_test(test_pool_${part} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_${part}.c
        LINK weir_static LABELS unit)
endforeach()
set_property(TEST test_pool_failure APPEND PROPERTY LABELS A7)
set_property(TEST test_pool_parameters APPEND PROPERTY LABELS A9)
