pkg_check_modules(CLIENT_LIBPQ REQUIRED IMPORTED_TARGET libpq)

weir_program(libpq_modes SOURCES clients/libpq_modes.c LINK PkgConfig::CLIENT_LIBPQ Threads::Threads)
# The same program with the preload's functions in it, where sanitizers see them.
weir_program(libpq_modes_linked SOURCES clients/libpq_modes.c
    LINK weir_preload_linked PkgConfig::CLIENT_LIBPQ Threads::Threads)
set_target_properties(libpq_modes libpq_modes_linked PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

weir_python_test(libpq_modes SOURCE test_libpq_modes.py LABELS integration TIMEOUT 180)
