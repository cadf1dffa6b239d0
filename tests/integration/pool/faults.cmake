# libweir on bad days: servers and networks that go, and come back. Each test is alone on the machine
# while it runs, since it holds times of 50 ms.
weir_program(pool_client SOURCES
    ${CMAKE_CURRENT_SOURCE_DIR}/clients/pool_client.c
    ${CMAKE_CURRENT_SOURCE_DIR}/clients/load.c
    ${CMAKE_CURRENT_SOURCE_DIR}/clients/hooks.c
    ${CMAKE_CURRENT_SOURCE_DIR}/clients/tell.c
    LINK weir_static PkgConfig::JANSSON)
set_target_properties(pool_client PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

# weir_fault_test(SUBJECT LABEL …)
function(weir_fault_test subject)
    weir_python_test(pool_${subject} SOURCE test_pool_${subject}.py
        LABELS integration ${ARGN} TIMEOUT 240 SERIAL)
endfunction()
weir_fault_test(restart A2 A3 A4 A5)
weir_fault_test(failover A3 A4)
weir_fault_test(authentication A2 A4 A5 A7)
weir_fault_test(tls A2 A4 A5)
weir_fault_test(blackhole A3 A4 A5)
weir_fault_test(commit A7 A10)
weir_fault_test(hooks A2 A4 A5)
weir_fault_test(bouncer A4 A5)
weir_fault_test(drain A13)
