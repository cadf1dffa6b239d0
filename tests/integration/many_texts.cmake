add_executable(many_texts clients/many_texts.c)
target_link_libraries(many_texts PRIVATE weir_probe_static weir_base)
set_target_properties(many_texts PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

weir_python_test(many_texts SOURCE test_many_texts.py LABELS integration TIMEOUT 240 SERIAL)
