weir_bench(bench_normalize SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/bench_normalize.c
    LINK weir_probe_static ${LIBPG_QUERY_ARCHIVE} m Threads::Threads)
