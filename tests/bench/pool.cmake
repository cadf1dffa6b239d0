# Run by pool_peers.py and query_peers.py, which give them a server and let peers take turns; not by
# tools/bench itself, hence in a folder of their own.
foreach(name bench_pool bench_query)
    weir_program(${name} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/${name}.c
        LINK weir_static Threads::Threads)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench_turns)
endforeach()
