# The peer is optional: without it the bench says so.
pkg_check_modules(LTTNG_UST QUIET IMPORTED_TARGET lttng-ust)
weir_program(bench_bracket SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/bench_bracket.c
    LINK weir_probe_static Threads::Threads)
set_target_properties(bench_bracket PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
if(LTTNG_UST_FOUND)
    target_link_libraries(bench_bracket PRIVATE PkgConfig::LTTNG_UST ${CMAKE_DL_LIBS})
    target_compile_definitions(bench_bracket PRIVATE WEIR_BENCH_LTTNG)
    target_include_directories(bench_bracket PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    # Its macros are not written for our warnings.
    target_compile_options(bench_bracket PRIVATE -Wno-shadow -Wno-conversion -Wno-missing-prototypes
        -Wno-strict-prototypes)
endif()
