weir_program(bench_acquire SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/bench_acquire.c
    LINK weir_probe_static Threads::Threads)
set_target_properties(bench_acquire PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
