pkg_check_modules(REPORTING_LIBPQ REQUIRED IMPORTED_TARGET libpq)

# Its own copy of the probe gives way to the preload's. The second one shows its own to all others,
# so that the preload gives way to it. The third has the preload's functions in it, for sanitizers.
set(reporting_pool SOURCES clients/reporting_pool.c LINK)
weir_program(reporting_pool ${reporting_pool} weir_probe_static PkgConfig::REPORTING_LIBPQ
    Threads::Threads)
weir_program(reporting_pool_shown ${reporting_pool} weir_probe_static PkgConfig::REPORTING_LIBPQ
    Threads::Threads)
weir_program(reporting_pool_linked ${reporting_pool} weir_preload_linked
    PkgConfig::REPORTING_LIBPQ Threads::Threads)
set_target_properties(reporting_pool_shown PROPERTIES ENABLE_EXPORTS ON)
set_target_properties(reporting_pool reporting_pool_shown reporting_pool_linked PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

weir_python_test(reporting_pool SOURCE test_reporting_pool.py LABELS integration TIMEOUT 120)
