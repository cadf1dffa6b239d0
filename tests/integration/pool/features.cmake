# One program a subject, each with the requirements that it tests.
function(feature_test name)
    weir_postgres_test(test_pool_${name} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_pool_${name}.c
        LINK weir_static LABELS integration ${ARGN} TIMEOUT 120)
endfunction()

feature_test(configure A1)
feature_test(running A1 A2)
feature_test(lifecycle A2)
feature_test(validate A3)
feature_test(deadline A5)
feature_test(async A5)
feature_test(hooks A2 A6)
feature_test(release A6)
feature_test(misuse A6)
feature_test(advice A11)
feature_test(manager A12)
feature_test(drain A13)
feature_test(fork A13)
feature_test(tenants A14)
# Deadlines are kept to 50 ms on a machine that has time for them.
set_tests_properties(test_pool_deadline PROPERTIES RUN_SERIAL ON)

weir_program(pool_board_client SOURCES clients/board.c LINK weir_static)
set_target_properties(pool_board_client PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
weir_python_test(pool_board SOURCE test_pool_board.py LABELS integration A14 TIMEOUT 60)
