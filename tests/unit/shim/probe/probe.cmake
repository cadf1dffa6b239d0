# The agent's end of the socket, for every test that needs one.
add_library(weir_fake_agent STATIC ${CMAKE_CURRENT_SOURCE_DIR}/fake_agent.c)
target_link_libraries(weir_fake_agent PUBLIC weir_wire_reader PkgConfig::CMOCKA)

foreach(part statement acquire pool attach fork segment trace_context text_cache call_site clock)
    weir_test(test_probe_${part} SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_${part}.c
        LINK weir_probe_static weir_fake_agent LABELS unit)
endforeach()
