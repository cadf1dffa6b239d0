add_executable(fingerprint clients/fingerprint.c)
target_link_libraries(fingerprint PRIVATE weir_normalize)
set_target_properties(fingerprint PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

weir_python_test(exact_counts SOURCE test_exact_counts.py LABELS integration A15 TIMEOUT 300)
